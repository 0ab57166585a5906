// Package overlay draws what was found on a picture: a box with corners and a number for each track, and the clip's time.
//
// In go the observations of a segment's tracks, at the times of the sampled frames, and a planar 4:2:0 picture of any time
// between; the picture is drawn on in place. A track has the same colour in every picture and every segment, because the
// colour follows from its number alone. No names are ever drawn.
package overlay

import (
	"fmt"
	"image"
	"slices"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/vision"
)

const (
	// hold is how long, in µs, an object stays drawn after it was last seen and before it is first seen: about one
	// sample, so that a box does not blink at the ends of segments, where the next sample belongs to the neighbour.
	hold = 250_000
	// gap is the longest time, in µs, over which the place between two observations is guessed.
	gap = 2_000_000
)

// Track is what is drawn of one track.
type Track struct {
	Number int    // in the clip; gives the colour
	Label  string // what stands above the box; the number when empty
	Points []findings.Observation
}

// Draw draws the tracks that are there at the time us of the clip, and the time itself, on p, which is 4:2:0 (any other
// picture is left as it is).
func Draw(p *image.YCbCr, tracks []Track, us int64) {
	if p.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		return
	}
	c := canvas{p}
	line := max(2, p.Rect.Dy()/540*2) // even, since chroma has half the resolution
	dot := max(2, p.Rect.Dy()/240)    // of the letters
	for _, t := range tracks {
		at, ok := Interpolate(t.Points, us)
		if !ok {
			continue
		}
		colour := colourOf(t.Number)
		if at.Face != nil {
			c.frame(c.rect(*at.Face), 2, colour)
		}
		box := c.rect(at.Box)
		c.frame(box, line, colour)
		c.corners(box, 3*line, colour)
		label := t.Label
		if label == "" {
			label = fmt.Sprint(t.Number)
		}
		c.label(box, label, dot, colour)
	}
	c.clock(Clock(us), dot)
}

// Interpolate says where an object is at the time us, given the times at which it was seen, in order: on the straight line
// between the two observations around us, or where it was last or will first be seen when that is close in time. It says
// false when the object is not there.
func Interpolate(points []findings.Observation, us int64) (findings.Observation, bool) {
	after, exact := slices.BinarySearchFunc(points, us, func(o findings.Observation, us int64) int {
		switch {
		case o.US < us:
			return -1
		case o.US > us:
			return 1
		}
		return 0
	})
	if exact {
		return points[after], true
	}
	switch {
	case after > 0 && after < len(points) && points[after].US-points[after-1].US <= gap:
		a, b := points[after-1], points[after]
		part := float64(us-a.US) / float64(b.US-a.US)
		at := findings.Observation{US: us, Box: between(a.Box, b.Box, part), Score: a.Score + (b.Score-a.Score)*part}
		switch {
		case a.Face != nil && b.Face != nil:
			face := between(*a.Face, *b.Face, part)
			at.Face = &face
		case a.Face != nil && part < .5: // a face that is seen at one end only belongs to that end
			at.Face = moved(a, at.Box)
		case b.Face != nil && part >= .5:
			at.Face = moved(b, at.Box)
		}
		return at, true
	case after > 0 && us-points[after-1].US <= hold:
		return points[after-1], true
	case after < len(points) && points[after].US-us <= hold:
		return points[after], true
	}
	return findings.Observation{}, false
}

// Clock is the time us of a clip as it is written into the picture.
func Clock(us int64) string {
	sign := ""
	if us < 0 {
		sign, us = "-", -us
	}
	tenths := us / 100_000
	return fmt.Sprintf("%s%02d:%02d:%02d.%d", sign, tenths/36000, tenths/600%60, tenths/10%60, tenths%10)
}

func between(a, b vision.Box, part float64) vision.Box {
	at := func(a, b float64) float64 { return a + (b-a)*part }
	return vision.Box{X: at(a.X, b.X), Y: at(a.Y, b.Y), W: at(a.W, b.W), H: at(a.H, b.H)}
}

// moved is the face of o at its place in o's box, when that box has moved to box.
func moved(o findings.Observation, box vision.Box) *vision.Box {
	face := *o.Face
	face.X += box.X - o.Box.X
	face.Y += box.Y - o.Box.Y
	return &face
}
