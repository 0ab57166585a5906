package overlay

import (
	"image"
	"image/color"
	"math"

	"vedette.dev/shared/vision"
)

// canvas draws on a 4:2:0 picture of limited range. It works in steps of two pixels, so that luma and chroma agree.
type canvas struct{ *image.YCbCr }

const (
	black = 16
	white = 235
)

// colourOf is the colour of a track: neighbouring numbers are as far apart on the colour wheel as the golden ratio puts
// them, which stays far for any run of numbers.
func colourOf(number int) color.YCbCr {
	const golden = 0.618033988749895
	_, hue := math.Modf(float64(number) * golden)
	wave := func(shift float64) float64 { // one of red, green and blue around the wheel, never quite dark
		x := math.Abs(math.Mod(hue*6+shift, 6) - 3)
		return 255 * min(1, .15+.85*max(0, min(1, x-1)))
	}
	y, cb, cr := color.RGBToYCbCr(byte(wave(0)), byte(wave(4)), byte(wave(2)))
	return color.YCbCr{Y: limited(y, 219, 16), Cb: limited(cb, 224, 16), Cr: limited(cr, 224, 16)}
}

func limited(v byte, span, foot int) byte { return byte(foot + (int(v)*span+127)/255) }

// rect is box in even pixels, and never empty.
func (c canvas) rect(box vision.Box) image.Rectangle {
	even := func(fraction float64, size int) int {
		fraction = max(-1, min(2, fraction)) // far outside is as good as just outside
		return int(math.Round(fraction*float64(size)/2)) * 2
	}
	w, h := c.Rect.Dx(), c.Rect.Dy()
	r := image.Rect(even(box.X, w), even(box.Y, h), even(box.X+box.W, w), even(box.Y+box.H, h))
	r.Max.X, r.Max.Y = max(r.Max.X, r.Min.X+2), max(r.Max.Y, r.Min.Y+2)
	return r.Add(c.Rect.Min)
}

// fill sets r, as far as it lies in the picture, to a colour.
func (c canvas) fill(r image.Rectangle, colour color.YCbCr) {
	c.blend(r, colour, 256)
}

// blend mixes parts/256 of a colour into r.
func (c canvas) blend(r image.Rectangle, colour color.YCbCr, parts int) {
	r = r.Intersect(c.Rect)
	mix := func(p []byte, v byte) {
		for i := range p {
			p[i] = byte((int(p[i])*(256-parts) + int(v)*parts) >> 8)
		}
	}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		from := c.YOffset(r.Min.X, y)
		mix(c.Y[from:from+r.Dx()], colour.Y)
		if y%2 == 0 && !r.Empty() {
			from, to := c.COffset(r.Min.X, y), c.COffset(r.Max.X-1, y)+1
			mix(c.Cb[from:to], colour.Cb)
			mix(c.Cr[from:to], colour.Cr)
		}
	}
}

// frame draws the four sides of r, from its edge inwards.
func (c canvas) frame(r image.Rectangle, thick int, colour color.YCbCr) {
	c.fill(image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+thick), colour)
	c.fill(image.Rect(r.Min.X, r.Max.Y-thick, r.Max.X, r.Max.Y), colour)
	c.fill(image.Rect(r.Min.X, r.Min.Y, r.Min.X+thick, r.Max.Y), colour)
	c.fill(image.Rect(r.Max.X-thick, r.Min.Y, r.Max.X, r.Max.Y), colour)
}

// corners draws the corners of r, a fifth of its shorter side long.
func (c canvas) corners(r image.Rectangle, thick int, colour color.YCbCr) {
	long := min(r.Dx(), r.Dy()) / 10 * 2
	if long < thick {
		return // the frame alone says more of a small object
	}
	for _, x := range [2]int{r.Min.X, r.Max.X - long} {
		c.fill(image.Rect(x, r.Min.Y, x+long, r.Min.Y+thick), colour)
		c.fill(image.Rect(x, r.Max.Y-thick, x+long, r.Max.Y), colour)
	}
	for _, y := range [2]int{r.Min.Y, r.Max.Y - long} {
		c.fill(image.Rect(r.Min.X, y, r.Min.X+thick, y+long), colour)
		c.fill(image.Rect(r.Max.X-thick, y, r.Max.X, y+long), colour)
	}
}

// label writes on a plate of the box's colour that stands on the box, or in it where there is no room above.
func (c canvas) label(box image.Rectangle, s string, dot int, colour color.YCbCr) {
	plate := image.Rectangle{Max: size(s, dot)}.Add(box.Min)
	if plate = plate.Sub(image.Pt(0, plate.Dy())); plate.Min.Y < c.Rect.Min.Y {
		plate = plate.Add(image.Pt(0, max(box.Min.Y, c.Rect.Min.Y)-plate.Min.Y))
	}
	plate = plate.Add(image.Pt(min(0, c.Rect.Max.X-plate.Max.X), 0)) // whole, at the right edge too
	plate = plate.Add(image.Pt(max(0, c.Rect.Min.X-plate.Min.X), 0))
	c.fill(plate, colour)
	ink := byte(black)
	if colour.Y < 140 {
		ink = white
	}
	c.text(plate.Min, s, dot, ink)
}

// clock writes the time into the lower left corner, on a darkened ground.
func (c canvas) clock(s string, dot int) {
	extent := size(s, dot)
	at := image.Pt(c.Rect.Min.X+4*(dot/2*2), (c.Rect.Max.Y-extent.Y-4*dot)/2*2)
	c.blend(image.Rectangle{Min: at, Max: at.Add(extent)}, color.YCbCr{Y: black, Cb: 128, Cr: 128}, 160)
	c.text(at, s, dot, white)
}

// size is what a line of text takes with its margin; even, as everything here.
func size(s string, dot int) image.Point {
	return image.Pt((len(s)*6+3)*dot, 11*dot).Add(image.Pt(1, 1)).Div(2).Mul(2)
}

func (c canvas) text(at image.Point, s string, dot int, ink byte) {
	at = at.Add(image.Pt(2*dot, 2*dot))
	for i := range len(s) {
		for column := range 5 {
			bits := glyph(s[i])[column]
			for row := range 7 {
				if bits>>row&1 == 1 {
					spot := image.Rect(0, 0, dot, dot).Add(at).Add(image.Pt((i*6+column)*dot, row*dot))
					c.fill(spot, color.YCbCr{Y: ink, Cb: 128, Cr: 128})
				}
			}
		}
	}
}

// glyph is a letter of 5 columns and 7 rows: a byte for each column, whose lowest bit is the top row.
func glyph(letter byte) string {
	const font = "" + // from the blank to z
		"\x00\x00\x00\x00\x00\x00\x00\x5f\x00\x00\x00\x07\x00\x07\x00\x14\x7f\x14\x7f\x14" + //  !"#
		"\x24\x2a\x7f\x2a\x12\x23\x13\x08\x64\x62\x36\x49\x55\x22\x50\x00\x05\x03\x00\x00" + // $%&'
		"\x00\x1c\x22\x41\x00\x00\x41\x22\x1c\x00\x14\x08\x3e\x08\x14\x08\x08\x3e\x08\x08" + // ()*+
		"\x00\x50\x30\x00\x00\x08\x08\x08\x08\x08\x00\x60\x60\x00\x00\x20\x10\x08\x04\x02" + // ,-./
		"\x3e\x51\x49\x45\x3e\x00\x42\x7f\x40\x00\x42\x61\x51\x49\x46\x21\x41\x45\x4b\x31" + // 0123
		"\x18\x14\x12\x7f\x10\x27\x45\x45\x45\x39\x3c\x4a\x49\x49\x30\x01\x71\x09\x05\x03" + // 4567
		"\x36\x49\x49\x49\x36\x06\x49\x49\x29\x1e\x00\x36\x36\x00\x00\x00\x56\x36\x00\x00" + // 89:;
		"\x08\x14\x22\x41\x00\x14\x14\x14\x14\x14\x00\x41\x22\x14\x08\x02\x01\x51\x09\x06" + // <=>?
		"\x32\x49\x79\x41\x3e\x7e\x11\x11\x11\x7e\x7f\x49\x49\x49\x36\x3e\x41\x41\x41\x22" + // @ABC
		"\x7f\x41\x41\x22\x1c\x7f\x49\x49\x49\x41\x7f\x09\x09\x09\x01\x3e\x41\x49\x49\x7a" + // DEFG
		"\x7f\x08\x08\x08\x7f\x00\x41\x7f\x41\x00\x20\x40\x41\x3f\x01\x7f\x08\x14\x22\x41" + // HIJK
		"\x7f\x40\x40\x40\x40\x7f\x02\x0c\x02\x7f\x7f\x04\x08\x10\x7f\x3e\x41\x41\x41\x3e" + // LMNO
		"\x7f\x09\x09\x09\x06\x3e\x41\x51\x21\x5e\x7f\x09\x19\x29\x46\x46\x49\x49\x49\x31" + // PQRS
		"\x01\x01\x7f\x01\x01\x3f\x40\x40\x40\x3f\x1f\x20\x40\x20\x1f\x3f\x40\x38\x40\x3f" + // TUVW
		"\x63\x14\x08\x14\x63\x07\x08\x70\x08\x07\x61\x51\x49\x45\x43\x00\x7f\x41\x41\x00" + // XYZ[
		"\x02\x04\x08\x10\x20\x00\x41\x41\x7f\x00\x04\x02\x01\x02\x04\x40\x40\x40\x40\x40" + // \]^_
		"\x00\x01\x02\x04\x00\x20\x54\x54\x54\x78\x7f\x48\x44\x44\x38\x38\x44\x44\x44\x20" + // `abc
		"\x38\x44\x44\x48\x7f\x38\x54\x54\x54\x18\x08\x7e\x09\x01\x02\x0c\x52\x52\x52\x3e" + // defg
		"\x7f\x08\x04\x04\x78\x00\x44\x7d\x40\x00\x20\x40\x44\x3d\x00\x7f\x10\x28\x44\x00" + // hijk
		"\x00\x41\x7f\x40\x00\x7c\x04\x18\x04\x78\x7c\x08\x04\x04\x78\x38\x44\x44\x44\x38" + // lmno
		"\x7c\x14\x14\x14\x08\x08\x14\x14\x18\x7c\x7c\x08\x04\x04\x08\x48\x54\x54\x54\x20" + // pqrs
		"\x04\x3f\x44\x40\x20\x3c\x40\x40\x20\x7c\x1c\x20\x40\x20\x1c\x3c\x40\x30\x40\x3c" + // tuvw
		"\x44\x28\x10\x28\x44\x0c\x50\x50\x50\x3c\x44\x64\x54\x4c\x44" //                         xyz
	if letter < ' ' || letter > 'z' {
		letter = '?'
	}
	from := int(letter-' ') * 5
	return font[from : from+5]
}
