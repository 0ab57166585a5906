package media

import (
	"cmp"
	"context"
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

// CutOptions say where a clip is cut. The zero value cuts it all, about every ten seconds.
type CutOptions struct {
	// Length in microseconds: a segment ends at the first keyframe so long after its start, or later. 0 means 10 s.
	Length int64

	// From goes on where a segment ended. Whatever follows is cut as if one had begun at the clip's beginning.
	From int64

	// Memory is how many bytes of a segment are held in memory, twice for a moment; 0 means 32 MiB. What is longer goes
	// to a temporary file in Dir, by default the system's directory for that.
	Memory int64
	Dir    string
}

const (
	defaultLength  = 10e6
	defaultMemory  = 32 << 20
	maxSegment     = 1 << 30 // bytes without a keyframe to cut at, beyond which a clip is refused
	maxInterleave  = 2e6     // microseconds by which sound may lie behind its picture in the file
	maxReorder     = 16      // pictures decoded before they are shown, by any codec
	resumeDistance = 3e6     // microseconds before the cut from which reading is taken up, for the sound
	fragment       = 8 << 20 // bytes of an MP4 fragment at most
	maxGap         = 3600e6  // microseconds between two pictures, beyond which a time is damaged
	maxTicks       = 1 << 30 // of the container's clock between two packets: the muxer aborts at twice as many
	maxTail        = 10e6    // microseconds by which the sound may outlast the last picture
)

// Segment is a stretch of a clip that can be decoded by itself. It is a Source; give its Span to Decode or Packets.
//
// In its file all packets keep the clip's times, that of the clip's first frame being 0. Pictures outside the span may be
// there for others' sake: those that an edit list hides and, where pictures are shown before the keyframe that ends the
// segment but need it to be decoded (open groups), that keyframe and they.
type Segment struct {
	Span
	Container string   // "mp4" (fragmented); "mov" for codecs that MP4 does not hold, "nut" where that does not either
	Header    int64    // bytes before the first fragment, for HLS: EXT-X-MAP is [0, Header), media the rest; 0: not MP4 or MOV
	Packets   []Packet // the pictures within the span, in decoding order
	body      *spool
}

// Size is in bytes.
func (s *Segment) Size() int64 { return s.body.size }

// ReadAt reads the segment's file.
func (s *Segment) ReadAt(p []byte, off int64) (int, error) { return s.body.ReadAt(p, off) }

// Bytes is the whole file, without a copy where it is in memory.
func (s *Segment) Bytes() ([]byte, error) {
	if s.body.file == nil {
		return s.body.mem, nil
	}
	b := make([]byte, s.Size())
	if _, err := s.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read a long segment back: %w", err)
	}
	return b, nil
}

// Close removes it.
func (s *Segment) Close() { s.body.close() }

// Cutter iterates over the segments of a clip.
type Cutter struct {
	options   CutOptions
	in        *input
	info      *Info
	start     int64 // of the segment to come
	container string
	ended     bool
}

// Cut opens a clip to cut it by stream copy.
func Cut(ctx context.Context, src Source, o CutOptions) (*Cutter, error) {
	if o.Length == 0 {
		o.Length = defaultLength
	}
	if o.Memory == 0 {
		o.Memory = defaultMemory
	}
	if o.Length < 0 || o.Memory < 0 || o.From < 0 {
		return nil, fmt.Errorf("cut: a length of %d µs from %d with %d bytes of memory makes no sense", o.Length, o.From, o.Memory)
	}
	in, err := openCut(ctx, src, o.From)
	if err != nil {
		return nil, err
	}
	info := in.info()
	info.Missing = missing(in.reader)
	return &Cutter{options: o, in: in, info: info, start: o.From}, nil
}

// openCut opens a clip with the keyframe at from as the first picture to be read.
func openCut(ctx context.Context, src Source, from int64) (*input, error) {
	open := func() (*input, error) {
		in, err := openInput(ctx, src)
		if err != nil {
			return nil, err
		}
		if err := in.findOrigin(); err != nil {
			in.close()
			return nil, err
		}
		return in, nil
	}
	in, err := open()
	if err != nil || from == 0 {
		return in, err
	}
	if in.reorder == nil && !in.mends() && in.seek(from-resumeDistance) {
		found, err := in.skipTo(from)
		if err != nil {
			in.close()
			return nil, err
		}
		if found {
			return in, nil
		}
	}
	// Not every container can be entered in the middle: what its times mean there may depend on all that was before. All
	// can be read from the beginning.
	in.close()
	if in, err = open(); err != nil {
		return nil, err
	}
	found, err := in.skipTo(from)
	if err == nil && !found {
		err = fmt.Errorf("cut: the clip has no keyframe at %d µs, where the part before ended: it was changed", from)
	}
	if err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

// seek goes to a keyframe before a time, if it can.
func (in *input) seek(to int64) bool {
	for _, p := range in.queue {
		p.Free()
	}
	in.queue = nil
	target := in.origin + rescale(max(0, to), microsecond, in.base)
	return in.format.SeekFrame(in.video.Index(), target, astiav.NewSeekFlags(astiav.SeekFlagBackward)) == nil
}

// skipTo drops what lies before the keyframe at a time, which is then the first picture to be read. It says false where
// there is none.
func (in *input) skipTo(from int64) (bool, error) {
	var sound []*astiav.Packet // of the time after, that lies before in the file
	for {
		p, err := in.read()
		switch {
		case errors.Is(err, io.EOF):
			in.queue = sound
			return false, nil
		case err != nil:
			in.queue = sound // for close
			return false, err
		}
		if !in.isVideo(p) {
			if in.soundTime(p) >= from {
				sound = append(sound, p)
			} else {
				p.Free()
			}
			continue
		}
		if stamp(p) && p.Flags().Has(astiav.PacketFlagKey) {
			switch at := in.since(p.Pts()); {
			case at == from:
				in.queue = append(append(sound, p), in.queue...)
				return true, nil
			case at > from:
				p.Free()
				in.queue = append(sound, in.queue...)
				return false, nil
			}
		}
		p.Free()
	}
}

// soundTime is that of a packet of sound, on the clip's clock.
func (in *input) soundTime(p *astiav.Packet) int64 {
	pts := p.Pts()
	if pts == astiav.NoPtsValue {
		pts = p.Dts()
	}
	return rescale(pts, in.audio.TimeBase(), microsecond) - rescale(in.origin, in.base, microsecond)
}

// Info is what the clip says of itself.
func (c *Cutter) Info() *Info { return c.info }

// Close ends the iteration. Segments already given live on.
func (c *Cutter) Close() { c.in.close() }

// Next gives the next segment, which the caller closes, or io.EOF after the last.
func (c *Cutter) Next() (*Segment, error) {
	if c.ended {
		return nil, io.EOF
	}
	s := &cutting{Cutter: c, written: map[int]int64{}, body: &spool{limit: c.options.Memory, dir: c.options.Dir}}
	defer s.free()
	key, err := s.collect()
	if err != nil {
		return nil, err
	}
	if len(s.packets) == 0 {
		return nil, io.EOF
	}
	if key == nil {
		c.ended = true
		s.end = s.shownUntil
	} else {
		s.end = c.in.since(key.Pts())
		if err := s.finish(key); err != nil {
			return nil, err
		}
	}
	segment, err := s.close()
	if err != nil {
		return nil, err
	}
	c.start = s.end
	return segment, nil
}

// cutting is a segment under way. Its packets are held until all are there, or too many.
type cutting struct {
	*Cutter
	end        int64
	shownUntil int64    // end of the last picture so far
	packets    []Packet // of the video, in decoding order

	video, audio []*astiav.Packet // not written yet
	held         int64            // bytes of them
	size         int64            // bytes of all

	body *spool
	out  *sink // nil: not begun
	vOut *astiav.Stream
	aOut *astiav.Stream
	time *clock
	aEnd int64 // decoding time of the last packet of sound

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
		if s.held > s.options.Memory {
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
	if at := s.in.soundTime(p); at < s.start || at > max(s.start, s.shownUntil)+maxGap {
		p.Free() // came too late, or is damaged
		return
	}
	s.audio = append(s.audio, p)
	s.count(p)
}

func (s *cutting) count(p *astiav.Packet) {
	s.held += int64(p.Size())
	s.size += int64(p.Size())
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
	first := len(ahead)
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
	for i, p := range ahead[:last+1] {
		if i > 0 && i < first || !s.in.isVideo(p) || p.Pts() == astiav.NoPtsValue {
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
		s.held += int64(p.Size())
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
	if s.container != "" {
		candidates = []string{s.container}
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
