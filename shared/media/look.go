package media

import (
	"math"

	"github.com/asticode/go-astiav"
)

// turn is how a coded picture is turned to be displayed. Displayed pixel (x, y) of the quarter turns is found
// by first mirroring the coded picture left to right, if so, and then turning it clockwise.
type turn struct {
	mirrored bool
	quarters int // clockwise, 0 to 3
}

func (t turn) degrees() int   { return 90 * t.quarters }
func (t turn) swaps() bool    { return t.quarters%2 == 1 }
func (t turn) straight() bool { return t == turn{} }

// turnOf reads a display matrix, as rounded to the nearest quarter turn.
func turnOf(m *astiav.DisplayMatrix) turn {
	// A coded point (x, y) is displayed at (a·x + c·y, b·x + d·y), y downwards.
	a, b := int32(m[0]), int32(m[1])
	c, d := int32(m[3]), int32(m[4])
	var t turn
	if float64(a)*float64(d)-float64(b)*float64(c) < 0 {
		t.mirrored = true
		a, b = -a, -b // where the mirrored x axis goes
	}
	if a == 0 && b == 0 {
		return turn{}
	}
	angle := math.Atan2(float64(b), float64(a)) / (math.Pi / 2)
	t.quarters = (int(math.Round(angle)) + 4) % 4
	return t
}

// look is how a coded picture becomes the one displayed.
type look struct {
	turn   turn
	aspect float64 // width of a coded pixel, in heights
}

func (in *input) look() look {
	l := look{aspect: 1}
	if m, ok := in.videoCodec.SideData().DisplayMatrix().Get(); ok {
		l.turn = turnOf(m)
	}
	aspect := positive(in.format.GuessSampleAspectRatio(in.video, nil))
	if aspect >= 1.0/4 && aspect <= 4 { // beyond that somebody wrote nonsense
		l.aspect = aspect
	}
	return l
}

// squared is the coded picture with square pixels, before it is turned.
func (l look) squared(width, height int) (int, int) {
	if width == 0 {
		return width, height
	}
	return max(1, int(math.Round(float64(width)*l.aspect))), height
}

// displayed is the size that a viewer sees.
func (l look) displayed(width, height int) (int, int) {
	width, height = l.squared(width, height)
	if l.turn.swaps() {
		return height, width
	}
	return width, height
}

// fit is the size in which a picture is wanted: within the limits (0: none), with its aspect, never larger than it is.
// Even sizes are what chroma at half resolution needs; the others do not mind.
func fit(width, height, maxWidth, maxHeight int) (int, int) {
	scale := 1.0
	if maxWidth > 0 {
		scale = min(scale, float64(maxWidth)/float64(width))
	}
	if maxHeight > 0 {
		scale = min(scale, float64(maxHeight)/float64(height))
	}
	even := func(n, limit int) int {
		n = int(math.Round(float64(n)*scale/2)) * 2
		if limit > 0 && n > limit {
			n = limit &^ 1
		}
		return max(2, n)
	}
	return even(width, maxWidth), even(height, maxHeight)
}
