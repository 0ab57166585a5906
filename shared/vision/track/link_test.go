package track

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vedette.dev/shared/vision"
)

// tracked tracks a segment by itself and returns, besides its tracker, the numbers that each walker first and last had there.
func tracked(t *testing.T, times []float64, walks ...walk) (tr *Tracker, first, last []int) {
	t.Helper()
	tr = New(Persons(), aspect)
	r := rand.New(rand.NewPCG(9, uint64(1000*times[0])))
	first, last = make([]int, len(walks)), make([]int, len(walks))
	for _, s := range times {
		ds, who := seen(r, s, walks...)
		ids, err := tr.Step(int64(s*1e6), ds)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			if id == 0 {
				continue
			}
			if first[who[i]] == 0 {
				first[who[i]] = id
			}
			last[who[i]] = id
		}
	}
	return tr, first, last
}

// between gives each walker's place between two times and hides them else.
func (w walk) between(from, to float64) walk {
	return w.scored(func(s float64) float64 {
		if s < from || s >= to {
			return 0
		}
		return .8
	})
}

func TestLink(t *testing.T) {
	east, west := straight(.2, .5, .15, 0, .3), straight(1.6, .52, -.15, 0, .3)
	for _, c := range []struct {
		name  string
		walks []walk
		goOn  []bool // whether each walker is the same track on both sides of 5 s
	}{
		{"all walk on", []walk{east, west, straight(.9, .3, 0, .01, .2)}, []bool{true, true, true}},
		{"crossing on the boundary", []walk{straight(.2, .5, .14, 0, .3), straight(1.6, .52, -.14, 0, .3)}, []bool{true, true}},
		{"hidden across the boundary", []walk{east.hidden(4.4, 5.6), west}, []bool{true, true}},
		{"hidden for too long", []walk{east.hidden(3.9, 6.1), west}, []bool{false, true}},
		{"one goes, one comes elsewhere", []walk{east.between(0, 4.9), straight(1.5, .3, 0, 0, .3).between(5.3, 10)}, []bool{false, false}},
		{"seen once on this side", []walk{east.between(4.7, 10), west}, []bool{true, true}},
		{"seen once on that side", []walk{east.between(0, 5.1), west}, []bool{true, true}},
		{"somebody large comes where somebody small went", []walk{straight(.9, .5, 0, 0, .1).between(0, 5), straight(.9, .5, 0, 0, .6).between(5, 10)}, []bool{false, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, _, before := tracked(t, every(.2, 0, 4.9), c.walks...)
			second, after, _ := tracked(t, every(.2, 5, 10), c.walks...)
			links := Link(first.State(), second.Tracks(), Persons())
			for w, want := range c.goOn {
				id, linked := links[after[w]]
				if got := linked && id == before[w]; got != want {
					t.Errorf("walker %d: track %d before, %d after, links %v", w, before[w], after[w], links)
				}
			}
		})
	}
}

func TestLinkIsWhatTheTrackerWouldHaveDone(t *testing.T) {
	walks := []walk{
		straight(.2, .5, .12, 0, .3), straight(1.6, .55, -.1, 0, .35), straight(.9, .3, .02, .01, .2).hidden(4.6, 5.5),
		straight(1.2, .7, -.02, 0, .4), straight(.1, .3, .05, 0, .2).between(5.5, 10),
	}
	whole := New(Persons(), aspect)
	want := follow(t, whole, every(.2, 0, 10), walks...)
	first, _, before := tracked(t, every(.2, 0, 4.9), walks...)
	second, after, _ := tracked(t, every(.2, 5, 10), walks...)
	links := Link(first.State(), second.Tracks(), Persons())
	for w := range walks {
		_, linked := links[after[w]]
		if oneTrack := len(want[w]) == 1 && before[w] != 0; linked != oneTrack || linked && links[after[w]] != before[w] {
			t.Errorf("walker %d: numbers in one go %v, linked %v", w, want[w], links)
		}
	}
}

func TestLinkAcrossQuiet(t *testing.T) {
	const minutes = 600.
	stands := straight(.5, .5, 0, 0, .4)
	slows := walk(func(s float64) (x, y, h, score float64) { return min(1+.1*s, 1.35), .5, .4, .8 })
	left := straight(.7, .2, .28, 0, .2).between(0, 3.5)
	first, _, before := tracked(t, every(.2, 0, 5), stands, slows, left)

	// Ten minutes in which nothing moves, in two segments; then one of them walks off, and a stranger comes in at the far side.
	again := 5 + minutes
	off := walk(func(s float64) (x, y, h, score float64) { return .5 - .15*max(s-again-1, 0), .5, .4, .8 })
	stays := straight(1.35, .5, 0, 0, .4)
	comes := straight(1.75, .5, -.1, 0, .4)
	second, after, _ := tracked(t, every(.2, again, again+3), off, stays, comes)

	quiet := first.State().Hold(int64((5+minutes/2)*1e6), Persons())
	quiet = quiet.Hold(int64(again*1e6), Persons())
	links := Link(quiet, second.Tracks(), Persons())
	want := map[int]int{after[0]: before[0], after[1]: before[1]}
	if diff := cmp.Diff(want, links); diff != "" {
		t.Error(diff)
	}
	if n := len(Link(first.State(), second.Tracks(), Persons())); n != 0 {
		t.Errorf("without being held, %d tracks outlive ten minutes", n)
	}
	for _, l := range quiet.Live {
		if l.ID == before[2] {
			t.Error("who had left before the quiet is still there")
		}
	}
}

func TestHoldKeepsThePlace(t *testing.T) {
	tr, _, _ := tracked(t, every(.2, 0, 5), straight(.5, .5, .1, 0, .4)) // still walking as the segment ends
	state := tr.State()
	held := state.Hold(3_600_000_000, Persons())
	if a, b := state.Live[0].Box(aspect), held.Live[0].Box(aspect); !cmp.Equal(a, b) {
		t.Errorf("from %v to %v", a, b)
	}
	later := held.Live[0].predict(held.AtUS+10_000_000, Persons())
	if a, b := held.Live[0].Box(aspect), later.Box(aspect); !cmp.Equal(a, b) {
		t.Errorf("what is held goes on walking, from %v to %v", a, b)
	}
	if back := state.Hold(0, Persons()); back.AtUS != state.AtUS {
		t.Errorf("held into the past: %d", back.AtUS)
	}
	if box := held.Live[0].Box(aspect); vision.IoU(box, tr.Tracks()[0].Seen[len(tr.Tracks()[0].Seen)-1].Box) < .8 {
		t.Errorf("it is at %v", box)
	}
}

func TestLinkOfNothing(t *testing.T) {
	tr, _, _ := tracked(t, every(.2, 0, 2), straight(.5, .5, 0, 0, .4))
	for _, links := range []map[int]int{
		Link(State{}, tr.Tracks(), Persons()),
		Link(tr.State(), nil, Persons()),
		Link(tr.State(), []Track{{ID: 1}}, Persons()),
	} {
		if len(links) != 0 {
			t.Errorf("%v", links)
		}
	}
}
