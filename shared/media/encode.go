package media

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"strconv"

	"github.com/asticode/go-astiav"
)

// EncodeOptions say how a segment is encoded. Segments encoded with the same Width, Height and Sound, wherever and
// whenever, can be joined by stream copy ([Join]): everything else about the encoder is fixed.
type EncodeOptions struct {
	Span          Span // of the segment; the video lasts exactly as long
	Width, Height int  // of the video: even, see [EncodedSize]
	Sound         bool // with an audio track: silence where the segment has none. The same for all segments of a clip
	Threads       int  // of decoder and encoder each; 0 means 1

	// Draw changes each picture before it is encoded; us is its time in the clip. The picture is good for that call only.
	Draw func(p *image.YCbCr, us int64)

	// Poster is the time of which a still picture is wanted too, as drawn; the first picture at or after it is taken.
	Poster      int64
	PosterWidth int // 0: none is wanted
}

// Encoded is a segment as H.264, and AAC if it has sound, in an MP4 whose times begin at 0. Pictures keep their distances
// in time, but that the first is shown from the very start and the last to the very end.
type Encoded struct {
	MP4     []byte
	Frames  int
	Skipped int      // frames that could not be decoded
	Poster  *Picture // nil unless it was asked for
}

// EncodedSize is the size in which a picture is encoded: within limits, with its aspect, never enlarged, even.
func EncodedSize(width, height, maxWidth, maxHeight int) (int, int) {
	return fit(width, height, maxWidth, maxHeight)
}

// The encoder's one setting. There are no B-frames: pictures come in the order of display, and decoding times are their
// times, so that segments follow one another without any shift, whatever their frame rates.
func x264(width, height int) map[string]string {
	level := "4.0"
	if (width+15)/16*((height+15)/16) > 8192 { // macroblocks that level can hold
		level = "5.2"
	}
	return map[string]string{
		"preset": "veryfast", "crf": "23", "profile": "high", "level": level,
		"bf": "0", "g": "120", "flags": "+cgop+global_header",
	}
}

// encoding is a segment under way.
type encoding struct {
	EncodeOptions
	video  *astiav.CodecContext // opened with the first frame
	sound  *soundtrack          // nil: silent
	out    *memory
	sink   *sink
	stream *astiav.Stream
	hum    *astiav.Stream // of the sound
	fitted *Frame         // where the decoder's frames have another size
	scaler scaler

	packet *astiav.Packet
	held   *astiav.Packet // encoded, waiting for its duration
	times  []int64        // of the frames, since the segment's start
	done   Encoded
}

// Encode decodes a segment, has it drawn on, and encodes it. It holds a few pictures at a time and the encoded video.
func Encode(ctx context.Context, src Source, o EncodeOptions) (*Encoded, error) {
	if o.Width < 2 || o.Height < 2 || o.Width%2 != 0 || o.Height%2 != 0 || o.Width > maxSide || o.Height > maxSide {
		return nil, fmt.Errorf("encode: a video of %dx%d cannot be made", o.Width, o.Height)
	}
	if o.Span.End <= o.Span.Start {
		return nil, fmt.Errorf("encode: a segment from %d to %d µs is empty", o.Span.Start, o.Span.End)
	}
	e := &encoding{EncodeOptions: o, out: &memory{}}
	defer e.close()
	if err := e.run(ctx, src); err != nil {
		return nil, fmt.Errorf("encode the segment from %d to %d µs: %w", o.Span.Start, o.Span.End, err)
	}
	e.done.MP4 = e.out.b
	return &e.done, nil
}

func (e *encoding) run(ctx context.Context, src Source) error {
	if e.Sound {
		// All of the sound comes first: it is small, and lies elsewhere in the file than its picture.
		var err error
		if e.sound, err = readSound(ctx, src, e.Span); err != nil {
			return err
		}
	}
	d, err := Decode(ctx, src, DecodeOptions{
		Span: &e.Span, Format: YUV420, MaxWidth: e.Width, MaxHeight: e.Height, Threads: e.Threads,
	})
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := e.add(f); err != nil {
			return err
		}
	}
	e.done.Skipped = d.Skipped()
	if e.video == nil {
		return &Unreadable{Reason: Undecodable, Hint: "Not one picture of the segment could be decoded: it is damaged."}
	}
	return e.finish()
}

// add draws on a frame and encodes it.
func (e *encoding) add(f *Frame) error {
	us := f.PTS
	if f.Width() != e.Width || f.Height() != e.Height { // a camera that changed its size on the way
		if err := e.fit(f); err != nil {
			return err
		}
		f = e.fitted
	}
	if err := f.MakeWritable(); err != nil {
		return err
	}
	if e.Draw != nil {
		e.Draw(f.planar(), us)
	}
	if e.PosterWidth > 0 && e.done.Poster == nil && us >= e.Poster {
		w, h := fit(e.Width, e.Height, e.PosterWidth, 0)
		p, err := f.Picture(image.Rectangle{}, w, h)
		if err != nil {
			return err
		}
		e.done.Poster = &p
	}
	if e.video == nil {
		if err := e.open(f); err != nil {
			return err
		}
	}
	at := us - e.Span.Start
	if len(e.times) == 0 {
		at = 0
	}
	e.times = append(e.times, at)
	av := f.av.Clone() // of our own: the time and the kind of picture are for the encoder
	if av == nil {
		return errors.New("out of memory")
	}
	defer av.Free()
	av.SetPts(at)
	av.SetPictureType(astiav.PictureTypeNone)
	if err := e.video.SendFrame(av); err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	return e.drain()
}

// fit scales a frame to the size of the video.
func (e *encoding) fit(f *Frame) error {
	e.scaler.format, e.scaler.width, e.scaler.height = YUV420, e.Width, e.Height
	if err := reuse(&e.fitted, YUV420, e.Width, e.Height); err != nil {
		return err
	}
	return e.scaler.run(f.av, e.fitted)
}

// matrix is how a YUV frame's colours are to be read. The scaler keeps what they were, so that there may be more to say.
func (f *Frame) matrix() astiav.ColorSpace {
	switch space := f.av.ColorSpace(); space {
	case astiav.ColorSpaceUnspecified, astiav.ColorSpaceRgb:
		return astiav.ColorSpaceSmpte170M // as which FFmpeg takes the one, and into which it makes the other
	default:
		return space
	}
}

// planar shows a YUV frame to those who draw.
func (f *Frame) planar() *image.YCbCr {
	y, stride := f.Plane(0)
	cb, chroma := f.Plane(1)
	cr, _ := f.Plane(2)
	return &image.YCbCr{
		Y: y, Cb: cb, Cr: cr, YStride: stride, CStride: chroma,
		SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: image.Rect(0, 0, f.Width(), f.Height()),
	}
}

// open begins the video with what its first frame is like.
func (e *encoding) open(f *Frame) error {
	encoder := astiav.FindEncoderByName("libx264")
	if encoder == nil {
		return errors.New("FFmpeg was built without libx264: install one that has it (Debian's has)")
	}
	if e.packet = astiav.AllocPacket(); e.packet == nil {
		return errors.New("out of memory")
	}
	if e.video = astiav.AllocCodecContext(encoder); e.video == nil {
		return errors.New("out of memory")
	}
	v := e.video
	v.SetWidth(e.Width)
	v.SetHeight(e.Height)
	v.SetPixelFormat(astiav.PixelFormatYuv420P)
	v.SetColorRange(astiav.ColorRangeMpeg)
	v.SetColorSpace(f.matrix())
	v.SetSampleAspectRatio(astiav.NewRational(1, 1))
	v.SetTimeBase(microsecond)
	v.SetFramerate(astiav.NewRational(30, 1)) // only a hint: the frames' own times count
	v.SetThreadCount(max(1, e.Threads))
	options, err := dictionary(x264(e.Width, e.Height))
	if err != nil {
		return err
	}
	defer options.Free()
	if err := v.Open(encoder, options); err != nil {
		return fmt.Errorf("open the encoder for %dx%d: %w", e.Width, e.Height, err)
	}

	if e.sink, err = newSink("mp4", e.out); err != nil {
		return err
	}
	if e.stream, err = e.sink.add(v.ToCodecParameters, microsecond); err != nil {
		return err
	}
	if e.sound != nil {
		if e.hum, err = e.sink.add(e.sound.codec.ToCodecParameters, sample); err != nil {
			return err
		}
	}
	// The muxer is not to make its own times.
	return e.sink.begin(map[string]string{"use_editlist": "0", "video_track_timescale": strconv.Itoa(microsecond.Den())})
}

// drain takes what the encoder has ready.
func (e *encoding) drain() error {
	for {
		err := e.video.ReceivePacket(e.packet)
		if errors.Is(err, astiav.ErrEagain) || errors.Is(err, astiav.ErrEof) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("encode a frame: %w", err)
		}
		if e.held == nil {
			if e.held = astiav.AllocPacket(); e.held == nil {
				return errors.New("out of memory")
			}
		} else if err := e.write(e.packet.Pts()); err != nil {
			return err
		}
		e.held.MoveRef(e.packet)
	}
}

// write writes the packet that is held, which is shown until then, after the sound that is due before it.
func (e *encoding) write(until int64) error {
	if err := e.hear(e.held.Pts()); err != nil {
		return err
	}
	e.held.SetDts(e.held.Pts())
	e.held.SetDuration(until - e.held.Pts())
	e.done.Frames++
	return e.sink.write(e.held, e.stream, microsecond)
}

// hear writes the sound before a time.
func (e *encoding) hear(until int64) error {
	if e.sound == nil {
		return nil
	}
	for len(e.sound.packets) > 0 && rescale(e.sound.packets[0].Pts(), sample, microsecond) < until {
		p := e.sound.packets[0]
		e.sound.packets = e.sound.packets[1:]
		err := e.sink.write(p, e.hum, sample)
		p.Free()
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *encoding) finish() error {
	if err := e.video.SendFrame(nil); err != nil {
		return fmt.Errorf("end the video: %w", err)
	}
	if err := e.drain(); err != nil {
		return err
	}
	length := e.Span.End - e.Span.Start
	if e.held == nil {
		return errors.New("the encoder gave nothing")
	}
	if err := e.write(length); err != nil {
		return err
	}
	if err := e.hear(length); err != nil {
		return err
	}
	return e.sink.end()
}

func (e *encoding) close() {
	if e.sound != nil {
		e.sound.close()
	}
	if e.sink != nil {
		e.sink.close()
	}
	for _, p := range []*astiav.Packet{e.packet, e.held} {
		if p != nil {
			p.Free()
		}
	}
	if e.video != nil {
		e.video.Free()
	}
	if e.fitted != nil {
		e.fitted.Close()
	}
	e.scaler.close()
}
