package vision

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"testing"
)

// noise is a picture of random pixels, the same for the same seed.
func noise(seed uint64, w, h int) Image {
	r := rand.New(rand.NewPCG(seed, 0))
	m := NewImage(w, h)
	for i := range m.Pix {
		m.Pix[i] = byte(r.Uint32())
	}
	return m
}

// plain is a picture of one colour.
func plain(w, h int, r, g, b byte) Image {
	m := NewImage(w, h)
	for i := 0; i < len(m.Pix); i += 3 {
		m.Pix[i], m.Pix[i+1], m.Pix[i+2] = r, g, b
	}
	return m
}

func (m Image) at(x, y int) [3]byte { return [3]byte(m.Row(y)[3*x : 3*x+3]) }

func TestCheck(t *testing.T) {
	good := NewImage(4, 3)
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	if err := good.Crop(image.Rect(1, 1, 3, 3)).Check(); err != nil {
		t.Errorf("a crop: %v", err)
	}
	for name, m := range map[string]Image{
		"nothing":      {},
		"negative":     {Pix: good.Pix, W: -4, H: 3, Stride: 12},
		"too short":    {Pix: good.Pix[1:], W: 4, H: 3, Stride: 12},
		"rows overlap": {Pix: good.Pix, W: 4, H: 3, Stride: 11},
	} {
		if m.Check() == nil {
			t.Errorf("%s passes for a picture", name)
		}
	}
}

func TestFromImage(t *testing.T) {
	src := image.NewNRGBA(image.Rect(10, 20, 15, 220)) // an origin of its own, and higher than the band that is copied at once
	for y := 20; y < 220; y++ {
		for x := 10; x < 15; x++ {
			src.SetNRGBA(x, y, color.NRGBA{R: uint8(x), G: uint8(y), B: 200, A: 255})
		}
	}
	src.SetNRGBA(12, 30, color.NRGBA{R: 255, A: 0})
	m := FromImage(src)
	if m.W != 5 || m.H != 200 {
		t.Fatalf("%dx%d", m.W, m.H)
	}
	if m.at(4, 199) != [3]byte{14, 219, 200} || m.at(2, 10) != [3]byte{} {
		t.Errorf("last pixel %v, transparent pixel %v", m.at(4, 199), m.at(2, 10))
	}
	back := m.RGBA()
	if got := back.RGBAAt(4, 199); got != (color.RGBA{14, 219, 200, 255}) {
		t.Errorf("there and back: %v", got)
	}
}

func TestCropSharesAndIsCut(t *testing.T) {
	m := noise(1, 20, 10)
	c := m.Crop(image.Rect(15, -5, 40, 3))
	if c.W != 5 || c.H != 3 || c.at(0, 0) != m.at(15, 0) || c.at(4, 2) != m.at(19, 2) {
		t.Errorf("crop %dx%d shows the wrong part", c.W, c.H)
	}
	if c := m.Crop(image.Rect(30, 0, 40, 10)); c.W != 0 || c.H != 0 {
		t.Errorf("outside: %dx%d", c.W, c.H)
	}
}

func TestMirror(t *testing.T) {
	m := noise(2, 7, 3)
	mirrored := m.Mirror()
	for x := range m.W {
		if mirrored.at(x, 1) != m.at(m.W-1-x, 1) {
			t.Fatalf("column %d", x)
		}
	}
	if twice := mirrored.Mirror(); string(twice.Pix) != string(m.Pix) {
		t.Error("mirrored twice it is another picture")
	}
}

func TestResize(t *testing.T) {
	t.Run("one colour stays", func(t *testing.T) {
		for _, size := range [][2]int{{1, 1}, {3, 5}, {10, 7}, {64, 200}} {
			m := Resize(plain(10, 7, 10, 200, 255), size[0], size[1])
			for y := range m.H {
				for x := range m.W {
					if m.at(x, y) != [3]byte{10, 200, 255} {
						t.Fatalf("%v: %v at %d,%d", size, m.at(x, y), x, y)
					}
				}
			}
		}
	})
	t.Run("halving takes the triangle's mean", func(t *testing.T) {
		m := NewImage(8, 1)
		m.Pix[3*3] = 80 // red of the fourth pixel
		got := Resize(m, 4, 1)
		// Of two output pixels the centres are at 2.5 and 4.5: the fourth pixel counts 3/8 for the nearer and 1/8 for the other.
		if got.at(1, 0)[0] != 30 || got.at(2, 0)[0] != 10 {
			t.Errorf("%v %v", got.at(1, 0), got.at(2, 0))
		}
	})
	t.Run("doubling is bilinear", func(t *testing.T) {
		m := NewImage(2, 1)
		m.Pix[3] = 200
		got := Resize(m, 4, 1)
		for x, want := range []byte{0, 50, 150, 200} {
			if got.at(x, 0)[0] != want {
				t.Errorf("pixel %d: %d, want %d", x, got.at(x, 0)[0], want)
			}
		}
	})
	t.Run("the mean brightness stays", func(t *testing.T) {
		src := noise(3, 301, 203)
		got := Resize(src, 64, 40)
		mean := func(m Image) (s float64) {
			for _, p := range m.Pix {
				s += float64(p)
			}
			return s / float64(len(m.Pix))
		}
		if a, b := mean(src), mean(got); math.Abs(a-b) > 1 {
			t.Errorf("%.2f became %.2f", a, b)
		}
	})
	t.Run("a part of a picture looks at itself alone", func(t *testing.T) {
		m := plain(30, 30, 255, 255, 255)
		part := m.Crop(image.Rect(10, 10, 20, 20))
		for y := range part.H {
			clear(part.Row(y))
		}
		got := Resize(part, 5, 25)
		for _, p := range got.Pix {
			if p != 0 {
				t.Fatal("white came in from outside of the part")
			}
		}
	})
}

func BenchmarkResize1080pTo416(b *testing.B) {
	m := noise(4, 1920, 1080)
	for b.Loop() {
		Resize(m, 512, 288)
	}
}
