package media

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	packetCost     = 512     // bytes of memory that a packet takes beside its own
	maxInterleave  = 2e6     // microseconds by which sound may lie behind its picture in the file
	maxReorder     = 16      // pictures decoded before they are shown, by any codec
	resumeDistance = 3e6     // microseconds before the cut from which reading is taken up, for the sound
	fragment       = 8 << 20 // bytes of an MP4 fragment at most
	maxGap         = 3600e6  // microseconds between two pictures, beyond which a time is damaged
	maxTicks       = 1 << 30 // of the container's clock between two packets: the muxer aborts at twice as many
	maxAhead       = 60e6    // microseconds by which sound may lie before its picture in the file
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
	options CutOptions
	in      *input
	info    *Info
	start   int64 // of the segment to come
	ended   bool
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
