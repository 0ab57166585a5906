package main

import (
	"cmp"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"

	"vedette.dev/shared/media/mediatest"
	"vedette.dev/shared/vision"
)

// scene is a place, who and what goes through it, its light, and the camera that looks on.
type scene struct {
	name          string
	width, height int
	rate          int // frames a second
	gop           int // frames from keyframe to keyframe
	options       map[string]string
	seconds       float64
	ground        vision.Image
	actors        []*actor
	noise         float64                 // standard deviation of the sensor's, grey levels
	light         func(s float64) float64 // nil: as it is
	seed          uint64
}

// actor is a person, a face or a thing that goes through a scene.
type actor struct {
	who      int // 0: a thing, of which nobody is to be told
	from, to float64
	at       func(s float64) (x, y float64) // where its lower edge's middle is, px
	look     func(s float64) cutout         // as large as it is shown
	part     vision.Box                     // what of the cutout is labelled, as a fraction of it
	gain     float64
	moving   func(s float64) bool // nil: all the time
}

func (a *actor) there(s float64) bool { return s >= a.from && s < a.to }

// box is where an actor is, px.
func (a *actor) box(s float64) vision.Box {
	c := a.look(s)
	x, y := a.at(s)
	w, h := float64(c.W), float64(c.H)
	return vision.Box{X: math.Round(x) - w/2 + a.part.X*w, Y: math.Round(y) - h + a.part.Y*h, W: a.part.W * w, H: a.part.H * h}
}

// film makes the video.
func (s scene) film() ([]byte, error) {
	v := mediatest.Video{Width: s.width, Height: s.height, Rate: s.rate, GOP: s.gop, Options: s.options}
	r := rand.New(rand.NewPCG(s.seed, 99))
	grain := newGrain(r, s.noise)
	body, err := v.Encode(int(s.seconds*float64(s.rate)), func(rgb []byte, i int) {
		s.paint(vision.Image{Pix: rgb, W: s.width, H: s.height, Stride: 3 * s.width}, float64(i)/float64(s.rate))
		grain.add(r, rgb)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return body, nil
}

func (s scene) paint(m vision.Image, at float64) {
	copy(m.Pix, s.ground.Pix)
	for _, a := range s.shown(at) {
		x, y := a.at(at)
		a.look(at).paste(m, int(math.Round(x)), int(math.Round(y)), a.gain)
	}
	if s.light == nil {
		return
	}
	var table [256]byte
	gain := s.light(at)
	for i := range table {
		table[i] = byte(min(float64(i)*gain, 255))
	}
	for i, b := range m.Pix {
		m.Pix[i] = table[b]
	}
}

// shown lists who is there, the farthest first.
func (s scene) shown(at float64) []*actor {
	var there []*actor
	for _, a := range s.actors {
		if a.there(at) {
			there = append(there, a)
		}
	}
	slices.SortStableFunc(there, func(a, b *actor) int {
		_, ya := a.at(at)
		_, yb := b.at(at)
		return cmp.Compare(ya, yb)
	})
	return there
}

// labels says where everybody is at every time that is sampled. Who is hidden or outside by more than a fifth is marked.
func (s scene) labels() []label {
	const rate = 5
	var labels []label
	for i := range int(s.seconds * rate) {
		at := float64(i) / rate
		there := s.shown(at)
		for n, a := range there {
			if a.who == 0 {
				continue
			}
			box := a.box(at)
			inside := box.Clip(float64(s.width), float64(s.height))
			if inside.Area() == 0 {
				continue
			}
			hidden := 1 - inside.Area()/box.Area()
			for _, nearer := range there[n+1:] {
				hidden += box.Intersect(nearer.box(at)).Area() / box.Area()
			}
			labels = append(labels, label{
				us: int64(i) * 1e6 / rate, who: a.who, hidden: hidden, tall: box.H / float64(s.height), wide: box.W,
				box: inside.Scale(1/float64(s.width), 1/float64(s.height)),
			})
		}
	}
	return labels
}

// grain is a camera's noise, made once and laid on each frame from another place on.
type grain []int8

func newGrain(r *rand.Rand, deviation float64) grain {
	if deviation == 0 {
		return nil
	}
	g := make(grain, 1<<20)
	for i := range g {
		g[i] = int8(min(max(math.Round(deviation*r.NormFloat64()), -127), 127))
	}
	return g
}

func (g grain) add(r *rand.Rand, pix []byte) {
	for len(g) > 0 && len(pix) > 0 {
		from := r.IntN(len(g) / 2)
		n := min(len(g)-from, len(pix))
		for i, d := range g[from : from+n] {
			pix[i] = byte(min(max(int(pix[i])+int(d), 0), 255))
		}
		pix = pix[n:]
	}
}

// place is a part of the sample's place, of another size, by another light and sometimes mirrored.
func (f footage) place(r *rand.Rand, width, height int) vision.Image {
	m := f.ground
	zoom := 1 + .6*r.Float64()
	w := int(float64(m.W) / zoom)
	h := min(w*height/width, m.H)
	x, y := r.IntN(m.W-w+1), r.IntN(m.H-h+1)
	m = vision.Resize(m.Crop(image.Rect(x, y, x+w, y+h)), width, height)
	if r.IntN(2) == 0 {
		m = m.Mirror()
	}
	m = clone(m)
	gain := .6 + .6*r.Float64()
	for i, b := range m.Pix {
		m.Pix[i] = byte(min(float64(b)*gain, 255))
	}
	return m
}

// cast is who and what can go through scenes of one size.
type cast struct {
	footage
	r             *rand.Rand
	width, height int
	next          int // number of the next person
}

// walks lets somebody of that height (as a fraction of the picture's) walk through the picture from a time on. They may stop on
// the way for a while.
func (c *cast) walks(tall, from, stop float64) *actor {
	w := c.walkers[c.r.IntN(len(c.walkers))]
	left := c.r.IntN(2) == 0
	mirror := left != w.left
	px := tall * float64(c.height)
	steps := make([]cutout, len(w.steps))
	for i, s := range w.steps {
		steps[i] = s.scaled(max(8, int(math.Round(px*float64(s.H)/w.tall))), mirror)
	}
	speed := px * (.45 + .35*c.r.Float64())
	// The nearer, the lower in the picture.
	y := float64(c.height) * min(.98, .35+.6*tall/.5+.2*c.r.Float64())
	y = max(y, px+2)
	margin := px / 4
	way := float64(c.width) + 2*margin
	halt := (.3 + .4*c.r.Float64()) * way / speed // seconds until they stop
	walked := func(s float64) float64 {           // seconds of walking
		s -= from
		return min(s, halt) + max(0, s-halt-stop)
	}
	c.next++
	return &actor{
		who: c.next, from: from, to: from + way/speed + stop, gain: .8 + .3*c.r.Float64(),
		at: func(s float64) (float64, float64) {
			x := -margin + speed*walked(s)
			if left {
				x = float64(c.width) - x
			}
			return x, y
		},
		look: func(s float64) cutout {
			n := len(steps)
			i := int(walked(s)*10) % (2 * n) // there and back, so that there is no jump
			if i >= n {
				i = 2*n - 1 - i
			}
			return steps[i]
		},
		// Two pixels of the sample round the cutout are ground.
		part:   vision.Box{X: .05, Y: .02, W: .9, H: .96},
		moving: func(s float64) bool { return s-from < halt || s-from > halt+stop },
	}
}

// drives lets one of the sample's cars through the picture, again and again.
func (c *cast) drives(tall, from, to float64) *actor {
	vans := []image.Rectangle{image.Rect(648, 40, 726, 103), image.Rect(730, 48, 768, 97)}
	at := vans[c.r.IntN(len(vans))]
	car := rounded(clone(c.ground.Crop(at))).scaled(int(tall*float64(c.height)), c.r.IntN(2) == 0)
	speed := tall * float64(c.height) * (.8 + 2*c.r.Float64())
	way := float64(c.width + 2*car.W)
	y := float64(c.height) * min(.98, .4+.6*tall/.5)
	left := c.r.IntN(2) == 0
	return &actor{
		from: from, to: to, gain: .7 + .5*c.r.Float64(), part: vision.Box{W: 1, H: 1},
		look: func(float64) cutout { return car },
		at: func(s float64) (float64, float64) {
			x := math.Mod(speed*(s-from), way) - float64(car.W)
			if left {
				x = float64(c.width) - x
			}
			return x, y
		},
	}
}

// rounded is a picture as a cutout with round corners.
func rounded(m vision.Image) cutout {
	c := cutout{Image: m, alpha: make([]byte, m.W*m.H)}
	for y := range m.H {
		for x := range m.W {
			u, v := (float64(x)+.5)/float64(m.W)*2-1, (float64(y)+.5)/float64(m.H)*2-1
			edge := math.Pow(math.Abs(u), 6) + math.Pow(math.Abs(v), 6) // 1 on the edge
			c.alpha[y*m.W+x] = byte(255 * min(max((1.05-edge)*5, 0), 1))
		}
	}
	return c
}

// shows lets a head and its shoulders drift through the picture, its face so many pixels wide.
func (c *cast) shows(p portrait, wide float64, x, y, from, to float64) *actor {
	scale := wide / p.face.W
	look := rounded(p.picture).scaled(int(math.Round(scale*float64(p.picture.H))), false)
	phase := 2 * math.Pi * c.r.Float64()
	c.next++
	return &actor{
		who: c.next, from: from, to: to, gain: .8 + .3*c.r.Float64(),
		look: func(float64) cutout { return look },
		at: func(s float64) (float64, float64) {
			return x + wide*math.Sin(s/2+phase), y + .3*wide*math.Cos(s/3+phase)
		},
		part: p.face.Scale(1/float64(p.picture.W), 1/float64(p.picture.H)),
	}
}
