// Package mediatest makes videos for tests and measurements: pictures enter, a file as a camera could have written it
// leaves.
package mediatest

import (
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/asticode/go-astiav"

	"vedette.dev/shared/media"
)

// Video says what a video is like.
type Video struct {
	Width, Height int               // even
	Rate          int               // frames a second
	GOP           int               // frames from keyframe to keyframe
	Codec         string            // FFmpeg's encoder; "": libx264
	Options       map[string]string // of the encoder, beyond the defaults (of libx264: a fixed distance of keyframes, quick)
	Container     string            // FFmpeg's muxer; "": mp4
}

// Encode makes a video of so many frames. Paint fills a picture of packed RGB, rows without a gap; it may rely on
// finding there what it painted last.
func (v Video) Encode(frames int, paint func(rgb []byte, i int)) ([]byte, error) {
	out := &file{}
	e := &encoder{Video: v}
	defer e.close()
	if err := e.open(out); err != nil {
		return nil, fmt.Errorf("make a video: %w", err)
	}
	for i := range frames {
		paint(e.rgb, i)
		if err := e.add(i); err != nil {
			return nil, fmt.Errorf("make a video: frame %d: %w", i, err)
		}
	}
	if err := e.end(); err != nil {
		return nil, fmt.Errorf("make a video: %w", err)
	}
	return out.b, nil
}

// encoder is a video under way.
type encoder struct {
	Video
	io     *astiav.IOContext
	format *astiav.FormatContext
	codec  *astiav.CodecContext
	stream *astiav.Stream
	scale  *astiav.SoftwareScaleContext
	source *astiav.Frame // RGB
	frame  *astiav.Frame // what the codec takes
	packet *astiav.Packet
	rgb    []byte
}

func (e *encoder) open(out *file) error {
	media.LogTo(nil) // encoders are talkative
	name := e.Codec
	if name == "" {
		name = "libx264"
	}
	codec := astiav.FindEncoderByName(name)
	if codec == nil {
		return fmt.Errorf("FFmpeg was built without the encoder %s", name)
	}
	container := e.Container
	if container == "" {
		container = "mp4"
	}
	var err error
	if e.io, err = astiav.AllocIOContext(32<<10, true, nil, out.Seek, out.Write); err != nil {
		return err
	}
	if e.format, err = astiav.AllocOutputFormatContext(nil, container, ""); err != nil {
		return err
	}
	e.format.SetPb(e.io)

	base := astiav.NewRational(1, e.Rate)
	e.codec = astiav.AllocCodecContext(codec)
	e.codec.SetWidth(e.Width)
	e.codec.SetHeight(e.Height)
	e.codec.SetPixelFormat(e.pixels())
	e.codec.SetTimeBase(base)
	e.codec.SetFramerate(astiav.NewRational(e.Rate, 1))
	e.codec.SetGopSize(e.GOP)
	e.codec.SetThreadCount(1)
	if e.format.OutputFormat().Flags().Has(astiav.IOFormatFlagGlobalheader) {
		e.codec.SetFlags(e.codec.Flags().Add(astiav.CodecContextFlagGlobalHeader))
	}
	options := map[string]string{}
	if name == "libx264" {
		options = map[string]string{"preset": "veryfast", "sc_threshold": "0"}
	}
	maps.Copy(options, e.Options)
	d := astiav.NewDictionary()
	defer d.Free()
	for key, value := range options {
		if err := d.Set(key, value, 0); err != nil {
			return fmt.Errorf("option %s=%s: %w", key, value, err)
		}
	}
	if err := e.codec.Open(codec, d); err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	e.stream = e.format.NewStream(nil)
	if err := e.stream.CodecParameters().FromCodecContext(e.codec); err != nil {
		return err
	}
	e.stream.CodecParameters().SetCodecTag(0)
	e.stream.SetTimeBase(base)
	e.stream.SetAvgFrameRate(astiav.NewRational(e.Rate, 1))
	if err := e.format.WriteHeader(nil); err != nil {
		return err
	}

	e.packet = astiav.AllocPacket()
	if e.source, err = newFrame(e.Width, e.Height, astiav.PixelFormatRgb24); err != nil {
		return err
	}
	if e.frame, err = newFrame(e.Width, e.Height, e.pixels()); err != nil {
		return err
	}
	e.rgb = make([]byte, 3*e.Width*e.Height)
	e.scale, err = astiav.CreateSoftwareScaleContext(e.Width, e.Height, astiav.PixelFormatRgb24, e.Width, e.Height, e.pixels(),
		astiav.NewSoftwareScaleContextFlags(astiav.SoftwareScaleContextFlagBilinear))
	return err
}

// pixels is what the codec takes.
func (e *encoder) pixels() astiav.PixelFormat {
	if e.Codec == "mjpeg" {
		return astiav.PixelFormatYuvj420P
	}
	return astiav.PixelFormatYuv420P
}

func newFrame(w, h int, pixels astiav.PixelFormat) (*astiav.Frame, error) {
	f := astiav.AllocFrame()
	f.SetWidth(w)
	f.SetHeight(h)
	f.SetPixelFormat(pixels)
	return f, f.AllocBuffer(1)
}

func (e *encoder) add(i int) error {
	if err := e.source.MakeWritable(); err != nil {
		return err
	}
	if err := e.source.Data().SetBytes(e.rgb, 1); err != nil {
		return err
	}
	if err := e.frame.MakeWritable(); err != nil {
		return err
	}
	if err := e.scale.ScaleFrame(e.source, e.frame); err != nil {
		return err
	}
	e.frame.SetPts(int64(i))
	if err := e.codec.SendFrame(e.frame); err != nil {
		return err
	}
	return e.drain()
}

func (e *encoder) drain() error {
	for {
		switch err := e.codec.ReceivePacket(e.packet); {
		case errors.Is(err, astiav.ErrEagain), errors.Is(err, astiav.ErrEof):
			return nil
		case err != nil:
			return err
		}
		e.packet.SetDuration(1)
		e.packet.RescaleTs(e.codec.TimeBase(), e.stream.TimeBase())
		e.packet.SetStreamIndex(e.stream.Index())
		if err := e.format.WriteInterleavedFrame(e.packet); err != nil {
			return err
		}
	}
}

func (e *encoder) end() error {
	if err := e.codec.SendFrame(nil); err != nil {
		return err
	}
	if err := e.drain(); err != nil {
		return err
	}
	return e.format.WriteTrailer()
}

func (e *encoder) close() {
	if e.scale != nil {
		e.scale.Free()
	}
	for _, f := range []*astiav.Frame{e.source, e.frame} {
		if f != nil {
			f.Free()
		}
	}
	if e.packet != nil {
		e.packet.Free()
	}
	if e.codec != nil {
		e.codec.Free()
	}
	if e.format != nil {
		e.format.Free()
	}
	if e.io != nil {
		e.io.Free()
	}
}

// file is an io.WriteSeeker in memory.
type file struct {
	b   []byte
	pos int64
}

func (f *file) Write(p []byte) (int, error) {
	if need := f.pos + int64(len(p)) - int64(len(f.b)); need > 0 {
		f.b = append(f.b, make([]byte, need)...)
	}
	copy(f.b[f.pos:], p)
	f.pos += int64(len(p))
	return len(p), nil
}

func (f *file) Seek(offset int64, whence int) (int64, error) {
	const askSize, force = 0x10000, 0x20000
	switch whence &^ force {
	case io.SeekStart:
		f.pos = offset
	case io.SeekCurrent:
		f.pos += offset
	case io.SeekEnd:
		f.pos = int64(len(f.b)) + offset
	case askSize:
		return int64(len(f.b)), nil
	}
	return f.pos, nil
}
