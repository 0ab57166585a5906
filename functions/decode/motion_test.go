package decode

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vedette.dev/shared/findings"
)

// place is a picture of a place with texture, somebody in it and a camera's noise.
type place struct {
	width, height int
	noise         float64
	light         func(s float64) (gain, offset float64)
	grey          float64 // of who walks
	walker        func(s float64) (x, y, h float64)
	flash         float64 // time of a lightning, s
}

func (p place) picture(r *rand.Rand, s float64) Picture {
	w, h := p.width, p.height
	if w == 0 {
		w, h = LookWidth, LookHeight
	}
	gain, offset := 1., 0.
	if p.light != nil {
		gain, offset = p.light(s)
	}
	var x, y, tall float64
	if p.walker != nil {
		x, y, tall = p.walker(s)
	}
	m := Picture{US: int64(s * 1e6), Width: w, Height: h, Pix: make([]byte, w*h)}
	for py := range h {
		for px := range w {
			v := 60 + 50*float64((px/20+py/15)%3) // a floor of tiles
			if fx, fy := float64(px), float64(py); fx >= x && fx < x+tall*.4 && fy >= y && fy < y+tall {
				v = p.grey
			}
			if p.flash > 0 && s == p.flash && px > w/3 {
				v += 60
			}
			v = v*gain + offset + p.noise*r.NormFloat64()
			m.Pix[py*w+px] = byte(min(max(v, 0), 255))
		}
	}
	return m
}

// seen is what motion sees of a place at so many pictures a second.
func (p place) seen(seconds, rate float64) *motion {
	r := rand.New(rand.NewPCG(1, 2))
	var m motion
	for i := range int(seconds * rate) {
		m.see(p.picture(r, float64(i)/rate))
	}
	return &m
}

// walks is somebody of that height who walks through the picture at so many of their heights a second.
func walks(tall, speed float64) func(s float64) (x, y, h float64) {
	return func(s float64) (float64, float64, float64) { return 20 + speed*tall*s, 70, tall }
}

func TestMotion(t *testing.T) {
	const tenth = LookHeight / 10.
	for _, c := range []struct {
		name  string
		place place
		rate  float64
		moves bool
	}{
		{"an empty place", place{}, 5, false},
		{"a little noise", place{noise: 3}, 5, false},
		{"much noise", place{noise: 12}, 5, false},
		{"more noise than picture", place{noise: 40}, 5, false},
		{"light that drifts", place{noise: 3, light: func(s float64) (float64, float64) { return 1 + .03*s, 0 }}, 5, false},
		{"a cloud", place{noise: 3, light: func(s float64) (float64, float64) { return 1 - .1*max(0, min(s-3, 2)), 0 }}, 5, false},
		{"the exposure steps", place{noise: 3, light: func(s float64) (float64, float64) {
			if s > 4 {
				return 1.15, 0
			}
			return 1, 0
		}}, 5, false},
		{"a flash", place{noise: 3, flash: 4}, 5, false},
		{"a walker", place{noise: 3, grey: 30, walker: walks(60, .5)}, 5, true},
		{"a walker in bad light", place{noise: 12, grey: 30, walker: walks(60, .5)}, 5, true},
		{"a walker as the light drifts", place{noise: 3, grey: 30, walker: walks(60, .5), light: func(s float64) (float64, float64) { return 1 + .03*s, 0 }}, 5, true},
		{"a walker of a tenth of the height", place{noise: 3, grey: 30, walker: walks(tenth, .5)}, 5, true},
		{"a small and slow one", place{noise: 3, grey: 30, walker: walks(tenth, .2)}, 5, true},
		{"one who hardly differs", place{noise: 1, grey: 100, walker: walks(60, .5)}, 5, true},
		{"one who stands", place{noise: 3, grey: 30, walker: walks(60, 0)}, 5, false},
		{"a giant", place{noise: 3, grey: 30, walker: walks(170, .2)}, 5, true},
		{"a walker, looked at now and then", place{noise: 3, grey: 30, walker: walks(60, .3)}, .5, true},
		{"a walker, looked at closely", place{noise: 3, grey: 30, walker: walks(30, .3)}, 30, true},
		{"a small picture", place{width: 96, height: 72, noise: 3, grey: 30, walker: walks(20, .5)}, 5, true},
		{"no picture to speak of", place{width: 3, height: 2}, 5, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := c.place.seen(10, c.rate)
			if got := m.score() >= 1; got != c.moves {
				t.Errorf("score %.2f", m.score())
			}
		})
	}
}

func TestScoreTellsNoiseFromMotion(t *testing.T) {
	for _, noise := range []float64{0, 3, 6, 12} {
		still := place{noise: noise}.seen(10, 5).score()
		moves := place{noise: noise, grey: 30, walker: walks(LookHeight/7., .5)}.seen(10, 5).score()
		if still > .7 || moves < 1.3 {
			t.Errorf("noise of %v: %.2f where nothing moves, %.2f where somebody walks", noise, still, moves)
		}
	}
}

func TestStretches(t *testing.T) {
	// Walks from 3 s to 4 s and from 11 s to 12 s, and between only in the first case so shortly after that it is one stretch.
	visits := func(times ...float64) place {
		return place{noise: 3, grey: 30, walker: func(s float64) (float64, float64, float64) {
			x := 20.
			for _, from := range times {
				x += 30 * min(max(s-from, 0), 1)
			}
			return x, 70, 60
		}}
	}
	within := func(a, b []findings.Stretch) bool {
		if len(a) != len(b) {
			return false
		}
		const slack = sinceUS + slackUS
		for i := range a {
			if abs(a[i].StartUS-b[i].StartUS) > slack || abs(a[i].EndUS-b[i].EndUS) > slack {
				return false
			}
		}
		return true
	}
	for _, c := range []struct {
		times []float64
		want  []findings.Stretch
	}{
		{nil, nil},
		{[]float64{3}, []findings.Stretch{{StartUS: 2e6, EndUS: 5e6}}},
		{[]float64{3, 11}, []findings.Stretch{{StartUS: 2e6, EndUS: 5e6}, {StartUS: 10e6, EndUS: 13e6}}},
		{[]float64{3, 6}, []findings.Stretch{{StartUS: 2e6, EndUS: 8e6}}},
		{[]float64{0, 14}, []findings.Stretch{{StartUS: 0, EndUS: 2e6}, {StartUS: 13e6, EndUS: 15e6}}},
	} {
		got := visits(c.times...).seen(15, 5).stretches(0, 15e6)
		if !within(got, c.want) {
			t.Errorf("%v: %v, want about %v", c.times, got, c.want)
		}
	}
}

func abs(x int64) int64 { return max(x, -x) }

func TestMotionKeepsNoPicture(t *testing.T) {
	var kept, fresh motion
	r := rand.New(rand.NewPCG(3, 4))
	shared := Picture{}
	for i := range 10 {
		p := place{noise: 3, grey: 30, walker: walks(60, .5)}.picture(r, float64(i)/5)
		fresh.see(p)
		if shared.Pix == nil {
			shared.Pix = make([]byte, len(p.Pix))
		}
		copy(shared.Pix, p.Pix)
		shared.US, shared.Width, shared.Height = p.US, p.Width, p.Height
		kept.see(shared)
	}
	if diff := cmp.Diff(fresh.moved, kept.moved); diff != "" {
		t.Error(diff)
	}
}

func TestMotionOfAnotherSize(t *testing.T) {
	var m motion
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 10 {
		m.see(place{width: 320 - i/5*40, height: 180}.picture(r, float64(i)/5))
	}
	if m.score() >= 1 {
		t.Errorf("a camera that changes its size moved by %.2f", m.score())
	}
}

func TestLargest(t *testing.T) {
	for _, c := range []struct {
		rows []string
		want int
	}{
		{[]string{"....", "...."}, 0},
		{[]string{"#..#", "...."}, 1},
		{[]string{"#...", ".#..", "..##"}, 4},
		{[]string{"#..#", "#..#", "#..."}, 3}, // the end of a row does not touch the next one's beginning
		{[]string{"####", "####"}, 8},
	} {
		var cells []bool
		for _, row := range c.rows {
			for _, r := range row {
				cells = append(cells, r == '#')
			}
		}
		if got := largest(cells, len(c.rows[0])); got != c.want {
			t.Errorf("%v: %d, want %d", c.rows, got, c.want)
		}
	}
}

func BenchmarkMotion(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var pictures []Picture
	for i := range 8 {
		pictures = append(pictures, place{noise: 3, grey: 30, walker: walks(60, .5)}.picture(r, float64(i)/5))
	}
	for i := 0; b.Loop(); i++ {
		var m motion
		m.past = append(m.past, average(pictures[0]))
		m.see(pictures[i%8])
	}
}
