package face

import (
	"math"

	"vedette.dev/shared/vision"
)

// Side of the aligned crop in pixels.
const Side = 112

// template is where ArcFace and everything trained like it has the landmarks in the aligned crop.
var template = Landmarks{
	{X: 38.2946, Y: 51.6963}, {X: 73.5318, Y: 51.5014}, {X: 56.0252, Y: 71.7366}, {X: 41.5493, Y: 92.3655}, {X: 70.7299, Y: 92.2041},
}

// Align is the crop of a face, 112 by 112 pixels, turned, scaled and shifted so that its landmarks (pixels of the picture) come as near to
// the template's as such a movement brings them. What lies outside of the picture is black. A face whose landmarks all
// fall on one spot gives a black crop.
func Align(m vision.Image, l Landmarks) vision.Image {
	s, ok := toTemplate(l)
	if !ok {
		return vision.NewImage(Side, Side)
	}
	return vision.Warp(m, s.Inverse(), Side, Side)
}

func toTemplate(l Landmarks) (vision.Similarity, bool) {
	return vision.FitSimilarity(l[:], template[:])
}

// Quality is how much a crop promises to a network that has to recognise it, and what that is made of. Each part is 0 to 1.
type Quality struct {
	Score      float64 `json:"score"`      // the detector's, or the verification's where that is higher
	Size       float64 `json:"size"`       // eye distance over 32 px (a face about 64 px wide, from where a pair is always accepted), at most 1
	Sharpness  float64 `json:"sharpness"`  // v/(v+150), v the variance of the aligned crop's Laplacian over its contrast
	Frontality float64 `json:"frontality"` // see the function of that name
}

// Value is the product of the parts: a crop that fails in one of them is a bad crop.
func (q Quality) Value() float64 { return q.Score * q.Size * q.Sharpness * q.Frontality }

// Measure measures a face (pixels) by its aligned crop.
func Measure(f Face, crop vision.Image) Quality {
	const enough, half = 32, 150
	v := vision.Sharpness(crop)
	return Quality{
		Score:      f.Score,
		Size:       math.Min(f.Landmarks.EyeDistance()/enough, 1),
		Sharpness:  v / (v + half),
		Frontality: Frontality(f.Landmarks),
	}
}
