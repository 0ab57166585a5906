package media

import (
	"bytes"
	"encoding/binary"
	"math"
)

// endsEarly tells whether the bytes begin as a known container does and stop before it is complete. It looks at the
// outermost layer only, in a few small reads.
func endsEarly(r *reader) bool { return missing(r) > 0 }

// missing is how many bytes the container says there should be beyond the end; at least one where its index is
// missing altogether, 0 where nothing is or nobody can tell.
func missing(r *reader) int64 {
	var head [16]byte
	if !readFull(r, head[:12], 0) {
		return 0
	}
	switch {
	case bytes.Equal(head[:4], []byte("RIFF")):
		size := int64(binary.LittleEndian.Uint32(head[4:]))
		if size == math.MaxUint32 || size <= r.size-8+1 { // a recorder that could not come back to write it, or padding
			return 0
		}
		return 8 + size - r.size
	case bytes.Equal(head[:4], []byte{0x1A, 0x45, 0xDF, 0xA3}):
		return missingMatroska(r)
	case isBox(head[4:8]):
		return missingMP4(r)
	}
	return 0
}

func isBox(kind []byte) bool {
	switch string(kind) {
	case "ftyp", "moov", "mdat", "free", "skip", "wide", "pnot", "styp":
		return true
	}
	return false
}

// missingMP4 walks the outermost boxes as far as the first fragment. Cameras append all sorts of things of their own behind
// the last: only the index and the pictures count.
func missingMP4(r *reader) int64 {
	var head [16]byte
	var index bool
	for offset, n := int64(0), 0; n < 1000 && readFull(r, head[:8], offset); n++ {
		size := int64(binary.BigEndian.Uint32(head[:]))
		kind := string(head[4:8])
		switch size {
		case 0: // as far as the end
			size = r.size - offset
		case 1:
			if readFull(r, head[:16], offset) {
				size = int64(binary.BigEndian.Uint64(head[8:]))
			}
		}
		if kind == "moof" {
			return 0
		}
		if size < 8 || size > 1<<50 {
			break
		}
		offset += size
		if offset > r.size && (kind == "moov" || kind == "mdat") {
			return offset - r.size
		}
		index = index || kind == "moov"
	}
	if !index {
		return 1
	}
	return 0
}

// missingMatroska reads the size of the segment, the second of the two outermost elements.
func missingMatroska(r *reader) int64 {
	header, n, ok := elementSize(r, 4)
	if !ok {
		return 1
	}
	segment := 4 + int64(n) + header
	body, n, ok := elementSize(r, segment+4)
	if !ok {
		return 1
	}
	if body < 0 { // live recordings do not know
		return 0
	}
	return max(0, segment+4+int64(n)+body-r.size)
}

// elementSize reads one of Matroska's variable-length sizes, -1 for unknown, and its own length.
func elementSize(r *reader, offset int64) (size int64, length int, ok bool) {
	var b [8]byte
	if !readFull(r, b[:1], offset) || b[0] == 0 {
		return 0, 0, false
	}
	length = 1
	for mask := byte(0x80); b[0]&mask == 0; mask >>= 1 {
		length++
	}
	if !readFull(r, b[:length], offset) {
		return 0, 0, false
	}
	b[0] &= byte(0xFF >> length)
	unknown := b[0] == byte(0xFF>>length)
	for _, c := range b[:length] {
		size = size<<8 | int64(c)
	}
	for _, c := range b[1:length] {
		unknown = unknown && c == 0xFF
	}
	if unknown {
		return -1, length, true
	}
	if size > 1<<50 {
		return 0, 0, false
	}
	return size, length, true
}

// readFull reads through the reader's windows and leaves its position alone.
func readFull(r *reader, p []byte, offset int64) bool {
	defer func(pos int64) { r.pos = pos }(r.pos)
	r.pos = offset
	for len(p) > 0 {
		n, err := r.Read(p)
		if err != nil {
			return false
		}
		p = p[n:]
	}
	return true
}
