package media

// #include <libavutil/frame.h>
// #include <libavutil/avutil.h>
import "C"

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/asticode/go-astiav"
)

// StageQuality is the quantiser of staged frames: at 3 detectors find what they find in the original, at a fifth of the
// bytes of 1.
const StageQuality = 3

// millisecond is Matroska's time base.
var millisecond = astiav.NewRational(1, 1000)

// Stage writes sampled frames as JPEGs into a Matroska in memory: what decode leaves for those who infer. Any player
// shows it. Matroska keeps milliseconds, so the exact times are to be kept beside it (Finish returns them).
type Stage struct {
	out    *memory
	sink   *sink
	stream *astiav.Stream
	codec  *astiav.CodecContext
	packet *astiav.Packet
	times  []int64
}

// Add appends a frame, which is YUVJ420 and as large as the first; times rise.
func (s *Stage) Add(f *Frame) error {
	if n := len(s.times); n > 0 && f.PTS <= s.times[n-1] {
		return fmt.Errorf("stage frame: time %d µs does not come after %d", f.PTS, s.times[n-1])
	}
	if f.Format() != YUVJ420 {
		return fmt.Errorf("stage frame: it is %v, not %v", f.Format(), YUVJ420)
	}
	if s.codec == nil {
		if err := s.open(f); err != nil {
			s.Close()
			return fmt.Errorf("stage frame: %w", err)
		}
	}
	if f.Width() != s.codec.Width() || f.Height() != s.codec.Height() {
		return fmt.Errorf("stage frame: it is %dx%d and not %dx%d as the first", f.Width(), f.Height(), s.codec.Width(), s.codec.Height())
	}
	s.times = append(s.times, f.PTS)
	// A frame of our own: quality and time are for the encoder, and the pixels are shared.
	av := f.av.Clone()
	if av == nil {
		return errors.New("stage frame: out of memory")
	}
	defer av.Free()
	av.SetPts(f.PTS)
	(*C.AVFrame)(av.UnsafePointer()).quality = StageQuality * C.FF_QP2LAMBDA
	if err := s.codec.SendFrame(av); err != nil {
		return fmt.Errorf("stage frame: encode it: %w", err)
	}
	return s.write()
}

// write moves what the encoder has ready into the container.
func (s *Stage) write() error {
	for {
		switch err := s.codec.ReceivePacket(s.packet); {
		case errors.Is(err, astiav.ErrEagain), errors.Is(err, astiav.ErrEof):
			return nil
		case err != nil:
			return fmt.Errorf("stage frame: encode it: %w", err)
		}
		s.packet.SetPts(s.packet.Pts()/1000 - s.times[0]/1000) // as time finds it again
		s.packet.SetDts(s.packet.Pts())
		err := s.sink.write(s.packet, s.stream, millisecond)
		s.packet.Unref()
		if err != nil {
			return fmt.Errorf("stage frame: %w", err)
		}
	}
}

func (s *Stage) open(f *Frame) error {
	quiet()
	encoder := astiav.FindEncoder(astiav.CodecIDMjpeg)
	if encoder == nil {
		return errors.New("FFmpeg was built without an MJPEG encoder")
	}
	if s.packet = astiav.AllocPacket(); s.packet == nil {
		return errors.New("out of memory")
	}
	codec := astiav.AllocCodecContext(encoder)
	if codec == nil {
		return errors.New("out of memory")
	}
	codec.SetWidth(f.Width())
	codec.SetHeight(f.Height())
	codec.SetPixelFormat(f.av.PixelFormat())
	codec.SetColorRange(astiav.ColorRangeJpeg)
	codec.SetColorSpace(f.matrix())
	codec.SetTimeBase(microsecond)
	codec.SetThreadCount(1)
	options, err := dictionary(map[string]string{
		"flags":          "+qscale",
		"global_quality": strconv.Itoa(StageQuality * C.FF_QP2LAMBDA),
		"huffman":        "default", // the optimal one wants a second look at every frame
	})
	if err != nil {
		codec.Free()
		return err
	}
	defer options.Free()
	if err := codec.Open(encoder, options); err != nil {
		codec.Free()
		return fmt.Errorf("open the MJPEG encoder for %dx%d: %w", f.Width(), f.Height(), err)
	}
	s.codec = codec

	s.out = &memory{}
	if s.sink, err = newSink("matroska", s.out); err != nil {
		return err
	}
	if s.stream, err = s.sink.add(codec.ToCodecParameters, millisecond); err != nil {
		return err
	}
	return s.sink.begin(nil)
}

// Finish ends the file and gives its bytes and the time of each of its frames, µs. Without frames there is neither.
func (s *Stage) Finish() ([]byte, []int64, error) {
	if len(s.times) == 0 {
		return nil, nil, nil
	}
	if err := s.codec.SendFrame(nil); err != nil {
		return nil, nil, fmt.Errorf("end staged frames: %w", err)
	}
	if err := s.write(); err != nil {
		return nil, nil, err
	}
	if err := s.sink.end(); err != nil {
		return nil, nil, fmt.Errorf("end staged frames: %w", err)
	}
	return s.out.b, s.times, nil
}

// Close frees what the stage holds; what Finish gave stays good.
func (s *Stage) Close() {
	if s.codec != nil {
		s.codec.Free()
		s.codec = nil
	}
	if s.sink != nil {
		s.sink.close()
		s.sink = nil
	}
	if s.packet != nil {
		s.packet.Free()
		s.packet = nil
	}
}

// Size is of a picture, in pixels.
type Size struct{ W, H int }

// Staged iterates over the frames that a Stage wrote.
type Staged struct {
	in     *input
	codec  *astiav.CodecContext
	frame  *astiav.Frame
	times  []int64
	scaled []*Frame
	scaler []scaler
	next   int // the first of times that was not met yet
}

// StagedFrame is one frame with its pictures, all of it good until the next call of Next or Close; Keep keeps the frame.
type StagedFrame struct {
	*Frame
	Pictures []Picture // one of each size asked for
}

// OpenStaged reads what Stage wrote, with the times kept beside it; every frame comes in each of the sizes too, as
// RGB and not keeping its proportions (see Fit).
func OpenStaged(ctx context.Context, src Source, times []int64, sizes ...Size) (_ *Staged, err error) {
	s := &Staged{times: times}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	for _, size := range sizes {
		f, err := NewFrame(RGB24, size.W, size.H)
		if err != nil {
			return nil, fmt.Errorf("read staged frames: %w", err)
		}
		s.scaled = append(s.scaled, f)
		s.scaler = append(s.scaler, scaler{format: RGB24, width: size.W, height: size.H})
	}
	if s.in, err = openInput(ctx, src); err != nil {
		return nil, fmt.Errorf("read staged frames: %w", err)
	}
	s.in.videoOnly()
	parameters := s.in.video.CodecParameters()
	decoder := astiav.FindDecoder(parameters.CodecID())
	if decoder == nil || parameters.CodecID() != astiav.CodecIDMjpeg {
		return nil, fmt.Errorf("read staged frames: they are %s and not JPEGs", parameters.CodecID().Name())
	}
	s.codec, s.frame = astiav.AllocCodecContext(decoder), astiav.AllocFrame()
	if s.codec == nil || s.frame == nil {
		return nil, errors.New("read staged frames: out of memory")
	}
	if err := s.codec.FromCodecParameters(parameters); err != nil {
		return nil, fmt.Errorf("read staged frames: %w", err)
	}
	s.codec.SetThreadCount(1)
	if err := s.codec.Open(decoder, nil); err != nil {
		return nil, fmt.Errorf("read staged frames: open the JPEG decoder: %w", err)
	}
	return s, nil
}

// Next gives the next frame; after the last it is io.EOF. A damaged frame is left out.
func (s *Staged) Next() (*StagedFrame, error) {
	for {
		p, err := s.in.read()
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		if err != nil {
			return nil, fmt.Errorf("read staged frames: %w", err)
		}
		us, known := s.time(p.Pts())
		err = s.codec.SendPacket(p)
		p.Free()
		if err != nil || !known {
			continue
		}
		if err := s.codec.ReceiveFrame(s.frame); err != nil {
			continue
		}
		if pixel := s.frame.PixelFormat(); pixel != astiav.PixelFormatYuvj420P && pixel != astiav.PixelFormatYuv420P {
			return nil, fmt.Errorf("read staged frames: the one at %d µs is %v", us, pixel)
		}
		// A JPEG knows only one kind of colours; the container knows which they are.
		s.frame.SetColorSpace(s.in.video.CodecParameters().ColorSpace())
		f := &StagedFrame{Frame: &Frame{PTS: us, Key: true, format: YUVJ420, av: s.frame, borrowed: true}}
		for i, scaled := range s.scaled {
			if err := s.scaler[i].run(s.frame, scaled); err != nil {
				return nil, fmt.Errorf("read staged frames: %w", err)
			}
			f.Pictures = append(f.Pictures, scaled.picture())
		}
		return f, nil
	}
}

// time finds the exact time of the frame that stands at so many milliseconds in the file.
func (s *Staged) time(ms int64) (int64, bool) {
	for i := s.next; i < len(s.times); i++ {
		if s.times[i]/1000-s.times[0]/1000 == ms {
			s.next = i + 1
			return s.times[i], true
		}
	}
	return 0, false
}

// Close frees what the iteration holds.
func (s *Staged) Close() {
	for i := range s.scaler {
		s.scaler[i].close()
	}
	for _, f := range s.scaled {
		f.Close()
	}
	if s.frame != nil {
		s.frame.Free()
		s.frame = nil
	}
	if s.codec != nil {
		s.codec.Free()
		s.codec = nil
	}
	if s.in != nil {
		s.in.close()
		s.in = nil
	}
}
