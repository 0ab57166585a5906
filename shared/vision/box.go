// Package vision is geometry and pictures in pure Go: boxes, resizing, and the layout that networks read.
//
// Boxes enter and leave in whatever unit the caller keeps; results of Vedette are kept as fractions of the displayed picture,
// so that they mean the same at every size. Nothing here is random or depends on the order of a map: the same input gives the
// same output, bit for bit on one kind of machine.
package vision

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// A Point is a place in a picture. As JSON it is [x,y], rounded to a millionth.
type Point struct{ X, Y float64 }

// A Box is an upright rectangle: its top left corner and its size. As JSON it is [x,y,w,h], rounded to a millionth (of a
// picture 4K wide that is a 250th of a pixel).
type Box struct{ X, Y, W, H float64 }

// A Detection is a box and how sure the network is of it, 0 to 1.
type Detection struct {
	Box   Box     `json:"box"`
	Score float64 `json:"score"`
}

// Center is the middle of the box.
func (b Box) Center() Point { return Point{b.X + b.W/2, b.Y + b.H/2} }

// Area is zero for a box without a positive size.
func (b Box) Area() float64 { return max(b.W, 0) * max(b.H, 0) }

// Contains says whether p lies in the box; its right and lower edges do not.
func (b Box) Contains(p Point) bool {
	return p.X >= b.X && p.X < b.X+b.W && p.Y >= b.Y && p.Y < b.Y+b.H
}

// Intersect is what two boxes share; empty boxes have no area.
func (b Box) Intersect(o Box) Box {
	x, y := max(b.X, o.X), max(b.Y, o.Y)
	return Box{x, y, max(min(b.X+b.W, o.X+o.W)-x, 0), max(min(b.Y+b.H, o.Y+o.H)-y, 0)}
}

// Clip is the part of the box that lies in a picture of that size.
func (b Box) Clip(w, h float64) Box { return b.Intersect(Box{W: w, H: h}) }

// Scale multiplies lengths: from fractions to pixels by the picture's size, and back by its inverse.
func (b Box) Scale(x, y float64) Box { return Box{b.X * x, b.Y * y, b.W * x, b.H * y} }

// Grow makes the box wider by x times its width and higher by y times its height, round its middle.
func (b Box) Grow(x, y float64) Box {
	return Box{b.X - b.W*x/2, b.Y - b.H*y/2, b.W * (1 + x), b.H * (1 + y)}
}

// Scale multiplies lengths, as Box.Scale does.
func (p Point) Scale(x, y float64) Point { return Point{p.X * x, p.Y * y} }

// Distance between two points.
func (p Point) Distance(q Point) float64 { return math.Hypot(p.X-q.X, p.Y-q.Y) }

// IoU is how much of two boxes is shared, 0 to 1.
func IoU(a, b Box) float64 {
	in := a.Intersect(b).Area()
	if in == 0 {
		return 0
	}
	return in / (a.Area() + b.Area() - in)
}

// Suppress is non-maximum suppression: the indices of the boxes that stay, best first, when of two that share more than
// overlap (IoU) only the better stays. Of equal scores the earlier is the better.
func Suppress(ds []Detection, overlap float64) []int {
	order := make([]int, len(ds))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case ds[a].Score > ds[b].Score:
			return -1
		case ds[a].Score < ds[b].Score:
			return 1
		}
		return 0
	})
	keep := order[:0]
	for _, i := range order {
		if !slices.ContainsFunc(keep, func(k int) bool { return IoU(ds[k].Box, ds[i].Box) > overlap }) {
			keep = append(keep, i)
		}
	}
	return keep
}

// MarshalJSON writes [x,y,w,h].
func (b Box) MarshalJSON() ([]byte, error) { return marshalRounded(b.X, b.Y, b.W, b.H) }

// UnmarshalJSON reads [x,y,w,h].
func (b *Box) UnmarshalJSON(data []byte) error {
	return unmarshalNumbers(data, "box [x,y,w,h]", &b.X, &b.Y, &b.W, &b.H)
}

// MarshalJSON writes [x,y].
func (p Point) MarshalJSON() ([]byte, error) { return marshalRounded(p.X, p.Y) }

// UnmarshalJSON reads [x,y].
func (p *Point) UnmarshalJSON(data []byte) error {
	return unmarshalNumbers(data, "point [x,y]", &p.X, &p.Y)
}

func marshalRounded(values ...float64) ([]byte, error) {
	for i, v := range values {
		values[i] = math.Round(v*1e6) / 1e6
	}
	return json.Marshal(values)
}

func unmarshalNumbers(data []byte, what string, into ...*float64) error {
	var values []float64
	if err := json.Unmarshal(data, &values); err != nil {
		return fmt.Errorf("vision: %s: %w", what, err)
	}
	if len(values) != len(into) {
		return fmt.Errorf("vision: %s: %d numbers given", what, len(values))
	}
	for i, v := range values {
		*into[i] = v
	}
	return nil
}
