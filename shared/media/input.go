package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strconv"

	"github.com/asticode/go-astiav"
)

// containers is what strangers may give us. Left out is whatever makes FFmpeg open other files or addresses
// (playlists, concatenations), still pictures, and what takes any text for video.
const containers = "mov,matroska,mpegts,avi,flv,asf,mpeg,mpegvideo,m4v,h264,hevc,obu,ivf,av1,ogg,mxf,nut,gif,wtv,rm," +
	"dv,mjpeg,mpjpeg,yuv4mpegpipe,dhav,vc1," + "mp3,wav,flac,aac,w64,amr,ac3,eac3,aiff,caf" // audio only, to say so

// microsecond is the time base of everything that leaves.
var microsecond = astiav.NewRational(1, 1_000_000)

// input is an open container and the streams of it that we use.
type input struct {
	reader *reader
	io     *astiav.IOContext
	format *astiav.FormatContext
	video  *astiav.Stream
	audio  *astiav.Stream // nil: there is none
	base   astiav.Rational

	// What the streams were like at first. FFmpeg's own go on changing while it reads, so that they depend on where
	// that began.
	videoCodec, audioCodec *astiav.CodecParameters

	begun   bool // a picture was read
	mender  mender
	reorder *reorder // nil: the container tells when pictures are shown
	origin  int64    // time of the clip's first frame, in base
	queue   []*astiav.Packet
}

// openInput finds the streams. It leaves the position at the beginning and the origin unknown.
func openInput(ctx context.Context, src Source) (_ *input, err error) {
	quiet()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in := &input{reader: newReader(ctx, src)}
	if in.reader.size == 0 {
		return nil, &Unreadable{Reason: Empty, Hint: "The clip has no bytes: upload it again."}
	}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	in.io, err = astiav.AllocIOContext(ioBuffer, false, in.reader.Read, in.reader.Seek, nil)
	if err != nil {
		return nil, fmt.Errorf("open clip: %w", err)
	}
	in.format = astiav.AllocFormatContext()
	if in.format == nil {
		return nil, errors.New("open clip: out of memory")
	}
	in.format.SetPb(in.io)
	options, err := dictionary(map[string]string{
		"probesize":          strconv.Itoa(probeBytes),
		"analyzeduration":    strconv.Itoa(probeDuration),
		"format_whitelist":   containers,
		"protocol_whitelist": "none", // whatever a container refers to is not fetched
	})
	if err != nil {
		return nil, fmt.Errorf("open clip: %w", err)
	}
	defer options.Free()
	if err := in.format.OpenInput("", nil, options); err != nil {
		in.format = nil // OpenInput freed it
		return nil, in.unreadable(err)
	}
	if err := in.format.FindStreamInfo(nil); err != nil {
		return nil, in.unreadable(err)
	}
	if err := in.chooseStreams(); err != nil {
		return nil, err
	}
	if in.videoCodec, err = copyOf(in.video); err != nil {
		return nil, err
	}
	switch in.videoCodec.CodecID() {
	case astiav.CodecIDH264, astiav.CodecIDHevc: // see reorder; FFmpeg would wait for times until the end of the clip
	default:
		in.format.SetFlags(in.format.Flags().Add(astiav.FormatContextFlagGenPts))
	}
	if in.audio != nil {
		if in.audioCodec, err = copyOf(in.audio); err != nil {
			return nil, err
		}
	}
	return in, nil
}

func copyOf(s *astiav.Stream) (*astiav.CodecParameters, error) {
	c := astiav.AllocCodecParameters()
	if c == nil {
		return nil, errors.New("open clip: out of memory")
	}
	if err := s.CodecParameters().Copy(c); err != nil {
		c.Free()
		return nil, fmt.Errorf("open clip: %w", err)
	}
	return c, nil
}

// unreadable says why a container did not open.
func (in *input) unreadable(err error) error {
	if in.reader.err != nil || in.reader.ctx.Err() != nil {
		return in.reader.wrap("open clip", err)
	}
	if endsEarly(in.reader) {
		return &Unreadable{Reason: Truncated, Err: err,
			Hint: "The clip stops before its index: the recording or the upload was interrupted. Upload it again, or repair it."}
	}
	return &Unreadable{Reason: NotVideo, Err: err,
		Hint: "The file is not in a video container that is known here (MP4, MOV, Matroska, WebM, MPEG-TS, AVI and others are)."}
}

// chooseStreams takes the video that FFmpeg thinks best and its audio, and has all others skipped.
func (in *input) chooseStreams() error {
	video, codec, err := in.format.FindBestStream(astiav.MediaTypeVideo, -1, -1)
	switch {
	case errors.Is(err, astiav.ErrDecoderNotFound):
		return &Unreadable{Reason: UnsupportedCodec, Err: err,
			Hint: "There is no decoder for the clip's video: convert it to H.264."}
	case err != nil || codec == nil || video.DispositionFlags().Has(astiav.DispositionFlagAttachedPic):
		return &Unreadable{Reason: NoVideoStream, Err: err,
			Hint: "The clip has no moving picture (audio only, perhaps)."}
	}
	parameters := video.CodecParameters()
	if w, h := parameters.Width(), parameters.Height(); w > maxSide || h > maxSide || w*h > maxPixels {
		return &Unreadable{Reason: TooLarge,
			Hint: fmt.Sprintf("The picture has %dx%d pixels; at most %d pixels are processed.", w, h, maxPixels)}
	}
	in.video, in.base = video, video.TimeBase()
	// An audio stream that cannot be decoded is no reason to refuse the video.
	if audio, _, err := in.format.FindBestStream(astiav.MediaTypeAudio, -1, video.Index()); err == nil {
		in.audio = audio
	}
	for _, s := range in.format.Streams() {
		if s.Index() != video.Index() && (in.audio == nil || s.Index() != in.audio.Index()) {
			s.SetDiscard(astiav.DiscardAll)
		}
	}
	return nil
}

// videoOnly has the audio skipped, so that it is not read where the container allows.
func (in *input) videoOnly() {
	if in.audio != nil {
		in.audio.SetDiscard(astiav.DiscardAll)
		in.audio = nil
	}
}

// read gives the next packet of the streams in use; the caller frees it. At the end it is io.EOF, and so it is where
// the rest is too damaged to go on: what came before is good.
func (in *input) read() (*astiav.Packet, error) {
	if len(in.queue) > 0 {
		p := in.queue[0]
		in.queue = in.queue[1:]
		return p, nil
	}
	return in.readFile()
}

func (in *input) readFile() (*astiav.Packet, error) {
	for {
		if in.reorder != nil {
			if p := in.reorder.pull(); p != nil {
				return p, nil
			}
			if in.reorder.ended {
				return nil, io.EOF
			}
		}
		p, err := in.demux()
		if errors.Is(err, io.EOF) && in.reorder != nil {
			in.reorder.push(nil)
			continue
		}
		if err != nil || !in.isVideo(p) {
			return p, err
		}
		if !in.begun {
			in.begun = true
			if in.reorder, err = newReorder(in, p); err != nil {
				p.Free()
				return nil, err
			}
		}
		if in.reorder == nil {
			return p, nil
		}
		in.reorder.push(p)
	}
}

// demux reads a packet of the streams in use.
func (in *input) demux() (_ *astiav.Packet, err error) {
	p := astiav.AllocPacket()
	if p == nil {
		return nil, errors.New("read clip: out of memory")
	}
	defer func() {
		if err != nil {
			p.Free()
		}
	}()
	for range maxDamage {
		err := in.format.ReadFrame(p)
		switch {
		case in.reader.err != nil || in.reader.ctx.Err() != nil:
			if err := in.reader.ctx.Err(); err != nil && in.reader.err == nil {
				return nil, err
			}
			return nil, in.reader.wrap("read clip", err)
		case err == nil && in.uses(p):
			if in.mends() {
				in.mend(p)
			}
			return p, nil
		case err == nil:
			p.Unref()
		case errors.Is(err, astiav.ErrEof):
			return nil, io.EOF
		}
	}
	return nil, io.EOF
}

func (in *input) uses(p *astiav.Packet) bool {
	if p.Size() == 0 {
		return false
	}
	return in.isVideo(p) || in.audio != nil && p.StreamIndex() == in.audio.Index()
}

func (in *input) isVideo(p *astiav.Packet) bool { return p.StreamIndex() == in.video.Index() }

// stamp gives a packet without a presentation time its decoding time, and tells whether it has one at all then.
func stamp(p *astiav.Packet) bool {
	if p.Pts() == astiav.NoPtsValue {
		p.SetPts(p.Dts())
	}
	return p.Pts() != astiav.NoPtsValue
}

// findOrigin reads as far as the first frame that can be shown, sets the origin to its time and queues what it read.
// What lies before the first keyframe cannot be decoded and is dropped.
func (in *input) findOrigin() error {
	var first, shown bool
	for read := 0; !shown; {
		p, err := in.readFile()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if !in.isVideo(p) {
			in.queue = append(in.queue, p)
			if len(in.queue) > maxHidden {
				in.queue[0].Free()
				in.queue = in.queue[1:]
			}
			continue
		}
		first = first || p.Flags().Has(astiav.PacketFlagKey)
		if !first {
			p.Free()
			continue
		}
		in.queue = append(in.queue, p)
		// An edit list may hide the first pictures, which are then needed for decoding only.
		if !stamp(p) || p.Flags().Has(astiav.PacketFlagDiscard) {
			read++
			if read > maxHidden {
				break
			}
			continue
		}
		in.origin, shown = p.Pts(), true
	}
	switch {
	case !first:
		return &Unreadable{Reason: NoKeyframes,
			Hint: "The clip has no keyframe, so that nothing of it can be decoded: upload it from its beginning."}
	case !shown:
		// No time at all: count from the first one, whatever it is.
		in.origin = 0
	}
	return nil
}

// since converts a time in the video's time base to microseconds since the clip's first frame.
func (in *input) since(pts int64) int64 {
	return rescale(pts-in.origin, in.base, microsecond)
}

// interval is how long a frame usually is on display, in microseconds.
func (in *input) interval() int64 {
	rate := positive(in.video.AvgFrameRate())
	if rate == 0 {
		rate = 25
	}
	return max(1, int64(1e6/rate))
}

// rescale converts between time bases and rounds to the nearest, halves away from zero.
func rescale(v int64, from, to astiav.Rational) int64 {
	num := int64(from.Num()) * int64(to.Den())
	den := int64(from.Den()) * int64(to.Num())
	if num <= 0 || den <= 0 {
		return 0
	}
	negative := v < 0
	if negative {
		v = -v
	}
	hi, lo := bits.Mul64(uint64(v), uint64(num))
	lo, carry := bits.Add64(lo, uint64(den)/2, 0)
	hi += carry
	if hi >= uint64(den) {
		return 0 // beyond 64 bits: no time that a clip can have
	}
	q, _ := bits.Div64(hi, lo, uint64(den))
	if negative {
		return -int64(q)
	}
	return int64(q)
}

func (in *input) close() {
	for _, p := range in.queue {
		p.Free()
	}
	in.queue = nil
	for _, c := range []*astiav.CodecParameters{in.videoCodec, in.audioCodec} {
		if c != nil {
			c.Free()
		}
	}
	in.videoCodec, in.audioCodec = nil, nil
	if in.reorder != nil {
		in.reorder.close()
		in.reorder = nil
	}
	if in.format != nil {
		in.format.CloseInput()
		in.format = nil
	}
	if in.io != nil {
		in.io.Free()
		in.io = nil
	}
}

// dictionary makes FFmpeg's options; the caller frees them.
func dictionary(options map[string]string) (*astiav.Dictionary, error) {
	d := astiav.NewDictionary()
	for k, v := range options {
		if err := d.Set(k, v, 0); err != nil {
			d.Free()
			return nil, fmt.Errorf("option %s=%s: %w", k, v, err)
		}
	}
	return d, nil
}
