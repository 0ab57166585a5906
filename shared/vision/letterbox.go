package vision

import (
	"fmt"
	"math"
)

// A Letterbox is how a picture lies in a network's input: never stretched, in the top left corner, the rest grey.
type Letterbox struct {
	W, H               int // the network's input
	PictureW, PictureH int // the part of it that the picture fills
}

// grey is what the detectors were trained with round the picture.
const grey = 114

// Fit is the letterbox that shows a picture of that size at its largest on an input of at most area pixels whose sides are multiples
// of step, but enlarges it no more than enlarge times. The same proportions always give the same input, so that a batch can hold
// a whole clip.
func Fit(w, h, area, step int, enlarge float64) Letterbox {
	best, bestScale := Letterbox{}, 0.0
	for lw := step; lw*step <= area; lw += step {
		// The height that the picture wants at this width, or what the area leaves.
		scale := min(float64(lw)/float64(w), enlarge)
		lh := int(math.Ceil(math.Round(scale*float64(h))/float64(step))) * step
		lh = max(min(lh, area/lw/step*step), step)
		scale = min(scale, float64(lh)/float64(h))
		if scale > bestScale+1e-9 || scale > bestScale-1e-9 && lw*lh < best.W*best.H {
			bestScale = scale
			best = Letterbox{W: lw, H: lh}
		}
	}
	best.PictureW = min(max(int(math.Round(float64(w)*bestScale)), 1), best.W)
	best.PictureH = min(max(int(math.Round(float64(h)*bestScale)), 1), best.H)
	return best
}

// Size is how many numbers the input holds.
func (l Letterbox) Size() int { return 3 * l.W * l.H }

// WriteBGR lays a picture out as the detectors read it: one plane each of blue, green and red, 0 to 255, grey round the picture.
// A picture of another size than the letterbox's is resized first; better let the decoder's scaler do that.
func (l Letterbox) WriteBGR(dst []float32, m Image) {
	if len(dst) != l.Size() {
		panic(fmt.Sprintf("vision: %d numbers for a letterbox of %dx%d", len(dst), l.W, l.H))
	}
	m = Resize(m, l.PictureW, l.PictureH)
	plane := l.W * l.H
	for y := range l.PictureH {
		at := y * l.W
		row := m.Row(y)
		b := dst[at : at+l.W : at+l.W]
		g := dst[plane+at : plane+at+l.W : plane+at+l.W]
		r := dst[2*plane+at : 2*plane+at+l.W : 2*plane+at+l.W]
		split(b[:m.W], g[:m.W], r[:m.W], row)
		fill(b[m.W:])
		fill(g[m.W:])
		fill(r[m.W:])
	}
	below := l.PictureH * l.W
	for c := range 3 {
		fill(dst[c*plane+below : (c+1)*plane])
	}
}

// split takes one row of RGB apart.
func split(b, g, r []float32, row []byte) {
	n := len(b)
	g, r, row = g[:n], r[:n], row[:3*n]
	for x := range n {
		p := row[3*x : 3*x+3 : 3*x+3]
		r[x], g[x], b[x] = float32(p[0]), float32(p[1]), float32(p[2])
	}
}

func fill(dst []float32) {
	for i := range dst {
		dst[i] = grey
	}
}
