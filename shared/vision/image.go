package vision

import (
	"fmt"
	"image"
	"image/draw"
)

// An Image is a picture as FFmpeg's scaler writes rgb24: three bytes a pixel, red, green, blue; rows Stride bytes apart.
type Image struct {
	Pix    []byte
	W, H   int
	Stride int
}

// NewImage is a black picture.
func NewImage(w, h int) Image {
	return Image{Pix: make([]byte, 3*w*h), W: w, H: h, Stride: 3 * w}
}

// Check says what is wrong with a picture that came from elsewhere.
func (m Image) Check() error {
	switch {
	case m.W <= 0 || m.H <= 0:
		return fmt.Errorf("vision: a picture of %dx%d", m.W, m.H)
	case m.Stride < 3*m.W:
		return fmt.Errorf("vision: rows %d bytes apart hold no %d RGB pixels", m.Stride, m.W)
	case len(m.Pix) < (m.H-1)*m.Stride+3*m.W:
		return fmt.Errorf("vision: %d bytes hold no picture of %dx%d (stride %d)", len(m.Pix), m.W, m.H, m.Stride)
	}
	return nil
}

// Row is the pixels of one row.
func (m Image) Row(y int) []byte { return m.Pix[y*m.Stride : y*m.Stride+3*m.W] }

// Crop is the part of the picture in r, which is cut to the picture first. It shares the picture's memory.
func (m Image) Crop(r image.Rectangle) Image {
	r = r.Intersect(image.Rect(0, 0, m.W, m.H))
	if r.Empty() {
		return Image{}
	}
	from := r.Min.Y*m.Stride + 3*r.Min.X
	return Image{Pix: m.Pix[from : (r.Max.Y-1)*m.Stride+3*r.Max.X], W: r.Dx(), H: r.Dy(), Stride: m.Stride}
}

// FromImage copies a decoded picture; what is transparent becomes black.
func FromImage(src image.Image) Image {
	b := src.Bounds()
	m := NewImage(b.Dx(), b.Dy())
	// draw knows the fast ways from each of Go's own picture types to RGBA; a band at a time keeps a large photo small.
	const band = 64
	rgba := image.NewRGBA(image.Rect(0, 0, m.W, min(band, m.H)))
	for y0 := 0; y0 < m.H; y0 += band {
		n := min(band, m.H-y0)
		draw.Draw(rgba, image.Rect(0, 0, m.W, n), src, b.Min.Add(image.Pt(0, y0)), draw.Src)
		for y := range n {
			in, out := rgba.Pix[y*rgba.Stride:], m.Row(y0+y)
			for x, i := 0, 0; x < len(out); x, i = x+3, i+4 {
				out[x], out[x+1], out[x+2] = in[i], in[i+1], in[i+2]
			}
		}
	}
	return m
}

// RGBA copies the picture into one of Go's own, for encoding.
func (m Image) RGBA() *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, m.W, m.H))
	for y := range m.H {
		in, to := m.Row(y), out.Pix[y*out.Stride:]
		for x, i := 0, 0; x < len(in); x, i = x+3, i+4 {
			to[i], to[i+1], to[i+2], to[i+3] = in[x], in[x+1], in[x+2], 0xff
		}
	}
	return out
}

// Mirror is the picture seen in a mirror.
func (m Image) Mirror() Image {
	out := NewImage(m.W, m.H)
	for y := range m.H {
		in, to := m.Row(y), out.Row(y)
		for x := 0; x < len(in); x += 3 {
			copy(to[len(to)-3-x:len(to)-x], in[x:x+3])
		}
	}
	return out
}
