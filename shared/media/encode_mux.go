package media

import (
	"errors"
	"fmt"
	"io"

	"github.com/asticode/go-astiav"
)

// sink is a container that is being written: streams are added, then begin, write for every packet, end. Closing it is
// always needed.
type sink struct {
	format  *astiav.FormatContext
	io      *astiav.IOContext
	file    bool // io is FFmpeg's own, of a file
	streams []*astiav.Stream
	err     error // of the writer, which FFmpeg's own codes would lose
}

// newSink writes into memory, or wherever w leads.
func newSink(container string, w io.WriteSeeker) (*sink, error) {
	s := &sink{}
	var err error
	write := func(p []byte) (int, error) {
		n, err := w.Write(p)
		return n, s.keep(err)
	}
	seek := func(offset int64, whence int) (int64, error) {
		const askSize = 0x10000
		if whence == askSize {
			return 0, astiav.ErrEio // nobody asks a file that is being written
		}
		n, err := w.Seek(offset, whence)
		return n, s.keep(err)
	}
	if s.io, err = astiav.AllocIOContext(ioBuffer, true, nil, seek, write); err != nil {
		return nil, fmt.Errorf("write %s: %w", container, err)
	}
	return s.open(container, "")
}

// newFileSink writes a real file, which the muxer itself may read again: what +faststart needs.
func newFileSink(container, path string) (*sink, error) {
	s := &sink{file: true}
	var err error
	if s.io, err = astiav.OpenIOContext(path, astiav.NewIOContextFlags(astiav.IOContextFlagWrite), nil, nil); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return s.open(container, path)
}

func (s *sink) open(container, path string) (*sink, error) {
	var err error
	if s.format, err = astiav.AllocOutputFormatContext(nil, container, path); err != nil {
		s.close()
		return nil, fmt.Errorf("write %s: %w", container, err)
	}
	s.format.SetPb(s.io)
	return s, nil
}

func (s *sink) keep(err error) error {
	if err == nil {
		return nil
	}
	if s.err == nil {
		s.err = err
	}
	return astiav.ErrEio
}

// wrap prefers the writer's error to what FFmpeg made of it.
func (s *sink) wrap(doing string, err error) error {
	if s.err != nil {
		err = s.err
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// add makes a stream of what fill writes into its parameters, and returns it. Base is what the times of its packets will
// be in, as far as the container has a choice.
func (s *sink) add(fill func(*astiav.CodecParameters) error, base astiav.Rational) (*astiav.Stream, error) {
	stream := s.format.NewStream(nil)
	if stream == nil {
		return nil, errors.New("add a stream: out of memory")
	}
	if err := fill(stream.CodecParameters()); err != nil {
		return nil, fmt.Errorf("add a stream: %w", err)
	}
	stream.CodecParameters().SetCodecTag(0) // the container's own
	stream.SetTimeBase(base)
	s.streams = append(s.streams, stream)
	return stream, nil
}

func (s *sink) begin(options map[string]string) error {
	d, err := dictionary(options)
	if err != nil {
		return err
	}
	defer d.Free()
	return s.wrap("begin the file", s.format.WriteHeader(d))
}

// write takes what the packet holds; base is what its times are in.
func (s *sink) write(p *astiav.Packet, stream *astiav.Stream, base astiav.Rational) error {
	p.SetStreamIndex(stream.Index())
	p.SetPos(-1)
	p.RescaleTs(base, stream.TimeBase())
	return s.wrap("write a packet", s.format.WriteInterleavedFrame(p))
}

func (s *sink) end() error {
	err := s.format.WriteTrailer()
	s.io.Flush()
	if s.file && err == nil {
		err = s.io.Close() // says what could not be written
	}
	return s.wrap("end the file", err)
}

func (s *sink) close() {
	if s.format != nil {
		s.format.Free()
		s.format = nil
	}
	if s.io == nil {
		return
	}
	if s.file {
		_ = s.io.Close() // after end it is closed; before, the file is given up anyway
	} else {
		s.io.Free()
	}
	s.io = nil
}

// memory is a file in memory.
type memory struct {
	b   []byte
	pos int64
}

func (m *memory) Write(p []byte) (int, error) {
	if beyond := m.pos + int64(len(p)) - int64(len(m.b)); beyond > 0 {
		m.b = append(m.b, make([]byte, beyond)...)
	}
	m.pos += int64(copy(m.b[m.pos:], p))
	return len(p), nil
}

func (m *memory) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += m.pos
	case io.SeekEnd:
		offset += int64(len(m.b))
	}
	if offset < 0 || offset > int64(len(m.b)) {
		return 0, fmt.Errorf("seek to %d of %d bytes", offset, len(m.b))
	}
	m.pos = offset
	return offset, nil
}
