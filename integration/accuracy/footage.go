package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"vedette.dev/shared/media"
	"vedette.dev/shared/vision"
)

// footage is what the scenes are made of.
type footage struct {
	ground  vision.Image // the place of the sample without anybody
	walkers []walker
}

// walker is somebody cut out of the sample, step by step.
type walker struct {
	steps []cutout // ten a second
	tall  float64  // px in the sample, over all steps
	speed float64  // heights a second, as they walked
	left  bool     // to where they walk
}

// cutout is a picture with an edge.
type cutout struct {
	vision.Image
	alpha []byte
}

// heldOut is from when on people are cut out: the network's 8-bit ranges were taken from what is before.
const heldOut = 26_500_000

// readFootage cuts everybody out of the sample who walks alone: what differs from the place without anybody, in one piece,
// of a person's shape, for a second and a half at least.
func readFootage(ctx context.Context, path string) (footage, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return footage{}, err
	}
	var f footage
	var samples []vision.Image
	err = eachFrame(ctx, body, .5, func(_ int64, m vision.Image) { samples = append(samples, clone(m)) })
	if err != nil {
		return f, err
	}
	f.ground = medianOf(samples)

	type run struct {
		walker
		boxes []pixelBox
		open  bool
	}
	var runs []*run
	err = eachFrame(ctx, body, 0, func(us int64, m vision.Image) {
		if us < heldOut {
			return
		}
		for _, r := range runs {
			r.open = r.open && r.boxes[len(r.boxes)-1].us >= us-100_000
		}
		for _, p := range pieces(f.ground, m) {
			p.us = us
			if !p.likePerson(m.W, m.H) {
				continue
			}
			i := slices.IndexFunc(runs, func(r *run) bool {
				return r.open && r.boxes[len(r.boxes)-1].us < us && r.boxes[len(r.boxes)-1].overlap(p) > .5
			})
			if i < 0 {
				runs = append(runs, &run{open: true})
				i = len(runs) - 1
			}
			runs[i].boxes = append(runs[i].boxes, p)
			runs[i].steps = append(runs[i].steps, p.cut(m))
		}
	})
	if err != nil {
		return f, err
	}
	for _, r := range runs {
		if w, ok := r.finish(r.boxes); ok {
			f.walkers = append(f.walkers, w)
		}
	}
	if len(f.walkers) < 8 {
		return f, fmt.Errorf("only %d people could be cut out of %s: it is another clip than this program knows", len(f.walkers), path)
	}
	return f, nil
}

// finish takes a run for a walker if it is long enough, keeps its height and gets on.
func (w walker) finish(boxes []pixelBox) (walker, bool) {
	const shortest = 15
	if len(boxes) < shortest {
		return w, false
	}
	var heights []float64
	for _, b := range boxes {
		heights = append(heights, float64(b.h()))
	}
	slices.Sort(heights)
	w.tall = heights[len(heights)/2]
	if heights[0] < .8*w.tall || heights[len(heights)-1] > 1.2*w.tall {
		return w, false
	}
	first, last := boxes[0], boxes[len(boxes)-1]
	dx := float64(last.x0+last.x1-first.x0-first.x1) / 2
	w.left = dx < 0
	w.speed = math.Hypot(dx, float64(last.y1-first.y1)) / w.tall / (float64(last.us-first.us) / 1e6)
	return w, w.speed > .15
}

func eachFrame(ctx context.Context, body []byte, rate float64, do func(us int64, m vision.Image)) error {
	d, err := media.Decode(ctx, bytes.NewReader(body), media.DecodeOptions{Format: media.RGB24, Rate: rate})
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		frame, err := d.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		pix, stride := frame.Plane(0)
		do(frame.PTS, vision.Image{Pix: pix, W: frame.Width(), H: frame.Height(), Stride: stride})
	}
}

func clone(m vision.Image) vision.Image {
	c := vision.NewImage(m.W, m.H)
	for y := range m.H {
		copy(c.Row(y), m.Row(y))
	}
	return c
}

func medianOf(pictures []vision.Image) vision.Image {
	m := vision.NewImage(pictures[0].W, pictures[0].H)
	values := make([]byte, len(pictures))
	for i := range m.Pix {
		for j, p := range pictures {
			values[j] = p.Pix[i]
		}
		slices.Sort(values)
		m.Pix[i] = values[len(values)/2]
	}
	return m
}

// pixelBox is a piece of a picture in which something is that does not belong to the place.
type pixelBox struct {
	us             int64
	x0, y0, x1, y1 int
	count          int
	mask           []bool // of the whole picture
	width          int
}

func (b pixelBox) w() int { return b.x1 - b.x0 }
func (b pixelBox) h() int { return b.y1 - b.y0 }

func (b pixelBox) overlap(o pixelBox) float64 {
	box := func(b pixelBox) vision.Box {
		return vision.Box{X: float64(b.x0), Y: float64(b.y0), W: float64(b.w()), H: float64(b.h())}
	}
	return vision.IoU(box(b), box(o))
}

// likePerson says whether a piece is as a single person is, whole and inside of the picture.
func (b pixelBox) likePerson(width, height int) bool {
	shape := float64(b.h()) / float64(b.w())
	filled := float64(b.count) / float64(b.w()*b.h())
	return b.h() >= 55 && b.h() <= 150 && shape > 1.8 && shape < 3.8 && filled > .4 &&
		b.x0 > 2 && b.y0 > 2 && b.x1 < width-2 && b.y1 < height-2
}

// pieces are the connected parts of a picture that differ from the ground.
func pieces(ground, m vision.Image) []pixelBox {
	const differs = 26
	mask := make([]bool, m.W*m.H)
	for y := range m.H {
		a, b := ground.Row(y), m.Row(y)
		for x := range m.W {
			most := 0
			for c := range 3 {
				most = max(most, abs(int(a[3*x+c])-int(b[3*x+c])))
			}
			mask[y*m.W+x] = most > differs
		}
	}
	mask = grow(mask, m.W, 2) // closes the gaps of those who are dressed as the ground
	seen := make([]bool, len(mask))
	var found []pixelBox
	var stack []int
	for start, in := range mask {
		if !in || seen[start] {
			continue
		}
		p := pixelBox{x0: m.W, y0: m.H, width: m.W}
		var members []int
		seen[start] = true
		stack = append(stack[:0], start)
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			members = append(members, at)
			x, y := at%m.W, at/m.W
			p.x0, p.x1, p.y0, p.y1 = min(p.x0, x), max(p.x1, x+1), min(p.y0, y), max(p.y1, y+1)
			for _, next := range []int{at - 1, at + 1, at - m.W, at + m.W} {
				if next < 0 || next >= len(mask) || next == at-1 && x == 0 || next == at+1 && x == m.W-1 {
					continue
				}
				if mask[next] && !seen[next] {
					seen[next] = true
					stack = append(stack, next)
				}
			}
		}
		p.count = len(members)
		if p.count < 500 {
			continue
		}
		p.mask = make([]bool, len(mask))
		for _, at := range members {
			p.mask[at] = true
		}
		found = append(found, p)
	}
	return found
}

func abs(x int) int { return max(x, -x) }

// grow takes into a mask what is within n pixels of it.
func grow(mask []bool, width, n int) []bool {
	height := len(mask) / width
	across := make([]bool, len(mask))
	for y := range height {
		for x := range width {
			for dx := max(x-n, 0); dx <= min(x+n, width-1); dx++ {
				across[y*width+x] = across[y*width+x] || mask[y*width+dx]
			}
		}
	}
	out := make([]bool, len(mask))
	for y := range height {
		for dy := max(y-n, 0); dy <= min(y+n, height-1); dy++ {
			for x := range width {
				out[y*width+x] = out[y*width+x] || across[dy*width+x]
			}
		}
	}
	return out
}

// cut takes the piece out of the picture, its edge softened.
func (b pixelBox) cut(m vision.Image) cutout {
	c := cutout{Image: vision.NewImage(b.w(), b.h()), alpha: make([]byte, b.w()*b.h())}
	for y := range c.H {
		copy(c.Row(y), m.Row(b.y0 + y)[3*b.x0:3*b.x1])
		for x := range c.W {
			sum, n := 0, 0
			for dy := -1; dy <= 1; dy++ {
				for dx := -1; dx <= 1; dx++ {
					px, py := b.x0+x+dx, b.y0+y+dy
					if px < 0 || py < 0 || px >= b.width || py >= m.H {
						continue
					}
					n++
					if b.mask[py*b.width+px] {
						sum++
					}
				}
			}
			// The mask was grown by two pixels: half of its edge is ground.
			c.alpha[y*c.W+x] = byte(255 * sum / n)
		}
	}
	return c
}

// scaled is the cutout at another size, mirrored if asked for.
func (c cutout) scaled(h int, mirror bool) cutout {
	w := max(1, c.W*h/c.H)
	grey := vision.NewImage(c.W, c.H)
	for i, a := range c.alpha {
		grey.Pix[3*i], grey.Pix[3*i+1], grey.Pix[3*i+2] = a, a, a
	}
	picture, edge := vision.Resize(c.Image, w, h), vision.Resize(grey, w, h)
	if mirror {
		picture, edge = picture.Mirror(), edge.Mirror()
	}
	out := cutout{Image: picture, alpha: make([]byte, w*h)}
	for y := range h {
		row := edge.Row(y)
		for x := range w {
			out.alpha[y*w+x] = row[3*x]
		}
	}
	return out
}

// paste lays a cutout on a picture, its lower edge's middle at x, y, its light changed by gain.
func (c cutout) paste(m vision.Image, x, y int, gain float64) {
	x0, y0 := x-c.W/2, y-c.H
	g := int(gain * 256)
	for cy := range c.H {
		if y0+cy < 0 || y0+cy >= m.H {
			continue
		}
		row, from := m.Row(y0+cy), c.Row(cy)
		for cx := range c.W {
			px := x0 + cx
			if px < 0 || px >= m.W {
				continue
			}
			a := int(c.alpha[cy*c.W+cx])
			if a == 0 {
				continue
			}
			for ch := range 3 {
				v := min(int(from[3*cx+ch])*g>>8, 255)
				row[3*px+ch] = byte((int(row[3*px+ch])*(255-a) + v*a) / 255)
			}
		}
	}
}
