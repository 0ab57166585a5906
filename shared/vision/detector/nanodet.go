package detector

import (
	"math"

	"vedette.dev/shared/vision"
)

// strides of both networks: the sizes, in input pixels, of the cells of their three grids.
var strides = [...]int{8, 16, 32}

// cells is how many cells an input of that size has at a stride.
func cells(side, stride int) int { return side / stride }

// nanoDet reads what NanoDet-g says of one picture: for each cell of each grid how far the box reaches from the middle of the cell (left,
// top, right, bottom, in input pixels) and the score. Boxes are in input pixels; those under the threshold are left out.
func nanoDet(dist, scores []float32, w, h int, threshold float32) []vision.Detection {
	var ds []vision.Detection
	for _, s := range strides {
		gw, gh := cells(w, s), cells(h, s)
		n := gw * gh
		if len(scores) < n || len(dist) < 4*n {
			return ds
		}
		for i, score := range scores[:n] {
			if !(score >= threshold) { // also leaves out what is not a number
				continue
			}
			x, y := (float32(i%gw)+.5)*float32(s), (float32(i/gw)+.5)*float32(s)
			d := dist[4*i : 4*i+4]
			b := vision.Box{X: float64(x - d[0]), Y: float64(y - d[1]), W: float64(d[0] + d[2]), H: float64(d[1] + d[3])}
			if sound(b) {
				ds = append(ds, vision.Detection{Box: b, Score: min(float64(score), 1)})
			}
		}
		scores, dist = scores[n:], dist[4*n:]
	}
	return ds
}

// cellCount is how many cells all grids have together.
func cellCount(w, h int) int {
	n := 0
	for _, s := range strides {
		n += cells(w, s) * cells(h, s)
	}
	return n
}

// farthest is how far from the corner anything can be; what a network says beyond is nonsense.
const farthest = 1e6

// sound says whether a box has a positive and finite size.
func sound(b vision.Box) bool {
	return b.W > 0 && b.H > 0 && b.W < farthest && b.H < farthest && math.Abs(b.X) < farthest && math.Abs(b.Y) < farthest
}
