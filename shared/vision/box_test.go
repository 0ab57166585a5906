package vision

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIoU(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b Box
		want float64
	}{
		{"the same", Box{1, 2, 3, 4}, Box{1, 2, 3, 4}, 1},
		{"apart", Box{0, 0, 1, 1}, Box{2, 0, 1, 1}, 0},
		{"touching", Box{0, 0, 1, 1}, Box{1, 0, 1, 1}, 0},
		{"half over", Box{0, 0, 2, 1}, Box{1, 0, 2, 1}, 1. / 3},
		{"inside", Box{0, 0, 4, 4}, Box{1, 1, 2, 2}, .25},
		{"empty", Box{0, 0, 0, 0}, Box{0, 0, 0, 0}, 0},
		{"turned inside out", Box{1, 1, -1, -1}, Box{0, 0, 2, 2}, 0},
	} {
		if got := IoU(c.a, c.b); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: IoU %v, want %v", c.name, got, c.want)
		}
		if IoU(c.a, c.b) != IoU(c.b, c.a) {
			t.Errorf("%s: IoU depends on the order", c.name)
		}
	}
}

func TestBox(t *testing.T) {
	b := Box{.2, .4, .2, .4}
	for name, c := range map[string][2]Box{
		"to pixels":  {b.Scale(100, 50), {20, 20, 20, 20}},
		"grown":      {b.Grow(1, .5), {.1, .3, .4, .6}},
		"clipped":    {Box{-1, -1, 3, 1.5}.Clip(1, 1), {0, 0, 1, .5}},
		"clipped to": {Box{5, 5, 1, 1}.Clip(1, 1), {5, 5, 0, 0}},
	} {
		if !cmp.Equal(c[0], c[1], near) {
			t.Errorf("%s: %v, want %v", name, c[0], c[1])
		}
	}
	if !b.Contains(Point{.2, .4}) || b.Contains(Point{.401, .5}) || b.Contains(Point{.3, .8}) {
		t.Error("a box contains its upper left edges and not its lower right ones")
	}
	if !cmp.Equal(b.Center(), Point{.3, .6}, near) {
		t.Errorf("center %v", b.Center())
	}
}

func TestSuppress(t *testing.T) {
	ds := []Detection{
		{Box{0, 0, 10, 10}, .5},
		{Box{1, 0, 10, 10}, .9}, // swallows the first
		{Box{20, 0, 10, 10}, .7},
		{Box{20, 0, 10, 10}, .7},   // equal: the earlier stays
		{Box{20, 0, 10, 5.01}, .6}, // shares just more than half
		{Box{20, 0, 10, 5}, .6},    // shares half, which is not more than half
	}
	if diff := cmp.Diff([]int{1, 2, 5}, Suppress(ds, .5)); diff != "" {
		t.Error(diff)
	}
	if got := Suppress(nil, .5); len(got) != 0 {
		t.Errorf("of nothing stays %v", got)
	}
}

func TestJSON(t *testing.T) {
	in := struct {
		B Box
		P Point
		D Detection
	}{Box{.1, 1. / 3, 0, -1}, Point{.12345678, 2}, Detection{Box{0, 0, 1, 1}, .5}}
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"B":[0.1,0.333333,0,-1],"P":[0.123457,2],"D":{"box":[0,0,1,1],"score":0.5}}`
	if string(data) != want {
		t.Errorf("%s, want %s", data, want)
	}
	out := in
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if again, _ := json.Marshal(out); string(again) != want {
		t.Errorf("after a second round: %s", again)
	}
	for _, bad := range []string{`[1,2,3]`, `[1,2,3,4,5]`, `{"x":1}`, `["a",1,2,3]`} {
		if json.Unmarshal([]byte(bad), &Box{}) == nil {
			t.Errorf("%s passes for a box", bad)
		}
	}
}

// near takes rounding in the last digits for equal.
var near = cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })
