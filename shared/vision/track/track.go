// Package track follows objects through detections: detections of successive frames enter, numbered tracks leave.
//
// The method is ByteTrack's idea on a Kalman filter: first the detections that are surely objects are paired with the predicted tracks,
// then what is left of the tracks with weak detections, so that somebody half hidden keeps their number; only sure detections
// start a track. Times are microseconds and intervals may vary: predictions use the real ones.
//
// Guaranteed: the same detections give the same tracks; a Tracker resumed from its State goes on exactly as if it had never
// stopped; Link joins the tracks of two segments that were tracked apart, by the same measure.
//
// Boxes are fractions of the picture. A Tracker is for one goroutine.
package track

import (
	"fmt"
	"math"
	"slices"
	"time"

	"vedette.dev/shared/vision"
)

// Options are what a kind of object is like.
type Options struct {
	High float64 // score from which a detection may start a track
	Low  float64 // score from which it may carry one on

	// A track is Confirmed when it has been seen with a high score Hits times, and once with at least Peak; or once with Sure. Where
	// there were fewer frames than Hits, being seen in each of them counts as that many.
	Hits       int
	Peak, Sure float64

	Keep time.Duration // how long a track that is not seen is waited for

	// How it moves, in its own heights and seconds.
	Speed float64 // standard deviation of the speed at which one appears
	Turn  float64 // how much the speed changes in a second
	Swell float64 // how much the logarithm of its size changes in a second
}

// Persons are people whole or in part.
func Persons() Options {
	return Options{
		High: .45, Low: .15, Hits: 3, Peak: .6, Sure: .8, Keep: 2 * time.Second,
		Speed: 1, Turn: .5, Swell: .3,
	}
}

// Faces are faces without a body: a head is a seventh of a person, so the same walk is faster in its heights.
func Faces() Options {
	return Options{
		High: .6, Low: .5, Hits: 3, Peak: .7, Sure: .85, Keep: 2 * time.Second,
		Speed: 5, Turn: 3, Swell: .3,
	}
}

// Confirmed says whether a track with so many high observations and that best score is an object for sure.
func (o Options) Confirmed(hits int, peak float64) bool {
	return peak >= o.Sure || hits >= o.Hits && peak >= o.Peak
}

// A Track is one object over time.
type Track struct {
	ID        int           `json:"id"`   // from 1 in the order of appearance
	Hits      int           `json:"hits"` // observations with a high score
	Peak      float64       `json:"peak"` // best score
	Confirmed bool          `json:"confirmed"`
	Seen      []Observation `json:"seen"`
}

// An Observation is one detection of a track.
type Observation struct {
	AtUS int64 `json:"at_us"`
	vision.Detection
}

// A Tracker holds the tracks of one camera.
type Tracker struct {
	options Options
	aspect  float64
	atUS    int64
	started bool
	frames  int // how many there were, as far as it matters
	last    int // the number given out last
	live    []Live
	tracks  []Track // every track, in the order of its number
}

// New is a tracker for pictures of that aspect (width over height).
func New(o Options, aspect float64) *Tracker {
	return &Tracker{options: o, aspect: aspect}
}

// Step takes the detections of the next frame and returns the number of the track that each belongs to, or 0 for none.
func (t *Tracker) Step(atUS int64, ds []vision.Detection) ([]int, error) {
	if t.started && atUS < t.atUS {
		return nil, fmt.Errorf("track: a frame at %d µs after one at %d µs: frames must come in order", atUS, t.atUS)
	}
	before := t.atUS
	t.atUS, t.started = atUS, true
	t.frames = min(t.frames+1, t.options.Hits)
	t.live = slices.DeleteFunc(t.live, func(l Live) bool { return l.over(before, atUS, t.options) })
	for i := range t.live {
		t.live[i] = t.live[i].predict(atUS, t.options)
	}

	var high, low, sure, tentative, lost []int
	for i, d := range ds {
		switch {
		case !(d.Box.W > 0 && d.Box.H > 0): // nor what is no number
		case d.Score >= t.options.High:
			high = append(high, i)
		case d.Score >= t.options.Low:
			low = append(low, i)
		}
	}
	for i, l := range t.live {
		switch {
		case !l.followed(before):
			lost = append(lost, i)
		case t.options.Confirmed(l.Hits, l.Peak):
			sure = append(sure, i)
		default:
			tentative = append(tentative, i)
		}
	}

	ids := make([]int, len(ds))
	sure = t.match(sure, high, ds, ids, Live.cost, newcomer)
	tentative = t.match(tentative, high, ds, ids, Live.cost, newcomer)
	// A weak detection is trusted only where a track was a moment ago: weak ones are also what shadows and luggage give.
	t.match(append(sure, tentative...), low, ds, ids, Live.overlapCost, 1)
	// Between two who walk close together detectors see a third now and then. That is for nobody who was lost elsewhere.
	apart := slices.DeleteFunc(slices.Clone(high), func(i int) bool { return ids[i] != 0 || covered(i, ds, ids) })
	t.match(lost, apart, ds, ids, Live.cost, newcomer)
	for _, i := range high {
		if ids[i] == 0 {
			t.last++
			ids[i] = t.last
			t.live = append(t.live, begin(t.last, atUS, ds[i], t.aspect, t.options))
			t.tracks = append(t.tracks, Track{ID: t.last})
		}
	}
	for i, id := range ids {
		if id != 0 {
			t.note(id, Observation{atUS, ds[i]})
		}
	}
	return ids, nil
}

// covered says whether a detection lies on others that belong to tracks.
func covered(i int, ds []vision.Detection, ids []int) bool {
	sum := 0.0
	for j, id := range ids {
		if id != 0 {
			sum += ds[i].Box.Intersect(ds[j].Box).Area()
		}
	}
	return sum > .7*ds[i].Box.Area()
}

// match pairs tracks (indices into live) with detections, takes in the measurements, and returns the tracks left over.
func (t *Tracker) match(tracks, detections []int, ds []vision.Detection, ids []int, cost func(Live, measure) float64, alone float64) []int {
	costs := make([][]float64, len(tracks))
	for r, i := range tracks {
		costs[r] = make([]float64, len(detections))
		for c, j := range detections {
			costs[r][c] = vision.Never
			if ids[j] == 0 {
				costs[r][c] = cost(t.live[i], measured(ds[j].Box, t.aspect))
			}
		}
	}
	var left []int
	for r, c := range vision.Match(costs, alone) {
		i := tracks[r]
		if c < 0 {
			left = append(left, i)
			continue
		}
		j := detections[c]
		ids[j] = t.live[i].ID
		t.live[i] = t.live[i].update(measured(ds[j].Box, t.aspect), t.atUS)
	}
	return left
}

// note adds an observation to a track.
func (t *Tracker) note(id int, o Observation) {
	i, _ := slices.BinarySearchFunc(t.tracks, id, func(tr Track, id int) int { return tr.ID - id })
	tr := &t.tracks[i]
	tr.Seen = append(tr.Seen, o)
	j := slices.IndexFunc(t.live, func(l Live) bool { return l.ID == id })
	l := &t.live[j]
	if o.Score >= t.options.High {
		l.Hits++
	}
	l.Peak = max(l.Peak, o.Score)
	tr.Hits, tr.Peak = l.Hits, l.Peak
}

// Tracks are all tracks so far, the unconfirmed ones too: what is seen once at a segment's edge may be confirmed by its neighbour.
// Of a resumed tracker they are those seen since.
func (t *Tracker) Tracks() []Track {
	tracks := slices.Clone(t.tracks)
	for i, tr := range tracks {
		tracks[i].Hits = t.hits(tr.Hits)
		tracks[i].Confirmed = t.options.Confirmed(tracks[i].Hits, tr.Peak)
	}
	return tracks
}

// State is what another tracker needs to go on.
func (t *Tracker) State() State {
	s := State{AtUS: t.atUS, Aspect: t.aspect, Last: t.last, Live: slices.Clone(t.live)}
	for i, l := range s.Live {
		s.Live[i].Hits = t.hits(l.Hits)
	}
	return s
}

// hits counts what was seen in every one of too few frames as seen often enough.
func (t *Tracker) hits(n int) int {
	if t.frames < t.options.Hits && n == t.frames {
		return t.options.Hits
	}
	return n
}

// Resume is a tracker that goes on from a state.
func Resume(o Options, s State) *Tracker {
	t := &Tracker{options: o, aspect: s.Aspect, atUS: s.AtUS, started: true, frames: o.Hits, last: s.Last, live: slices.Clone(s.Live)}
	for _, l := range s.Live {
		t.tracks = append(t.tracks, Track{ID: l.ID, Hits: l.Hits, Peak: l.Peak})
	}
	return t
}

// measure is a box as the filters see it: lengths in heights of the picture.
type measure struct{ x, y, w, h float64 }

func measured(b vision.Box, aspect float64) measure {
	c := b.Center()
	return measure{x: c.X * aspect, y: c.Y, w: b.W * aspect, h: b.H}
}

func (m measure) box() vision.Box { return vision.Box{X: m.x - m.w/2, Y: m.y - m.h/2, W: m.w, H: m.h} }

// How exact a detection is, in heights of the object.
const (
	placeNoise = .05
	sizeNoise  = .1
)

// newcomer is the cost of taking a detection for somebody new. Costs are logarithms of likelihoods per area, an object's height squared; so
// this says that of all places of that size one in fifty or so has a newcomer in it. It bounds a certain track to some four standard
// deviations, and keeps one that has not been seen for long from claiming whoever comes near.
const newcomer = 4

// cost is how unlikely it is that the detection is of the track: half the squared distance in standard deviations, plus the logarithm of
// those, which keeps an uncertain track from taking what a certain one explains better.
func (l Live) cost(m measure) float64 {
	h := l.H.size()
	vx, vy := l.X.Var[0]+sq(placeNoise*h), l.Y.Var[0]+sq(placeNoise*h)
	vw, vh := l.W.Var+sq(sizeNoise), l.H.Var+sq(sizeNoise)
	dw, dh := math.Log(m.w)-l.W.Log, math.Log(m.h)-l.H.Log
	overlap := vision.IoU(m.box(), l.measure().box())
	if math.Abs(dh) > math.Ln2 && overlap < .2 {
		return vision.Never
	}
	place := sq(m.x-l.X.At)/vx + sq(m.y-l.Y.At)/vy
	// Sizes jump where somebody is half hidden: beyond a few deviations further ones say little.
	size := 4*math.Log1p(sq(dw)/vw/4) + 4*math.Log1p(sq(dh)/vh/4)
	cost := (place+size)/2 + math.Log(math.Sqrt(vx*vy)/sq(h))
	if overlap >= .3 {
		// Half of somebody stepping behind a counter moves the middle of the box further than walking does: who is where the track
		// was expected is no newcomer.
		cost = min(cost, newcomer-overlap)
	}
	return cost
}

// overlapCost asks a weak detection to lie where the track is expected.
func (l Live) overlapCost(m measure) float64 {
	if o := vision.IoU(m.box(), l.measure().box()); o >= .4 {
		return 1 - o
	}
	return vision.Never
}

func sq(x float64) float64 { return x * x }
