package detector

import (
	"context"
	"fmt"
	"image"
	"math"

	"vedette.dev/shared/vision"
	"vedette.dev/shared/vision/face"
)

// Bounds of the rule by which a face may go on to whatever looks at it more closely.
const (
	// Certain is the score from which a face needs no verification.
	Certain = .8
	// Verified is what the mean of the verification must exceed.
	Verified = .5
	// LeastEyeDistance is between the eyes, in pixels of the picture the crop is cut from.
	LeastEyeDistance = 18
)

// widths at which verification looks at a face, in pixels.
var widths = [...]int{32, 56, 88}

// Verify looks at faces of a picture once more, each on a crop twice its box, at three sizes, plain and mirrored, and returns for each
// the mean of the best scores found in the middle of those six crops. A real face is found again in most of them; what
// merely looked like one in one picture is not. Faces are fractions of the picture; the larger the picture, the better.
func (f Faces) Verify(ctx context.Context, m vision.Image, faces []face.Face) ([]float64, error) {
	if len(faces) == 0 {
		return nil, nil
	}
	if err := m.Check(); err != nil {
		return nil, fmt.Errorf("detector: verify: %w", err)
	}
	least := f
	least.Least = .05 // a weak second look counts as weak, not as none
	sums := make([]float64, len(faces))
	wanted := make([]vision.Box, len(faces)) // where each face is in its crops
	for i, g := range faces {
		b := g.Pixels(m.W, m.H).Box
		side := 2 * max(b.W, b.H)
		wanted[i] = vision.Box{X: .5 - b.W/side/2, Y: .5 - b.H/side/2, W: b.W / side, H: b.H / side}
	}
	for _, width := range widths {
		crops := make([]vision.Image, 0, 2*len(faces))
		for _, g := range faces {
			c := around(m, g.Pixels(m.W, m.H).Box, width)
			crops = append(crops, c, c.Mirror())
		}
		found, err := least.Detect(ctx, crops)
		if err != nil {
			return nil, fmt.Errorf("detector: verify: %w", err)
		}
		for i := range found {
			sums[i/2] += again(found[i], wanted[i/2])
		}
	}
	for i := range sums {
		sums[i] /= float64(2 * len(widths))
	}
	return sums, nil
}

// around is the square twice the box round its middle, resized so that the box is that wide. What lies outside of the picture is black.
func around(m vision.Image, b vision.Box, width int) vision.Image {
	out := vision.NewImage(2*width, 2*width)
	side := int(math.Round(2 * max(b.W, b.H)))
	c := b.Center()
	at := image.Pt(int(math.Round(c.X-float64(side)/2)), int(math.Round(c.Y-float64(side)/2)))
	part := image.Rectangle{at, at.Add(image.Pt(side, side))}.Intersect(image.Rect(0, 0, m.W, m.H))
	// Where the part within the picture lies in the crop.
	to := func(p image.Point) image.Point {
		p = p.Sub(at).Mul(2 * width)
		return image.Pt(p.X/max(side, 1), p.Y/max(side, 1))
	}
	lo, hi := to(part.Min), to(part.Max)
	if part.Empty() || lo.X == hi.X || lo.Y == hi.Y {
		return out
	}
	in := vision.Resize(m.Crop(part), hi.X-lo.X, hi.Y-lo.Y)
	for y := range in.H {
		copy(out.Row(lo.Y + y)[3*lo.X:], in.Row(y))
	}
	return out
}

// again is the best score among what was found where the face was: in the middle of the crop and about as large.
func again(found []face.Face, want vision.Box) float64 {
	best := 0.0
	for _, g := range found {
		if vision.IoU(g.Box, want) > .3 {
			best = max(best, g.Score)
		}
	}
	return best
}

// Sound says whether a face (fractions of a picture w by h pixels, the one that its crop is cut from) may go on to recognition or a mask
// network: certain or verified, its landmarks plausible, its eyes far enough apart. That it lies in the head part of a person is
// the caller's to check, with face.Owners.
func Sound(g face.Face, verified float64, w, h int) bool {
	p := g.Pixels(w, h)
	return (g.Score >= Certain || verified > Verified) && p.Landmarks.EyeDistance() >= LeastEyeDistance && face.Plausible(p)
}
