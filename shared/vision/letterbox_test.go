package vision

import (
	"fmt"
	"image"
	"testing"
)

func TestFit(t *testing.T) {
	for _, c := range []struct {
		w, h, area int
		enlarge    float64
		want       Letterbox
	}{
		{1920, 1080, 416 * 416, 2, Letterbox{512, 288, 512, 288}},
		{1280, 720, 416 * 416, 2, Letterbox{512, 288, 512, 288}},
		{768, 576, 416 * 416, 2, Letterbox{480, 352, 469, 352}},
		{1080, 1920, 416 * 416, 2, Letterbox{288, 512, 288, 512}},
		{1000, 1000, 416 * 416, 2, Letterbox{416, 416, 416, 416}},
		{160, 90, 416 * 416, 2, Letterbox{320, 192, 320, 180}}, // enlarged twice and no more
		{1920, 1080, 960 * 544, 1, Letterbox{960, 544, 960, 540}},
		{768, 576, 960 * 544, 1, Letterbox{768, 576, 768, 576}},
		{768, 432, 960 * 544, 1, Letterbox{768, 448, 768, 432}}, // not enlarged
		{64, 64, 960 * 544, 1, Letterbox{64, 64, 64, 64}},
		{112, 112, 960 * 544, 1, Letterbox{128, 128, 112, 112}},
		{10000, 10, 416 * 416, 2, Letterbox{5408, 32, 5408, 5}},
		{10, 10000, 416 * 416, 2, Letterbox{32, 5408, 5, 5408}},
		{1, 1, 416 * 416, 2, Letterbox{32, 32, 2, 2}},
	} {
		if got := Fit(c.w, c.h, c.area, 32, c.enlarge); got != c.want {
			t.Errorf("%dx%d on %d: %+v, want %+v", c.w, c.h, c.area, got, c.want)
		}
	}
}

func TestFitKeepsProportions(t *testing.T) {
	for w := 16; w < 5000; w += 97 {
		for h := 16; h < 5000; h += 89 {
			l := Fit(w, h, 416*416, 32, 2)
			if l.W%32 != 0 || l.H%32 != 0 || l.W*l.H > 416*416 || l.PictureW > l.W || l.PictureH > l.H {
				t.Fatalf("%dx%d: %+v", w, h, l)
			}
			// Each side is rounded to a pixel, so the proportions are off by less than that.
			if a, b := l.PictureW*h, l.PictureH*w; a-b > max(w, h) || b-a > max(w, h) {
				t.Fatalf("%dx%d is stretched to %dx%d", w, h, l.PictureW, l.PictureH)
			}
		}
	}
}

func TestWriteBGR(t *testing.T) {
	m := NewImage(3, 2)
	copy(m.Pix, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 255})
	l := Letterbox{W: 4, H: 3, PictureW: 3, PictureH: 2}
	dst := make([]float32, l.Size())
	l.WriteBGR(dst, m)
	want := []float32{
		3, 6, 9, 114, 13, 16, 255, 114, 114, 114, 114, 114, // blue
		2, 5, 8, 114, 12, 15, 18, 114, 114, 114, 114, 114, // green
		1, 4, 7, 114, 11, 14, 17, 114, 114, 114, 114, 114, // red
	}
	for i := range want {
		if dst[i] != want[i] {
			t.Fatalf("%v, want %v", dst, want)
		}
	}
}

func TestWriteBGRReadsRowsByStride(t *testing.T) {
	m := noise(5, 40, 30)
	part := m.Crop(image.Rect(5, 5, 37, 21))
	l := Letterbox{W: 32, H: 32, PictureW: 32, PictureH: 16}
	dst := make([]float32, l.Size())
	l.WriteBGR(dst, part)
	for y := range 16 {
		for x := range 32 {
			p := m.at(x+5, y+5)
			if got := [3]byte{byte(dst[2*1024+32*y+x]), byte(dst[1024+32*y+x]), byte(dst[32*y+x])}; got != p {
				t.Fatalf("at %d,%d: %v, want %v", x, y, got, p)
			}
		}
	}
}

func TestWriteBGRRefusesAnotherSize(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a slot of the wrong size was written")
		}
	}()
	Letterbox{32, 32, 32, 32}.WriteBGR(make([]float32, 5), NewImage(32, 32))
}

func BenchmarkWriteBGR(b *testing.B) {
	for _, l := range []Letterbox{{960, 544, 960, 540}, {512, 288, 512, 288}} {
		b.Run(fmt.Sprintf("%dx%d", l.W, l.H), func(b *testing.B) {
			m := noise(6, l.PictureW, l.PictureH)
			dst := make([]float32, l.Size())
			for b.Loop() {
				l.WriteBGR(dst, m)
			}
		})
	}
}
