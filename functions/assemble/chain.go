package assemble

import (
	"slices"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/vision"
	"vedette.dev/shared/vision/track"
)

// chain numbers the tracks of a clip, segment by segment. Its state is what was said of the segment before.
type chain struct{ findings.Numbered }

// next gives the tracks of a segment their numbers in the clip: those that go on a track of the segments before, by the
// tracker's own association, have that one's number; confirmed new ones have the next number. It is a pure function of
// the segment's findings (nil where nobody needed to look) and of what was said before (the zero value at first).
func (before chain) next(s ledger.Segment, state ledger.State, found *findings.Objects) findings.Numbered {
	now := chain{findings.Numbered{
		Numbers:   map[int]int{},
		Confirmed: map[int]int{},
		Highest:   before.Highest,
		Lowest:    before.Lowest,
		End:       before.End,
	}}
	if found != nil {
		now.End.Persons = now.link(before.End.Persons, found.End.Persons, found.Tracks, findings.Person, track.Persons())
		now.End.Faces = now.link(before.End.Faces, found.End.Faces, found.Tracks, findings.FaceOf, track.Faces())
	}
	if state == ledger.Quiet {
		now.End.Persons = now.carry(now.End.Persons, s.EndUS, findings.Person, track.Persons())
		now.End.Faces = now.carry(now.End.Faces, s.EndUS, findings.FaceOf, track.Faces())
	}
	return now.Numbered
}

// link numbers the tracks of one kind of object, and returns the tracker's state at the segment's end by these numbers.
func (now *chain) link(before, end track.State, tracks []findings.Track, object string, o track.Options) track.State {
	tracks = slices.DeleteFunc(slices.Clone(tracks), func(t findings.Track) bool { return t.Object != object })
	links := track.Link(before, seen(tracks), o)
	was := map[int]track.Live{}
	for _, l := range before.Live {
		was[l.ID] = l
	}
	for _, t := range tracks {
		earlier := links[t.ID] // 0 if there is none
		hits, peak := t.Hits+was[earlier].Hits, max(t.Peak, was[earlier].Peak)
		switch {
		case earlier > 0:
			now.Numbers[t.ID] = earlier
		case o.Confirmed(hits, peak):
			now.Highest++
			now.Numbers[t.ID] = now.Highest
			if earlier < 0 {
				now.Confirmed[earlier] = now.Highest
			}
		case earlier < 0:
			now.Numbers[t.ID] = earlier
		default:
			now.Lowest--
			now.Numbers[t.ID] = now.Lowest
		}
	}

	after := track.State{AtUS: end.AtUS, Aspect: end.Aspect, Last: now.Highest}
	for _, l := range end.Live {
		earlier := was[links[l.ID]]
		l.ID = now.Numbers[l.ID]
		l.Hits += earlier.Hits
		l.Peak = max(l.Peak, earlier.Peak)
		after.Live = append(after.Live, l)
	}
	// Whoever was lost shortly before the segment and is not found in it may turn up in the next.
	linked := map[int]bool{}
	for _, id := range links {
		linked[id] = true
	}
	for _, l := range before.Live {
		if !linked[l.ID] && end.AtUS-l.SeenUS <= o.Keep.Microseconds() {
			after.Live = append(after.Live, l)
		}
	}
	return after
}

// carry holds everybody where they are until the end of a segment in which nothing moves: so nobody left.
func (now *chain) carry(s track.State, endUS int64, object string, o track.Options) track.State {
	s = s.Hold(endUS, o)
	for _, l := range s.Live {
		if l.ID > 0 {
			now.Carried = append(now.Carried, findings.Carried{Number: l.ID, Object: object, Box: l.Box(s.Aspect)})
		}
	}
	return s
}

func seen(tracks []findings.Track) []track.Track {
	list := make([]track.Track, 0, len(tracks))
	for _, t := range tracks {
		n := track.Track{ID: t.ID, Hits: t.Hits, Peak: t.Peak}
		for _, p := range t.Points {
			n.Seen = append(n.Seen, track.Observation{AtUS: p.US, Detection: vision.Detection{Box: p.Box, Score: p.Score}})
		}
		list = append(list, n)
	}
	return list
}
