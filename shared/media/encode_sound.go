package media

// #include <libavcodec/avcodec.h>
import "C"

import (
	"context"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/asticode/go-astiav"
)

// All sound is of one kind, so that it can be joined.
const (
	soundRate = 48000
	soundBits = 128_000 // a second
	// jitter is by how many samples the times of a container may waver before they are taken at their word.
	jitter = soundRate / 20
)

// sample is the time base of sound: one of its samples.
var sample = astiav.NewRational(1, soundRate)

// soundtrack is the sound of a segment as AAC, stereo. Its packets lie on a grid that begins with the segment: packet i
// begins at sample i times the frame size, without any lead; together they last at least as long as the segment, and less
// than a packet longer. The decoder's warm-up is left out: in a joined video, the packet before serves for that.
type soundtrack struct {
	codec   *astiav.CodecContext
	packets []*astiav.Packet

	frame  *astiav.Frame
	packet *astiav.Packet
	part   [2][]float32 // of a frame, what is not encoded yet
	at     int64        // samples taken so far
	sent   int64        // of them, to the encoder
	total  int64
}

// readSound decodes the sound of a segment, puts it where its times say, silence elsewhere, and encodes it. What cannot be
// decoded is silence too.
func readSound(ctx context.Context, src Source, span Span) (_ *soundtrack, err error) {
	s := &soundtrack{total: rescale(span.End-span.Start, microsecond, sample)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := s.open(); err != nil {
		return nil, err
	}
	in, err := openInput(ctx, src)
	if err != nil {
		return nil, err
	}
	defer in.close()
	if in.audio != nil {
		if err := s.decode(in, span); err != nil {
			return nil, err
		}
	}
	return s, s.end()
}

func (s *soundtrack) open() error {
	encoder := astiav.FindEncoder(astiav.CodecIDAac)
	if encoder == nil {
		return errors.New("FFmpeg was built without an AAC encoder")
	}
	s.codec, s.frame, s.packet = astiav.AllocCodecContext(encoder), astiav.AllocFrame(), astiav.AllocPacket()
	if s.codec == nil || s.frame == nil || s.packet == nil {
		return errors.New("out of memory")
	}
	s.codec.SetSampleRate(soundRate)
	s.codec.SetSampleFormat(astiav.SampleFormatFltp)
	s.codec.SetChannelLayout(astiav.ChannelLayoutStereo)
	s.codec.SetTimeBase(sample)
	s.codec.SetBitRate(soundBits)
	s.codec.SetThreadCount(1)
	s.codec.SetFlags(s.codec.Flags().Add(astiav.CodecContextFlagGlobalHeader))
	if err := s.codec.Open(encoder, nil); err != nil {
		return fmt.Errorf("open the AAC encoder: %w", err)
	}
	return nil
}

// decode takes the sound within the span.
func (s *soundtrack) decode(in *input, span Span) error {
	parameters := in.audio.CodecParameters()
	decoder := astiav.FindDecoder(parameters.CodecID())
	if decoder == nil {
		return nil
	}
	codec, frame := astiav.AllocCodecContext(decoder), astiav.AllocFrame()
	if codec == nil || frame == nil {
		return errors.New("out of memory")
	}
	defer codec.Free()
	defer frame.Free()
	if err := parameters.ToCodecContext(codec); err != nil {
		return fmt.Errorf("decode sound: %w", err)
	}
	base := in.audio.TimeBase()
	(*C.AVCodecContext)(codec.UnsafePointer()).pkt_timebase = C.AVRational{C.int(base.Num()), C.int(base.Den())}
	codec.SetThreadCount(1)
	if codec.Open(decoder, nil) != nil {
		return nil // no more than silence is lost
	}
	in.video.SetDiscard(astiav.DiscardAll)
	var r resampler
	defer r.close()
	take := func() error {
		for codec.ReceiveFrame(frame) == nil {
			at := s.at
			if pts := (*C.AVFrame)(frame.UnsafePointer()).best_effort_timestamp; pts != C.AV_NOPTS_VALUE {
				at = rescale(rescale(int64(pts), base, microsecond)-span.Start, microsecond, sample)
			}
			if err := r.convert(frame, func(left, right []float32) error { return s.put(at, left, right) }); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		p, err := in.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if in.isVideo(p) {
			p.Free()
			continue
		}
		err = codec.SendPacket(p)
		p.Free()
		if err == nil {
			err = take()
		} else {
			err = nil // damaged: its time becomes silence
		}
		if err != nil {
			return err
		}
	}
	if codec.SendPacket(nil) == nil {
		return take()
	}
	return nil
}

// put takes samples that belong at a place. Before the segment, after it, and what is there already is left out.
func (s *soundtrack) put(at int64, left, right []float32) error {
	switch off := at - s.at; {
	case off > jitter, s.at == 0 && off > 0:
		if err := s.silence(min(at, s.total) - s.at); err != nil {
			return err
		}
	case off < -jitter || at < 0:
		drop := min(-off, int64(len(left)))
		left, right = left[drop:], right[drop:]
	}
	n := min(int64(len(left)), s.total-s.at)
	if n <= 0 {
		return nil
	}
	return s.take(left[:n], right[:n])
}

func (s *soundtrack) silence(samples int64) error {
	nothing := make([]float32, s.codec.FrameSize())
	for samples > 0 {
		n := min(samples, int64(len(nothing)))
		if err := s.take(nothing[:n], nothing[:n]); err != nil {
			return err
		}
		samples -= n
	}
	return nil
}

// take appends samples, and encodes as often as a frame is full.
func (s *soundtrack) take(left, right []float32) error {
	s.at += int64(len(left))
	s.part[0], s.part[1] = append(s.part[0], left...), append(s.part[1], right...)
	size := s.codec.FrameSize()
	done := 0
	for ; len(s.part[0])-done >= size; done += size {
		if err := s.encode(s.part[0][done:done+size], s.part[1][done:done+size]); err != nil {
			return err
		}
	}
	for i := range s.part {
		s.part[i] = append(s.part[i][:0], s.part[i][done:]...)
	}
	return nil
}

func (s *soundtrack) encode(left, right []float32) error {
	s.frame.Unref()
	s.frame.SetNbSamples(len(left))
	s.frame.SetSampleFormat(astiav.SampleFormatFltp)
	s.frame.SetSampleRate(soundRate)
	s.frame.SetChannelLayout(astiav.ChannelLayoutStereo)
	if err := s.frame.AllocBuffer(0); err != nil {
		return fmt.Errorf("encode sound: %w", err)
	}
	l, r := channels(s.frame)
	copy(l, left)
	copy(r, right)
	s.frame.SetPts(s.sent)
	s.sent += int64(len(left))
	if err := s.codec.SendFrame(s.frame); err != nil {
		return fmt.Errorf("encode sound: %w", err)
	}
	return s.drain()
}

// drain keeps what the encoder has ready, but for its first packet, which only warms a decoder up.
func (s *soundtrack) drain() error {
	for {
		err := s.codec.ReceivePacket(s.packet)
		if errors.Is(err, astiav.ErrEagain) || errors.Is(err, astiav.ErrEof) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("encode sound: %w", err)
		}
		if s.packet.Pts() < 0 {
			s.packet.Unref()
			continue
		}
		p := astiav.AllocPacket()
		if p == nil {
			return errors.New("encode sound: out of memory")
		}
		p.MoveRef(s.packet)
		size := int64(s.codec.FrameSize())
		p.SetPts(size * int64(len(s.packets)))
		p.SetDts(p.Pts())
		p.SetDuration(size)
		s.packets = append(s.packets, p)
	}
}

// end fills up with silence and ends the track.
func (s *soundtrack) end() error {
	size := int64(s.codec.FrameSize())
	whole := (s.total + size - 1) / size * size
	if err := s.silence(whole - s.at); err != nil {
		return err
	}
	if err := s.codec.SendFrame(nil); err != nil {
		return fmt.Errorf("end the sound: %w", err)
	}
	if err := s.drain(); err != nil {
		return err
	}
	if int64(len(s.packets))*size < whole {
		return fmt.Errorf("end the sound: %d packets for %d samples", len(s.packets), whole)
	}
	return nil
}

func (s *soundtrack) close() {
	for _, p := range s.packets {
		p.Free()
	}
	s.packets = nil
	if s.packet != nil {
		s.packet.Free()
		s.packet = nil
	}
	if s.frame != nil {
		s.frame.Free()
		s.frame = nil
	}
	if s.codec != nil {
		s.codec.Free()
		s.codec = nil
	}
}

// channels shows the samples of a planar stereo frame.
func channels(f *astiav.Frame) (left, right []float32) {
	c := (*C.AVFrame)(f.UnsafePointer())
	n := int(c.nb_samples)
	if n == 0 {
		return nil, nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(c.data[0])), n), unsafe.Slice((*float32)(unsafe.Pointer(c.data[1])), n)
}

// resampler makes any sound into planar stereo at our rate. It is made anew when what comes in changes.
type resampler struct {
	c   *astiav.SoftwareResampleContext
	out *astiav.Frame
}

// convert gives what becomes of a frame to put, within which it is good. What cannot be converted is left out.
func (r *resampler) convert(f *astiav.Frame, put func(left, right []float32) error) error {
	if r.out == nil {
		if r.out = astiav.AllocFrame(); r.out == nil {
			return errors.New("resample sound: out of memory")
		}
	}
	for range 2 {
		if r.c == nil {
			if r.c = astiav.AllocSoftwareResampleContext(); r.c == nil {
				return errors.New("resample sound: out of memory")
			}
		}
		r.out.Unref()
		r.out.SetSampleFormat(astiav.SampleFormatFltp)
		r.out.SetSampleRate(soundRate)
		r.out.SetChannelLayout(astiav.ChannelLayoutStereo)
		if r.c.ConvertFrame(f, r.out) == nil {
			return put(channels(r.out))
		}
		r.c.Free() // made for another kind of sound
		r.c = nil
	}
	return nil
}

func (r *resampler) close() {
	if r.c != nil {
		r.c.Free()
		r.c = nil
	}
	if r.out != nil {
		r.out.Free()
		r.out = nil
	}
}
