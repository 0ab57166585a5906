package media

// Span is a stretch of a clip: microseconds since its first frame, the end not included.
type Span struct {
	Start, End int64
}

// has is true of everything for no span, and without bounds downward for a clip's.
func (s *Span) has(pts int64) bool {
	if s == nil {
		return pts >= 0
	}
	return s.Start <= pts && pts < s.End
}
