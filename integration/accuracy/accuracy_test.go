package main

import (
	"image"
	_ "image/jpeg"
	"os"
	"testing"

	"vedette.dev/functions/detect/native"
	"vedette.dev/shared/function"
	"vedette.dev/shared/vision"
)

// quick is a measurement so small that a test can make it, on drawn people: it needs no footage.
func quick(t *testing.T) *measurement {
	t.Helper()
	m := &measurement{seed: 1, scale: .1, progress: t.Logf}
	for _, c := range []any{&m.split, &m.decode, &m.detect} {
		if err := function.Parse(c, os.LookupEnv); err != nil {
			t.Fatal(err)
		}
	}
	m.ground = drawnGround()
	for i := range 3 {
		m.walkers = append(m.walkers, drawnWalker(byte(40+60*i)))
	}
	return m
}

// drawnGround is a place with walls, tiles and some texture.
func drawnGround() vision.Image {
	m := vision.NewImage(768, 576)
	for y := range m.H {
		row := m.Row(y)
		for x := range m.W {
			v := 90 + 30*((x/64+y/48)%2) + (x*7+y*13)%9
			row[3*x], row[3*x+1], row[3*x+2] = byte(v), byte(v+10), byte(v-10)
		}
	}
	return m
}

// drawnWalker is a head, a trunk and two legs that walk.
func drawnWalker(grey byte) walker {
	w := walker{tall: 100, speed: .5}
	for step := range 10 {
		c := cutout{Image: vision.NewImage(44, 100), alpha: make([]byte, 44*100)}
		for y := range c.H {
			for x := range c.W {
				spread := (y - 50) * (5 - step) / 12
				head := (x-22)*(x-22)+(y-9)*(y-9) < 70
				trunk := y > 17 && y < 55 && x > 11 && x < 33
				leg := y >= 55 && (abs(x-18-spread) < 5 || abs(x-26+spread) < 5)
				if !head && !trunk && !leg {
					continue
				}
				c.alpha[y*c.W+x] = 255
				copy(c.Row(y)[3*x:], []byte{grey, grey / 2, byte(y)})
			}
		}
		w.steps = append(w.steps, c)
	}
	return w
}

func TestGateQuickly(t *testing.T) {
	m := quick(t)
	for _, distance := range []int{1, 10} {
		s := m.visits(distance)[0]
		s.width, s.height, s.seconds = 480, 270, 50
		c := m.cast(uint64(distance), s.width, s.height)
		s.ground = c.place(c.r, s.width, s.height)
		s.actors = []*actor{c.walks(.12, 2, 0), c.walks(.3, 42, 3)}
		told, err := m.show(t.Context(), s, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range s.actors {
			if missed := unseen(a, s, told); missed > 1 {
				t.Errorf("%s: visitor %d was missed for %.1f s", s.name, i, missed)
			}
		}
		quiet := 0
		for _, g := range told.Segments {
			if !empty(s, g) {
				continue
			}
			if quiet++; g.Active {
				t.Errorf("%s: nobody is there from %d µs, yet the segment is active: %.2f by %s", s.name, g.StartUS, g.Score, g.Rule)
			}
		}
		if quiet == 0 {
			t.Errorf("%s: no segment is quiet", s.name)
		}
	}
}

// TestFacesQuickly finds five faces of 30 px and more, by the whole way from a video to the report.
func TestFacesQuickly(t *testing.T) {
	m := quick(t)
	networks, err := native.Load(m.detect, quietly{})
	if err != nil {
		t.Fatalf("%v: run scripts/setup, then source the env file that it names", err)
	}
	photo, err := os.Open("../../shared/vision/detector/testdata/group.jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer photo.Close()
	decoded, _, err := image.Decode(photo)
	if err != nil {
		t.Fatal(err)
	}
	group := vision.FromImage(decoded)
	s := scene{name: "group", width: 960, height: 540, rate: 5, gop: 5, seconds: 3, noise: 2, seed: 1}
	c := m.cast(1, s.width, s.height)
	s.ground = c.place(c.r, s.width, s.height)
	for i, f := range []vision.Box{ // marked by hand
		{X: .410, Y: .082, W: .083, H: .155}, {X: .311, Y: .300, W: .090, H: .186}, {X: .734, Y: .283, W: .100, H: .191},
	} {
		p := portraitOf(group, f.Scale(float64(group.W), float64(group.H)))
		s.actors = append(s.actors, c.shows(p, 34+10*float64(i), 160+320*float64(i), 400, 0, s.seconds))
	}
	told, err := m.show(t.Context(), s, &networks)
	if err != nil {
		t.Fatal(err)
	}
	got := compare(s.labels(), facesOf(told), func(l label) bool { return l.hidden < .25 })
	if got.labels < 30 || got.recall() < .95 || got.strange > 0 {
		t.Errorf("recall %.2f of %d, %d strange", got.recall(), got.labels, got.strange)
	}
}
