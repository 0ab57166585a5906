// Package face is what can be said of a face from its box and five landmarks, without a network: whether the landmarks are those
// of a face at all, the crop aligned to the template that face networks are trained on, how good that crop is, and whose head it is.
//
// Boxes and landmarks are fractions of the picture, except where a function says pixels.
package face

import (
	"math"

	"vedette.dev/shared/vision"
)

// The landmarks, by their index. Right and left are the person's own: the right eye is the one further left in the picture.
const (
	RightEye = iota
	LeftEye
	Nose
	RightMouth
	LeftMouth
)

// Landmarks are the five points of a face.
type Landmarks [5]vision.Point

// A Face is a detected face.
type Face struct {
	vision.Detection
	Landmarks Landmarks `json:"landmarks"`
}

// Pixels turns fractions into pixels of a picture of that size.
func (f Face) Pixels(w, h int) Face {
	x, y := float64(w), float64(h)
	f.Box = f.Box.Scale(x, y)
	for i, p := range f.Landmarks {
		f.Landmarks[i] = p.Scale(x, y)
	}
	return f
}

// EyeDistance is between the middles of the eyes. Give it pixels: in fractions it depends on the picture's proportions.
func (l Landmarks) EyeDistance() float64 { return l[RightEye].Distance(l[LeftEye]) }

// upright are the landmarks in a frame of their own: the origin between the eyes, x along the line of the eyes, y down the face, one
// the distance of the eyes. Give it pixels.
func (l Landmarks) upright() (Landmarks, bool) {
	d := l.EyeDistance()
	if d < 1e-6 {
		return l, false
	}
	middle := vision.Point{X: (l[RightEye].X + l[LeftEye].X) / 2, Y: (l[RightEye].Y + l[LeftEye].Y) / 2}
	cos, sin := (l[LeftEye].X-l[RightEye].X)/d, (l[LeftEye].Y-l[RightEye].Y)/d
	for i, p := range l {
		x, y := (p.X-middle.X)/d, (p.Y-middle.Y)/d
		l[i] = vision.Point{X: x*cos + y*sin, Y: y*cos - x*sin}
	}
	return l, true
}

// Plausible says whether the landmarks, in pixels, could be those of a face whose eyes are both seen: eyes left and right of each other
// and not upside down, nose and mouth below them in that order, the nose between eyes and not far outside of them, all of them
// in or near the box. A network's landmarks on the back of a head often fail this.
func Plausible(f Face) bool {
	near := f.Box.Grow(.3, .3)
	for _, p := range f.Landmarks {
		if !near.Contains(p) {
			return false
		}
	}
	l := f.Landmarks
	if roll := math.Atan2(l[LeftEye].Y-l[RightEye].Y, l[LeftEye].X-l[RightEye].X); math.Abs(roll) > math.Pi/3 {
		return false
	}
	u, ok := l.upright()
	if !ok {
		return false
	}
	mouth := (u[RightMouth].Y + u[LeftMouth].Y) / 2
	return u[Nose].Y > .1 && mouth > u[Nose].Y+.1 && mouth < 2.5 &&
		math.Abs(u[Nose].X) < .8 && u[LeftMouth].X > u[RightMouth].X &&
		l.EyeDistance() > .15*f.Box.W
}

// Frontality is 1 for a face that looks into the camera and 0 for a profile: how far the nose is from the line between the middle of
// the eyes and the middle of the mouth, in distances of the eyes. Give it pixels.
func Frontality(l Landmarks) float64 {
	u, ok := l.upright()
	if !ok {
		return 0
	}
	mouthX, mouthY := (u[RightMouth].X+u[LeftMouth].X)/2, (u[RightMouth].Y+u[LeftMouth].Y)/2
	if mouthY <= 0 {
		return 0
	}
	axis := mouthX * u[Nose].Y / mouthY
	return max(1-2*math.Abs(u[Nose].X-axis), 0)
}
