package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/asticode/go-astiav"
)

// Source is random access to the bytes of a clip or segment. *bytes.Reader and *io.SectionReader are Sources.
type Source interface {
	io.ReaderAt
	Size() int64
}

const (
	firstWindow = 1 << 20 // bytes of the first read somewhere new
	lastWindow  = 8 << 20 // to which windows grow while reads go on where they ended
	windows     = 3       // held at a time: the index, and two streams that lie apart
	ioBuffer    = 64 << 10
)

// reader turns FFmpeg's small reads into few large ones. It is the io.ReadSeeker behind an AVIO context.
type reader struct {
	ctx     context.Context //nolint:containedctx // FFmpeg's callbacks carry none
	src     Source
	size    int64
	pos     int64
	windows []window // most recently used first
	err     error    // the first error of the source, which FFmpeg's own codes would lose
	reads   int      // of the source
}

type window struct {
	off int64
	buf []byte
}

func newReader(ctx context.Context, src Source) *reader {
	return &reader{ctx: ctx, src: src, size: src.Size()}
}

// Read gives FFmpeg what is at the position, out of a window.
func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, r.fail(err)
	}
	if r.pos >= r.size {
		return 0, io.EOF
	}
	w, err := r.window()
	if err != nil {
		return 0, r.fail(err)
	}
	n := copy(p, w.buf[r.pos-w.off:])
	r.pos += int64(n)
	return n, nil
}

// window finds or fetches the one that holds the position, and puts it first.
func (r *reader) window() (window, error) {
	length := int64(firstWindow)
	var buf []byte
	for i, w := range r.windows {
		end := w.off + int64(len(w.buf))
		if w.off <= r.pos && r.pos < end {
			r.toFront(i)
			return w, nil
		}
		if r.pos == end { // goes on where this one ends, which will not be read again
			length = min(2*int64(len(w.buf)), lastWindow)
			buf = w.buf
			r.windows = append(r.windows[:i], r.windows[i+1:]...)
			break
		}
	}
	if buf == nil && len(r.windows) == windows {
		buf = r.windows[windows-1].buf
		r.windows = r.windows[:windows-1]
	}
	length = min(length, r.size-r.pos)
	if int64(cap(buf)) < length {
		buf = make([]byte, length)
	}
	w := window{off: r.pos, buf: buf[:length]}
	r.reads++
	n, err := r.src.ReadAt(w.buf, w.off)
	if int64(n) < length {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return window{}, fmt.Errorf("read %d bytes at %d of %d: %w", length, w.off, r.size, err)
	}
	r.windows = append(r.windows, w)
	r.toFront(len(r.windows) - 1)
	return w, nil
}

func (r *reader) toFront(i int) {
	w := r.windows[i]
	copy(r.windows[1:i+1], r.windows[:i])
	r.windows[0] = w
}

// Seek is FFmpeg's: whence may ask for the size instead, and carry a flag.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	const askSize, force = 0x10000, 0x20000
	switch whence &^ force {
	case askSize:
		return r.size, nil
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.size
	default:
		return 0, astiav.ErrEio
	}
	if offset < 0 {
		return 0, astiav.ErrEio
	}
	r.pos = offset
	return offset, nil
}

// fail keeps the error for wrap and gives FFmpeg one of its own.
func (r *reader) fail(err error) error {
	if r.err == nil {
		r.err = err
	}
	return astiav.ErrEio
}

// wrap prefers the source's error to what FFmpeg made of it. FFmpeg sometimes makes an end of file of it, so it is to
// be asked at the end of a stream as well.
func (r *reader) wrap(doing string, err error) error {
	if r.err != nil {
		err = r.err
	} else if ctxErr := r.ctx.Err(); ctxErr != nil && err != nil {
		err = ctxErr
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Hold reads a source of at most so many bytes into memory, once, for what goes through it several times; a larger one is
// returned as it is.
func Hold(src Source, most int64) (Source, error) {
	if src.Size() > most {
		return src, nil
	}
	whole := make([]byte, src.Size())
	if _, err := src.ReadAt(whole, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %d bytes: %w", len(whole), err)
	}
	return bytes.NewReader(whole), nil
}
