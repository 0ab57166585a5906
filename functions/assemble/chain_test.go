package assemble

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/vision"
	"vedette.dev/shared/vision/track"
)

const second = int64(1_000_000)

// walk is somebody seen five times a second, who goes by speed (widths of the picture a second) from x on.
type walk struct {
	from, to int64 // µs
	x, speed float64
	score    float64
}

// segmentOf tracks walkers as detect does.
func segmentOf(t *testing.T, startUS, endUS int64, walkers ...walk) findings.Objects {
	t.Helper()
	persons := track.New(track.Persons(), 16./9)
	for us := startUS; us < endUS; us += second / 5 {
		var seen []vision.Detection
		for _, w := range walkers {
			if us >= w.from && us < w.to {
				x := w.x + w.speed*float64(us-w.from)/1e6
				seen = append(seen, vision.Detection{Box: vision.Box{X: x, Y: .3, W: .1, H: .4}, Score: w.score})
			}
		}
		if _, err := persons.Step(us, seen); err != nil {
			t.Fatal(err)
		}
	}
	found := findings.Objects{End: findings.Trackers{Persons: persons.State()}}
	for _, tr := range persons.Tracks() {
		told := findings.Track{ID: tr.ID, Object: findings.Person, Hits: tr.Hits, Peak: tr.Peak}
		for _, o := range tr.Seen {
			told.Points = append(told.Points, findings.Observation{US: o.AtUS, Box: o.Box, Score: o.Score})
		}
		found.Tracks = append(found.Tracks, told)
	}
	return found
}

func segment(i int, startUS, endUS int64) ledger.Segment {
	return ledger.Segment{Index: i, StartUS: startUS, EndUS: endUS}
}

func TestChain(t *testing.T) {
	type part struct {
		state ledger.State
		sees  []walk
	}
	// Somebody who walks in at 3 s and goes on.
	through := walk{3 * second, 40 * second, .1, .02, .8}
	stands := walk{0, 15 * second, .5, 0, .8}
	for _, test := range []struct {
		name    string
		parts   []part
		want    []map[int]int
		carried []int // numbers of those who stand still, by segment
	}{
		{
			name:  "goes on over a boundary",
			parts: []part{{ledger.Active, []walk{through}}, {ledger.Active, []walk{through}}},
			want:  []map[int]int{{1: 1}, {1: 1}},
		},
		{
			name:    "stands through a quiet segment and then leaves",
			parts:   []part{{ledger.Active, []walk{stands}}, {ledger.Quiet, nil}, {ledger.Active, []walk{{20 * second, 25 * second, .5, .05, .8}}}},
			want:    []map[int]int{{1: 1}, {}, {1: 1}},
			carried: []int{1},
		},
		{
			name:  "another one at another place is another",
			parts: []part{{ledger.Active, []walk{stands}}, {ledger.Active, []walk{{12 * second, 18 * second, .1, 0, .8}}}},
			want:  []map[int]int{{1: 1}, {1: 2}},
		},
		{
			name: "seen only once before the boundary, and confirmed after it",
			parts: []part{
				{ledger.Active, []walk{{98 * second / 10, 40 * second, .3, 0, .62}}},
				{ledger.Active, []walk{{98 * second / 10, 40 * second, .3, 0, .62}}},
			},
			want: []map[int]int{{1: -1}, {1: 1}},
		},
		{
			name:  "a flicker comes to nothing",
			parts: []part{{ledger.Active, []walk{{5 * second, 52 * second / 10, .3, 0, .5}}}, {ledger.Active, nil}},
			want:  []map[int]int{{1: -1}, {}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := chain{}
			carried := []int{}
			for i, p := range test.parts {
				start, end := int64(i)*10*second, int64(i+1)*10*second
				var found *findings.Objects
				if p.state == ledger.Active {
					o := segmentOf(t, start, end, p.sees...)
					found = &o
				}
				now := before.next(segment(i, start, end), p.state, found)
				if diff := cmp.Diff(test.want[i], now.Numbers); diff != "" {
					t.Errorf("segment %d (-want +got):\n%s", i, diff)
				}
				for _, c := range now.Carried {
					carried = append(carried, c.Number)
				}
				again := before.next(segment(i, start, end), p.state, found)
				if diff := cmp.Diff(now, again); diff != "" {
					t.Errorf("segment %d is numbered differently the second time:\n%s", i, diff)
				}
				before = chain{now}
			}
			if !slices.Equal(carried, test.carried) {
				t.Errorf("carried %v, want %v", carried, test.carried)
			}
		})
	}
}

func TestConfirmedLater(t *testing.T) {
	late := walk{98 * second / 10, 40 * second, .3, 0, .62}
	first, then := segmentOf(t, 0, 10*second, late), segmentOf(t, 10*second, 20*second, late)
	a := chain{}.next(segment(0, 0, 10*second), ledger.Active, &first)
	b := chain{a}.next(segment(1, 10*second, 20*second), ledger.Active, &then)
	if diff := cmp.Diff(map[int]int{-1: 1}, b.Confirmed); diff != "" {
		t.Errorf("confirmed (-want +got):\n%s", diff)
	}
	w := whole{
		progress: ledger.Progress{Segments: []ledger.Segment{segment(0, 0, 10*second), segment(1, 10*second, 20*second)}},
		objects:  map[int]findings.Objects{0: first, 1: then},
		numbered: map[int]findings.Numbered{0: a, 1: b},
	}
	tracks := w.tracks()
	if len(tracks) != 1 || tracks[0].Start != 9.8 || tracks[0].End != 19.8 {
		t.Errorf("tracks %+v, want one from 9.8 s, where it was not sure yet, to 19.8 s", tracks)
	}
}
