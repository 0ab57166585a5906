package media

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// spool is a file that is only appended to: in memory while it is small, then in a temporary file that has no name any
// more, so that a crash leaves nothing behind.
type spool struct {
	limit int64 // bytes in memory
	dir   string
	mem   []byte
	file  *os.File
	size  int64
}

var errAppendOnly = errors.New("a segment is written from its beginning to its end")

func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && s.size+int64(len(p)) <= s.limit {
		s.mem = append(s.mem, p...)
		s.size += int64(len(p))
		return len(p), nil
	}
	if s.file == nil {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	n, err := s.file.Write(p)
	s.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("write a long segment to the temporary directory (is it full?): %w", err)
	}
	return n, nil
}

func (s *spool) spill() error {
	f, err := os.CreateTemp(s.dir, "segment-*")
	if err != nil {
		return fmt.Errorf("a segment of more than %d bytes needs a temporary directory (TMPDIR): %w", s.limit, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close() // the other error tells more
		return fmt.Errorf("unname a temporary file: %w", err)
	}
	s.file = f
	if _, err := f.Write(s.mem); err != nil {
		return fmt.Errorf("write a long segment to the temporary directory (is it full?): %w", err)
	}
	s.mem = nil
	return nil
}

// Seek tells the position, which is always the end.
func (s *spool) Seek(offset int64, whence int) (int64, error) {
	switch {
	case whence == io.SeekStart && offset == s.size, whence != io.SeekStart && offset == 0:
		return s.size, nil
	}
	return 0, errAppendOnly
}

func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	if s.file != nil {
		return s.file.ReadAt(p, off)
	}
	if off < 0 || off >= s.size {
		return 0, io.EOF
	}
	n := copy(p, s.mem[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *spool) close() {
	s.mem = nil
	if s.file != nil {
		_ = s.file.Close() // nothing of it is needed any more
		s.file = nil
	}
}
