package media

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/asticode/go-astiav"
)

// cutting is a segment under way. Its packets are held until all are there, or too many.
type cutting struct {
	*Cutter
	end        int64
	shownUntil int64    // end of the last picture so far
	packets    []Packet // of the video, in decoding order

	video, audio []*astiav.Packet // not written yet
	held         int64            // bytes of them
	size         int64            // bytes of all

	container string
	body      *spool
	out       *sink // nil: not begun
	vOut      *astiav.Stream
	aOut      *astiav.Stream // nil: there is no sound
	time      *clock
	aEnd      int64 // decoding time of the last packet of sound

	written map[int]int64 // decoding time of a stream's last packet, on its own clock
}

// collect takes packets as far as the keyframe at which the segment ends, and returns that; nil at the end of the clip.
func (s *cutting) collect() (*astiav.Packet, error) {
	for {
		p, err := s.in.read()
		if errors.Is(err, io.EOF) {
			s.ended = true
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if !s.in.isVideo(p) {
			s.addSound(p)
		} else {
			if !stamp(p) {
				p.Free()
				continue
			}
			at, key := s.in.since(p.Pts()), p.Flags().Has(astiav.PacketFlagKey)
			switch {
			case at > max(s.start, s.shownUntil)+maxGap:
				p.Free()
				continue
			case key && len(s.packets) > 0 && at-s.start >= s.options.Length:
				return p, nil
			case at < s.start && len(s.video)+len(s.packets) > 0 && !p.Flags().Has(astiav.PacketFlagDiscard):
				p.Free() // shown before the keyframe it follows, so of the segment before
				continue
			}
			s.addPicture(p, at, key)
		}
		// Before the first are written there must be enough of them to tell how pictures are reordered.
		if s.held > s.options.Memory && (s.out != nil || len(s.video) > 4*maxReorder) {
			if err := s.flush(s.shownUntil - maxInterleave); err != nil {
				return nil, err
			}
		}
		if s.size > maxSegment {
			return nil, &Unreadable{Reason: NoKeyframes,
				Hint: "The clip has no keyframe within a gigabyte, so that it cannot be cut: record it with a keyframe every few seconds."}
		}
	}
}

func (s *cutting) addPicture(p *astiav.Packet, at int64, key bool) {
	s.video = append(s.video, p)
	s.count(p)
	if p.Flags().Has(astiav.PacketFlagDiscard) {
		return
	}
	s.packets = append(s.packets, Packet{PTS: at, Size: p.Size(), Key: key})
	duration := rescale(p.Duration(), s.in.base, microsecond)
	if duration <= 0 {
		duration = s.in.interval()
	}
	s.shownUntil = max(s.shownUntil, at+duration)
}

func (s *cutting) addSound(p *astiav.Packet) {
	if at := s.in.soundTime(p); at < s.start || at > max(s.start, s.shownUntil)+maxAhead {
		p.Free() // came too late, or too early, or is damaged
		return
	}
	s.audio = append(s.audio, p)
	s.count(p)
}

func (s *cutting) count(p *astiav.Packet) {
	s.held += int64(p.Size()) + packetCost
	s.size += int64(p.Size()) + packetCost
}

// finish reads on behind the keyframe that ends the segment, takes what belongs before it, and leaves the rest, the
// keyframe first, to be read again.
func (s *cutting) finish(key *astiav.Packet) error {
	ahead := []*astiav.Packet{key}
	// Sound may come before its picture, too.
	s.audio = slices.DeleteFunc(s.audio, func(p *astiav.Packet) bool {
		later := s.in.soundTime(p) >= s.end
		if later {
			ahead = append(ahead, p)
		}
		return later
	})
	defer func() { s.in.queue = append(ahead, s.in.queue...) }()
	pictures, sound := false, s.in.audio == nil
	last := 0 // that is shown before the keyframe
	var size int64
	for after := 0; (!pictures || !sound) && size < s.options.Memory; {
		p, err := s.in.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		size += int64(p.Size())
		if !s.in.isVideo(p) {
			if s.in.soundTime(p) < s.end {
				s.addSound(p)
			} else {
				ahead = append(ahead, p)
				sound = true
			}
			continue
		}
		ahead = append(ahead, p)
		if !stamp(p) {
			continue
		}
		switch at := s.in.since(p.Pts()); {
		case at < s.end:
			last = len(ahead) - 1
		case at-s.end > maxInterleave:
			sound = true
			fallthrough
		default:
			// Nothing is shown before it is decoded.
			after++
			pictures = pictures || after > maxReorder ||
				p.Dts() != astiav.NoPtsValue && p.Dts() >= key.Pts()
		}
	}
	if last == 0 {
		return nil
	}
	for _, p := range ahead[:last+1] {
		if !s.in.isVideo(p) || p.Pts() == astiav.NoPtsValue {
			continue
		}
		c := p.Clone()
		if c == nil {
			return errors.New("cut: out of memory")
		}
		s.video = append(s.video, c)
		s.count(c)
		if at := s.in.since(p.Pts()); at < s.end {
			s.packets = append(s.packets, Packet{PTS: at, Size: p.Size(), Key: p.Flags().Has(astiav.PacketFlagKey)})
		}
	}
	return nil
}

// close writes what is held and ends the file.
func (s *cutting) close() (*Segment, error) {
	if err := s.flush(s.end + maxTail); err != nil {
		return nil, err
	}
	if err := s.out.end(); err != nil {
		if s.out.err != nil {
			return nil, fmt.Errorf("cut the segment at %d µs: %w", s.start, err)
		}
		return nil, &Unreadable{Reason: Undecodable, Err: err,
			Hint: fmt.Sprintf("The clip is too damaged to be copied at %d s: repair or convert it.", s.start/1e6)}
	}
	segment := &Segment{
		Span:      Span{s.start, s.end},
		Container: s.container,
		Packets:   s.packets,
		body:      s.body,
	}
	if s.container != "nut" {
		segment.Header = headerOf(s.body)
	}
	s.body = nil // the caller's now
	return segment, nil
}

// flush writes what is held, in the order of decoding: all pictures, and the sound before a time.
func (s *cutting) flush(until int64) error {
	if s.out == nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	slices.SortStableFunc(s.audio, func(a, b *astiav.Packet) int { return cmp.Compare(s.in.soundTime(a), s.in.soundTime(b)) })
	for _, p := range s.video {
		p.SetPts(p.Pts() - s.in.origin)
		if p.Dts() != astiav.NoPtsValue {
			p.SetDts(p.Dts() - s.in.origin)
		}
		s.time.set(p)
		if err := s.writeSound(rescale(p.Dts(), s.in.base, microsecond)); err != nil {
			return err
		}
		err := s.write(p, s.vOut, s.in.base)
		p.Free()
		if err != nil {
			return err
		}
	}
	s.video = nil
	if err := s.writeSound(until); err != nil {
		return err
	}
	s.held = 0
	for _, p := range s.audio {
		s.held += int64(p.Size()) + packetCost
	}
	return nil
}

// writeSound writes what lies before a time.
func (s *cutting) writeSound(until int64) error {
	for len(s.audio) > 0 && s.in.soundTime(s.audio[0]) < until {
		p := s.audio[0]
		s.audio = s.audio[1:]
		err := s.writeSoundPacket(p)
		p.Free()
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *cutting) writeSoundPacket(p *astiav.Packet) error {
	if s.aOut == nil || !stamp(p) {
		return nil
	}
	base := s.in.audio.TimeBase()
	at := p.Pts() - rescale(s.in.origin, s.in.base, base)
	if at <= s.aEnd {
		return nil
	}
	s.aEnd = at
	p.SetPts(at)
	p.SetDts(at)
	return s.write(p, s.aOut, base)
}

// write leaves out what the muxer does not take: that is damaged.
func (s *cutting) write(p *astiav.Packet, to *astiav.Stream, base astiav.Rational) error {
	ticks := func(d int64) int64 { return rescale(d, base, to.TimeBase()) }
	dts := ticks(p.Dts())
	last, ok := s.written[to.Index()]
	if ok && dts-last > maxTicks || ticks(p.Pts()-p.Dts()) > maxTicks {
		return nil
	}
	if ticks(p.Duration()) > maxTicks {
		p.SetDuration(0)
	}
	s.written[to.Index()] = dts
	if err := s.out.write(p, to, base); err != nil && s.out.err != nil {
		return fmt.Errorf("cut the segment at %d µs: %w", s.start, err)
	}
	return nil
}

// begin opens the file in the first container that holds the clip's codecs.
func (s *cutting) begin() error {
	candidates := []string{"mp4", "mov", "nut"}
	if s.in.bareHEVC() {
		candidates = candidates[2:]
	}
	var err error
	for _, name := range candidates {
		if err = s.beginAs(name); err == nil {
			s.container = name
			break
		}
		if s.out != nil {
			s.out.close()
			s.out = nil
		}
		s.body.close()
		s.body = &spool{limit: s.options.Memory, dir: s.options.Dir}
	}
	if err != nil {
		return &Unreadable{Reason: UnsupportedCodec, Err: err,
			Hint: fmt.Sprintf("No container takes a copy of %s: convert the clip to H.264.", s.info.Video.Codec)}
	}
	s.time = newClock(s.video, s.in.base, strings.HasPrefix(s.in.format.InputFormat().Name(), "matroska"))
	s.aEnd = math.MinInt64
	return nil
}

// bareHEVC is true of HEVC whose parameters are not yet in the form that MP4 wants. FFmpeg 7.1 makes that form with a
// parser that damaged parameters keep busy for minutes, where nothing can stop it.
func (in *input) bareHEVC() bool {
	extra := in.videoCodec.ExtraData()
	return in.videoCodec.CodecID() == astiav.CodecIDHevc && (len(extra) == 0 || extra[0] == 0)
}

func (s *cutting) beginAs(container string) error {
	var err error
	if s.out, err = newSink(container, s.body); err != nil {
		return err
	}
	if s.vOut, err = s.out.add(s.in.videoCodec.Copy, s.in.base); err != nil {
		return err
	}
	s.vOut.SetSampleAspectRatio(s.in.format.GuessSampleAspectRatio(s.in.video, nil))
	s.vOut.CodecParameters().SetSampleAspectRatio(s.vOut.SampleAspectRatio())
	s.vOut.SetAvgFrameRate(s.in.video.AvgFrameRate())
	if len(s.audio) > 0 {
		if s.aOut, err = s.out.add(s.in.audioCodec.Copy, s.in.audio.TimeBase()); err != nil {
			return err
		}
	}
	s.out.format.SetFlags(s.out.format.Flags().Add(astiav.FormatContextFlagBitexact)) // no version of FFmpeg in the bytes
	options := map[string]string{"avoid_negative_ts": "disabled"}                     // times stay as they are
	if container != "nut" {
		options["movflags"] = "+frag_keyframe+delay_moov+default_base_moof+skip_trailer+frag_discont"
		options["frag_size"] = strconv.Itoa(fragment)
	}
	if err := s.out.begin(options); err != nil {
		return err
	}
	// Fragmented MP4 switches this off, without which AAC out of MPEG-TS is refused.
	s.out.format.SetFlags(s.out.format.Flags().Add(astiav.FormatContextFlagAutoBsf))
	return nil
}

// headerOf is where the first fragment begins.
func headerOf(r io.ReaderAt) int64 {
	var box [8]byte
	for offset := int64(0); ; {
		if _, err := r.ReadAt(box[:], offset); err != nil {
			return 0
		}
		if string(box[4:]) == "moof" {
			return offset
		}
		size := int64(binary.BigEndian.Uint32(box[:]))
		if size < 8 {
			return 0
		}
		offset += size
	}
}

func (s *cutting) drop() {
	for _, p := range append(s.video, s.audio...) {
		p.Free()
	}
	s.video, s.audio, s.held = nil, nil, 0
}

func (s *cutting) free() {
	s.drop()
	if s.out != nil {
		s.out.close()
	}
	if s.body != nil {
		s.body.close()
	}
}
