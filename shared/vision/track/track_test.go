package track

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vedette.dev/shared/vision"
)

const aspect = 16. / 9

// A walk is where somebody is at a time in seconds, and how well they are seen; a score of zero: not at all.
type walk func(s float64) (x, y, h, score float64)

// straight walks from a place at a speed, in heights of the picture.
func straight(x, y, vx, vy, h float64) walk {
	return func(s float64) (float64, float64, float64, float64) { return x + vx*s, y + vy*s, h, .8 }
}

func (w walk) scored(score func(s float64) float64) walk {
	return func(s float64) (x, y, h, sc float64) {
		x, y, h, _ = w(s)
		return x, y, h, score(s)
	}
}

// hidden is not seen between two times.
func (w walk) hidden(from, to float64) walk {
	return w.scored(func(s float64) float64 {
		if s >= from && s < to {
			return 0
		}
		return .8
	})
}

// seen is what a detector finds of walkers at a time, shaken a little as detectors shake, and which walker each detection is of.
func seen(r *rand.Rand, s float64, walks ...walk) (ds []vision.Detection, who []int) {
	for i, w := range walks {
		x, y, h, score := w(s)
		shake := func() float64 { return h * .02 * r.NormFloat64() }
		b := vision.Box{X: (x - .2*h + shake()) / aspect, Y: y - h/2 + shake(), W: .4 * h / aspect, H: h + shake()}
		if score > 0 {
			ds, who = append(ds, vision.Detection{Box: b, Score: score}), append(who, i)
		}
	}
	return ds, who
}

// follow tracks walkers through frames at those times and returns the numbers that each was given, in the order of first use.
func follow(t *testing.T, tr *Tracker, times []float64, walks ...walk) [][]int {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	ids := make([][]int, len(walks))
	for _, s := range times {
		ds, who := seen(r, s, walks...)
		got, err := tr.Step(int64(s*1e6), ds)
		if err != nil {
			t.Fatal(err)
		}
		once := map[int]bool{}
		for i, id := range got {
			if id != 0 && once[id] {
				t.Fatalf("%.2f s: two detections are track %d", s, id)
			}
			once[id] = true
			if w := who[i]; len(ids[w]) == 0 || ids[w][len(ids[w])-1] != id {
				ids[w] = append(ids[w], id)
			}
		}
	}
	return ids
}

// every gives the times of frames.
func every(interval, from, to float64) (times []float64) {
	for i := 0; from+float64(i)*interval < to; i++ {
		times = append(times, from+float64(i)*interval)
	}
	return times
}

func TestNumbersStayWithPeople(t *testing.T) {
	weak := func(from, to float64) func(float64) float64 {
		return func(s float64) float64 {
			if s >= from && s < to {
				return .2
			}
			return .8
		}
	}
	irregular := []float64{0}
	for r := rand.New(rand.NewPCG(3, 4)); irregular[len(irregular)-1] < 8; {
		irregular = append(irregular, irregular[len(irregular)-1]+.04+.5*r.Float64())
	}
	for _, c := range []struct {
		name  string
		times []float64
		walks []walk
		want  [][]int
	}{
		{"one walks", every(.2, 0, 8), []walk{straight(.1, .5, .18, 0, .3)}, [][]int{{1}}},
		{"one runs from the first frame on", every(.2, 0, 3), []walk{straight(.1, .5, .6, 0, .3)}, [][]int{{1}}},
		{"one comes nearer", every(.2, 0, 6), []walk{func(s float64) (float64, float64, float64, float64) {
			return .8, .4 + .03*s, .15 * math.Exp(.25*s), .8
		}}, [][]int{{1}}},
		{
			"two cross", every(.2, 0, 8),
			[]walk{straight(.2, .5, .2, 0, .3), straight(1.6, .52, -.2, 0, .3)},
			[][]int{{1}, {2}},
		},
		{
			"two cross and one hides the other", every(.2, 0, 8),
			[]walk{straight(.2, .5, .2, 0, .3), straight(1.6, .52, -.2, 0, .3).hidden(3.1, 3.9)},
			[][]int{{1}, {2}},
		},
		{
			"two walk side by side", every(.2, 0, 8),
			[]walk{straight(.2, .5, .15, 0, .3), straight(.32, .5, .15, 0, .3)},
			[][]int{{1}, {2}},
		},
		{
			"two turn back where they meet", every(.2, 0, 8), // and do not change numbers with each other
			[]walk{
				func(s float64) (float64, float64, float64, float64) { return .8 - math.Abs(s-4)*.12, .5, .3, .8 },
				func(s float64) (float64, float64, float64, float64) { return 1 + math.Abs(s-4)*.12, .5, .3, .8 },
			},
			[][]int{{1}, {2}},
		},
		{"behind a pillar", every(.2, 0, 8), []walk{straight(.1, .5, .18, 0, .3).hidden(3, 4.5)}, [][]int{{1}}},
		{"away for long", every(.2, 0, 10), []walk{straight(.1, .5, .05, 0, .3).hidden(3, 6)}, [][]int{{1, 2}}},
		{"half hidden for long", every(.2, 0, 9), []walk{straight(.1, .5, .15, 0, .3).scored(weak(2, 7))}, [][]int{{1}}},
		{"weak from the start", every(.2, 0, 4), []walk{straight(.1, .5, .15, 0, .3).scored(weak(0, 2))}, [][]int{{0, 1}}},
		{"frames come as they like", irregular, []walk{straight(.1, .5, .18, 0, .3), straight(1.6, .5, -.18, .01, .3)}, [][]int{{1}, {2}}},
		{"frames are scarce", every(.6, 0, 9), []walk{straight(.1, .5, .15, 0, .3), straight(1.6, .45, -.15, .01, .3)}, [][]int{{1}, {2}}},
		{"frames are many", every(.04, 0, 5), []walk{straight(.1, .5, .18, 0, .3), straight(1.2, .53, -.18, 0, .3)}, [][]int{{1}, {2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, follow(t, New(Persons(), aspect), c.times, c.walks...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSitsDownBehindACounter(t *testing.T) {
	tr := New(Persons(), aspect)
	for i := range 20 {
		b := vision.Box{X: .4, Y: .3, W: .1, H: .5}
		if i >= 10 {
			b.H = .25 // from one frame to the next the lower half is gone
		}
		ids, err := tr.Step(int64(i)*200_000, []vision.Detection{{Box: b, Score: .7}})
		if err != nil || ids[0] != 1 {
			t.Fatalf("frame %d: %v %v", i, ids, err)
		}
	}
}

func TestTracks(t *testing.T) {
	tr := New(Persons(), aspect)
	scores := []float64{.5, 0, .46, .2, .5, .8}
	phantom := vision.Box{X: .8, Y: .2, W: .02, H: .05}
	for i, s := range scores {
		ds := []vision.Detection{{Box: phantom, Score: []float64{.45, .3, .48, .44, .46, .5}[i]}}
		if s > 0 {
			ds = append(ds, vision.Detection{Box: vision.Box{X: .1, Y: .2, W: .1, H: .4}, Score: s})
		}
		if _, err := tr.Step(int64(i)*200_000, ds); err != nil {
			t.Fatal(err)
		}
	}
	got := tr.Tracks()
	if len(got) != 2 {
		t.Fatalf("%d tracks", len(got))
	}
	cone, person := got[0], got[1]
	if cone.ID != 1 || cone.Hits != 4 || len(cone.Seen) != 6 || cone.Peak != .5 || cone.Confirmed {
		t.Errorf("a phantom that is never well seen: %+v", cone)
	}
	var times []int64
	for _, o := range person.Seen {
		times = append(times, o.AtUS)
	}
	if diff := cmp.Diff([]int64{0, 400_000, 600_000, 800_000, 1_000_000}, times); diff != "" {
		t.Error(diff)
	}
	if person.Hits != 4 || person.Peak != .8 || !person.Confirmed {
		t.Errorf("a person: %+v", person)
	}
}

func TestConfirmed(t *testing.T) {
	o := Persons()
	for _, c := range []struct {
		hits int
		peak float64
		want bool
	}{{1, .9, true}, {1, .7, false}, {2, .7, false}, {3, .7, true}, {30, .55, false}, {0, 0, false}} {
		if o.Confirmed(c.hits, c.peak) != c.want {
			t.Errorf("%d hits, peak %v: %v", c.hits, c.peak, !c.want)
		}
	}
}

// TestOneFrameIsEnough: of a quiet segment's one frame whoever stands in it is told, unless the network is unsure.
func TestOneFrameIsEnough(t *testing.T) {
	ds := []vision.Detection{
		{Box: vision.Box{X: .1, Y: .2, W: .1, H: .4}, Score: .65},
		{Box: vision.Box{X: .6, Y: .2, W: .1, H: .4}, Score: .5},
	}
	tr := New(Persons(), aspect)
	if _, err := tr.Step(0, ds); err != nil {
		t.Fatal(err)
	}
	if got := tr.Tracks(); !got[0].Confirmed || got[1].Confirmed {
		t.Errorf("of one frame: %+v", got)
	}
	if live := tr.State().Live[0]; !Persons().Confirmed(live.Hits, live.Peak) {
		t.Errorf("its state forgets it: %+v", live)
	}
	for i := range 3 {
		if _, err := tr.Step(int64(i+1)*200_000, nil); err != nil {
			t.Fatal(err)
		}
	}
	if tr.Tracks()[0].Confirmed {
		t.Error("seen in one of four frames it is still confirmed")
	}
}

func TestStepRefusesFramesOutOfOrder(t *testing.T) {
	tr := New(Persons(), aspect)
	for _, c := range []struct {
		at int64
		ok bool
	}{{200_000, true}, {200_000, true}, {100_000, false}, {300_000, true}} {
		if _, err := tr.Step(c.at, []vision.Detection{{Box: vision.Box{X: .1, Y: .1, W: .1, H: .3}, Score: .9}}); (err == nil) != c.ok {
			t.Errorf("at %d: %v", c.at, err)
		}
	}
	if n := len(tr.Tracks()); n != 1 {
		t.Errorf("%d tracks", n)
	}
}

func TestStepLeavesOutWhatIsNoBox(t *testing.T) {
	tr := New(Persons(), aspect)
	ids, err := tr.Step(0, []vision.Detection{{Score: .9}, {Box: vision.Box{W: -1, H: 1}, Score: .9}, {Box: vision.Box{W: .1, H: math.NaN()}, Score: .9}})
	if err != nil || !cmp.Equal(ids, []int{0, 0, 0}) {
		t.Errorf("%v %v", ids, err)
	}
}

// crowd is many people who walk about, hidden now and then.
func crowd(n int) (walks []walk) {
	r := rand.New(rand.NewPCG(5, 6))
	for range n {
		x, y, h := aspect*r.Float64(), .3+.5*r.Float64(), .15+.2*r.Float64()
		fx, fy, phase := .2+.5*r.Float64(), .2+.3*r.Float64(), 6*r.Float64()
		walks = append(walks, func(s float64) (float64, float64, float64, float64) {
			return x + .2*math.Sin(fx*s+phase), y + .05*math.Sin(fy*s), h, .5 + .45*math.Sin(.9*s+phase)
		})
	}
	return walks
}

func TestSameInSameOut(t *testing.T) {
	run := func() ([][]int, []Track) {
		tr := New(Persons(), aspect)
		return follow(t, tr, every(.2, 0, 10), crowd(12)...), tr.Tracks()
	}
	ids, tracks := run()
	for range 3 {
		againIDs, againTracks := run()
		if !cmp.Equal(ids, againIDs) || !cmp.Equal(tracks, againTracks) {
			t.Fatal("the same frames were tracked in another way")
		}
	}
}

// TestResumeGoesOn cuts the same frames at every place, by way of JSON: nobody may notice.
func TestResumeGoesOn(t *testing.T) {
	times, walks := every(.2, 0, 6), crowd(6)
	whole := New(Persons(), aspect)
	follow(t, whole, times, walks...)
	for cut := Persons().Hits; cut < len(times); cut++ {
		r := rand.New(rand.NewPCG(1, 2)) // as follow does
		tr := New(Persons(), aspect)
		var before []Track
		for i, s := range times {
			if i == cut {
				data, err := json.Marshal(tr.State())
				if err != nil {
					t.Fatal(err)
				}
				var state State
				if err := json.Unmarshal(data, &state); err != nil {
					t.Fatal(err)
				}
				before, tr = tr.Tracks(), Resume(Persons(), state)
			}
			ds, _ := seen(r, s, walks...)
			if _, err := tr.Step(int64(s*1e6), ds); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(whole.State(), tr.State()); diff != "" {
			t.Fatalf("cut before frame %d: %s", cut, diff)
		}
		if diff := cmp.Diff(whole.Tracks(), joined(before, tr.Tracks())); diff != "" {
			t.Fatalf("cut before frame %d: %s", cut, diff)
		}
	}
}

// joined puts the later observations of a track behind the earlier ones.
func joined(before, after []Track) []Track {
	all := append([]Track{}, before...)
next:
	for _, a := range after {
		for i, b := range all {
			if a.ID == b.ID {
				a.Seen = append(append([]Observation{}, b.Seen...), a.Seen...)
				all[i] = a
				continue next
			}
		}
		all = append(all, a)
	}
	return all
}

func BenchmarkStep(b *testing.B) {
	walks := crowd(20)
	r := rand.New(rand.NewPCG(7, 8))
	tr := New(Persons(), aspect)
	at := 0.0
	for b.Loop() {
		ds, _ := seen(r, at, walks...)
		if _, err := tr.Step(int64(at*1e6), ds); err != nil {
			b.Fatal(err)
		}
		at += .2
	}
}
