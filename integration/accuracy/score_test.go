package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"vedette.dev/shared/vision"
)

func at(x float64) vision.Box { return vision.Box{X: x, Y: .5, W: .1, H: .2} }

func TestCompare(t *testing.T) {
	all := func(label) bool { return true }
	unhidden := func(l label) bool { return l.hidden < .5 }
	for _, c := range []struct {
		name   string
		labels []label
		seen   []sighting
		wanted func(label) bool
		want   score
		idf1   float64
	}{
		{"nobody", nil, nil, all, score{}, 1},
		{"as it is", []label{{us: 0, who: 1, box: at(.1)}, {us: 1, who: 1, box: at(.2)}},
			[]sighting{{us: 0, track: 7, box: at(.1)}, {us: 1, track: 7, box: at(.2)}}, all,
			score{labels: 2, found: 2, seen: 2, together: 2}, 1},
		{"missed once", []label{{us: 0, who: 1, box: at(.1)}, {us: 1, who: 1, box: at(.2)}},
			[]sighting{{us: 0, track: 7, box: at(.1)}}, all,
			score{labels: 2, found: 1, seen: 1, together: 1}, 2. / 3},
		{"elsewhere", []label{{who: 1, box: at(.1)}}, []sighting{{track: 7, box: at(.16)}}, all,
			score{labels: 1, seen: 1, strange: 1}, 0},
		{"another number", []label{{us: 0, who: 1, box: at(.1)}, {us: 1, who: 1, box: at(.1)}, {us: 2, who: 1, box: at(.1)}},
			[]sighting{{us: 0, track: 7, box: at(.1)}, {us: 1, track: 8, box: at(.1)}, {us: 2, track: 8, box: at(.1)}}, all,
			score{labels: 3, found: 3, seen: 3, switches: 1, together: 2}, 2. / 3},
		{"two change numbers", []label{{us: 0, who: 1, box: at(.1)}, {us: 0, who: 2, box: at(.5)}, {us: 1, who: 1, box: at(.1)}, {us: 1, who: 2, box: at(.5)}},
			[]sighting{{us: 0, track: 7, box: at(.1)}, {us: 0, track: 8, box: at(.5)}, {us: 1, track: 8, box: at(.1)}, {us: 1, track: 7, box: at(.5)}}, all,
			score{labels: 4, found: 4, seen: 4, switches: 2, together: 2}, .5},
		{"two side by side: who is followed goes on", []label{{us: 0, who: 1, box: at(.10)}, {us: 1, who: 1, box: at(.10)}, {us: 1, who: 2, box: at(.12)}},
			[]sighting{{us: 0, track: 7, box: at(.1)}, {us: 1, track: 8, box: at(.10)}, {us: 1, track: 7, box: at(.12)}}, all,
			score{labels: 3, found: 3, seen: 3, together: 3}, 1},
		{"hidden and seen all the same", []label{{who: 1, box: at(.1), hidden: .9}}, []sighting{{track: 7, box: at(.1)}}, unhidden, score{}, 1},
		{"half of who is hidden", []label{{who: 1, box: at(.1), hidden: .9}}, []sighting{{track: 7, box: vision.Box{X: .1, Y: .5, W: .1, H: .08}}}, unhidden, score{}, 1},
		{"hidden and not seen", []label{{who: 1, box: at(.1), hidden: .9}}, nil, unhidden, score{}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := compare(c.labels, c.seen, c.wanted)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(score{})); diff != "" {
				t.Error(diff)
			}
			if got.idf1() != c.idf1 {
				t.Errorf("IDF1 %v, want %v", got.idf1(), c.idf1)
			}
		})
	}
}

func TestAddScores(t *testing.T) {
	s := score{1, 2, 3, 4, 5, 6}
	s.add(score{10, 20, 30, 40, 50, 60})
	if diff := cmp.Diff(score{11, 22, 33, 44, 55, 66}, s, cmp.AllowUnexported(score{})); diff != "" {
		t.Error(diff)
	}
	if r := (score{}).recall(); r != 1 {
		t.Errorf("recall of nothing: %v", r)
	}
}
