package detector

import (
	"math"

	"vedette.dev/shared/vision"
	"vedette.dev/shared/vision/face"
)

// A yuNetGrid is what YuNet says of one picture at one stride.
type yuNetGrid struct{ cls, obj, bbox, kps []float32 }

// decode appends the faces of one grid that reach the threshold, in input pixels. The score is the geometric mean of cls and obj; the
// box is relative to the cell's corner in cells, its size a power of e; landmarks are relative to the corner in cells.
func (g yuNetGrid) decode(faces []face.Face, w, h, stride int, threshold float64) []face.Face {
	gw, gh := cells(w, stride), cells(h, stride)
	n := gw * gh
	if len(g.cls) < n || len(g.obj) < n || len(g.bbox) < 4*n || len(g.kps) < 10*n {
		return faces
	}
	least, s := float32(threshold*threshold), float64(stride)
	obj := g.obj[:n]
	for i, cls := range g.cls[:n] {
		p := cls * obj[i]
		if !(p >= least) || cls <= 0 {
			continue
		}
		x, y := float64(i%gw), float64(i/gw)
		b := g.bbox[4*i : 4*i+4]
		bw, bh := math.Exp(float64(b[2]))*s, math.Exp(float64(b[3]))*s
		f := face.Face{Detection: vision.Detection{
			Box:   vision.Box{X: (x+float64(b[0]))*s - bw/2, Y: (y+float64(b[1]))*s - bh/2, W: bw, H: bh},
			Score: min(math.Sqrt(float64(p)), 1),
		}}
		good := sound(f.Box)
		for k := range f.Landmarks {
			l := vision.Point{X: (x + float64(g.kps[10*i+2*k])) * s, Y: (y + float64(g.kps[10*i+2*k+1])) * s}
			f.Landmarks[k] = l
			good = good && math.Abs(l.X) < farthest && math.Abs(l.Y) < farthest // false for what is not a number
		}
		if good {
			faces = append(faces, f)
		}
	}
	return faces
}
