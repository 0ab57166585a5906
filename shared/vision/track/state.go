package track

import (
	"maps"
	"math"
	"slices"
	"time"

	"vedette.dev/shared/vision"
)

// A State is a tracker between two frames, small enough to be kept with a segment's results.
type State struct {
	AtUS   int64   `json:"at_us"`  // the last frame
	Aspect float64 `json:"aspect"` // of the picture
	Last   int     `json:"last"`   // the number given out last
	Live   []Live  `json:"live"`   // tracks that may go on
}

// Live is a track that may go on: what is known of the object at one time.
type Live struct {
	ID     int     `json:"id"`
	Hits   int     `json:"hits"`
	Peak   float64 `json:"peak"`
	AtUS   int64   `json:"at_us"`   // the time that the filters tell of
	SeenUS int64   `json:"seen_us"` // when it was observed last
	X      axis    `json:"x"`
	Y      axis    `json:"y"`
	W      level   `json:"w"`
	H      level   `json:"h"`
}

func begin(id int, atUS int64, d vision.Detection, aspect float64, o Options) Live {
	m := measured(d.Box, aspect)
	place := func(at float64) axis {
		return axis{At: at, Var: [3]float64{sq(placeNoise * m.h), 0, sq(o.Speed * m.h)}}
	}
	return Live{
		ID: id, AtUS: atUS, SeenUS: atUS,
		X: place(m.x), Y: place(m.y),
		W: level{Log: math.Log(m.w), Var: sq(sizeNoise)},
		H: level{Log: math.Log(m.h), Var: sq(sizeNoise)},
	}
}

func (l Live) predict(atUS int64, o Options) Live {
	dt := max(float64(atUS-l.AtUS)/1e6, 0)
	turn := sq(o.Turn * l.H.size())
	l.X, l.Y = l.X.predict(dt, turn), l.Y.predict(dt, turn)
	l.W, l.H = l.W.predict(dt, sq(o.Swell)), l.H.predict(dt, sq(o.Swell))
	l.AtUS = atUS
	return l
}

func (l Live) update(m measure, atUS int64) Live {
	h := l.H.size()
	l.X, l.Y = l.X.update(m.x, sq(placeNoise*h)), l.Y.update(m.y, sq(placeNoise*h))
	l.W, l.H = l.W.update(m.w, sq(sizeNoise)), l.H.update(m.h, sq(sizeNoise))
	l.SeenUS = atUS
	return l
}

func (l Live) measure() measure {
	return measure{x: l.X.At, y: l.Y.At, w: l.W.size(), h: l.H.size()}
}

// Box is where the object is expected, in fractions of a picture of that aspect.
func (l Live) Box(aspect float64) vision.Box { return l.measure().box().Scale(1/aspect, 1) }

// recently is for how long before a frame a track may have been unseen and still count as followed.
const recently = 500 * time.Millisecond

// followed says whether the object was there at a frame, or a moment before it.
func (l Live) followed(atUS int64) bool { return atUS-l.SeenUS <= recently.Microseconds() }

// over says whether the track has ended for a frame that comes after one before it: it was waited for long enough, and the less is known
// of it the shorter that is.
func (l Live) over(beforeUS, atUS int64, o Options) bool {
	wait := o.Keep.Microseconds()
	if !o.Confirmed(l.Hits, l.Peak) && !l.followed(beforeUS) {
		wait = wait * int64(l.Hits) / int64(o.Hits+1)
	}
	return atUS-l.SeenUS > wait
}

// Hold carries a state over a stretch in which nothing moved, to its end: whoever was there at its beginning is there still, at the same
// place; tracks that had been lost before are not. A state held again stays the same but for the time.
func (s State) Hold(untilUS int64, o Options) State {
	held := State{AtUS: max(untilUS, s.AtUS), Aspect: s.Aspect, Last: s.Last, Live: []Live{}}
	for _, l := range s.Live {
		if !l.followed(s.AtUS) {
			continue
		}
		h := l.H.size()
		rest := func(a axis) axis {
			return axis{At: a.At, Var: [3]float64{sq(2 * placeNoise * h), 0, sq(o.Speed * h)}}
		}
		l.X, l.Y = rest(l.X), rest(l.Y)
		l.AtUS, l.SeenUS = held.AtUS, held.AtUS
		held.Live = append(held.Live, l)
	}
	return held
}

// Link joins two segments that were tracked apart: it returns, for each of the later segment's tracks that goes on an earlier one, that
// one's number. Each of the earlier tracks goes on as one later track at most. Where quiet lies between the segments, Hold the state
// first.
func Link(prev State, next []Track, o Options) map[int]int {
	// In the order of their beginnings, as a tracker would have met them.
	began := map[int64][]Track{}
	for _, n := range next {
		if len(n.Seen) > 0 {
			began[n.Seen[0].AtUS] = append(began[n.Seen[0].AtUS], n)
		}
	}
	links := map[int]int{}
	live := slices.Clone(prev.Live)
	for _, at := range slices.Sorted(maps.Keys(began)) {
		// Only good detections begin a track, so that one which goes on weakly begins late: everybody is waited for who was there at the end.
		live = slices.DeleteFunc(live, func(l Live) bool { return l.over(prev.AtUS, at, o) })
		costs := make([][]float64, len(live))
		for i, l := range live {
			expected := l.predict(at, o)
			for _, n := range began[at] {
				costs[i] = append(costs[i], expected.cost(measured(n.Seen[0].Box, prev.Aspect)))
			}
		}
		var left []Live
		for i, j := range vision.Match(costs, newcomer) {
			if j < 0 {
				left = append(left, live[i])
			} else {
				links[began[at][j].ID] = live[i].ID
			}
		}
		live = left
	}
	return links
}
