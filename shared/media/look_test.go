package media

import (
	"testing"

	"github.com/asticode/go-astiav"
)

// A display matrix sends coded (x, y) to (a·x + c·y, b·x + d·y). Every pixel must go there.
func TestTurnsFollowTheMatrix(t *testing.T) {
	const w, h = 37, 70 // more than a block, and odd
	for name, m := range map[string]struct{ a, b, c, d int32 }{
		"upright":                       {1, 0, 0, 1},
		"quarter turn":                  {0, 1, -1, 0},
		"half turn":                     {-1, 0, 0, -1},
		"three quarters":                {0, -1, 1, 0},
		"mirrored":                      {-1, 0, 0, 1},
		"upside down":                   {1, 0, 0, -1},
		"mirrored, quarter turn":        {0, -1, -1, 0},
		"mirrored, three quarter turns": {0, 1, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			const one = 1 << 16
			turn := turnOf(&astiav.DisplayMatrix{uint32(m.a * one), uint32(m.b * one), 0, uint32(m.c * one), uint32(m.d * one)})
			for _, format := range []Format{Gray, RGB24, YUV420} {
				dw, dh := w, h
				if turn.swaps() {
					dw, dh = h, w
				}
				src, dst := newTestFrame(t, format, w, h), newTestFrame(t, format, dw, dh)
				pixel := 1
				if format == RGB24 {
					pixel = 3
				}
				for i := range src.Planes() {
					p, stride := src.Plane(i)
					for at := range p {
						p[at] = byte(at%stride + at/stride*7)
					}
				}
				turn.turnInto(dst, src)
				for i := range src.Planes() {
					from, stride := src.Plane(i)
					to, toStride := dst.Plane(i)
					pw, ph := src.RowBytes(i)/pixel, (len(from)-src.RowBytes(i))/stride+1
					for y := range ph {
						for x := range pw {
							dx, dy := int(m.a)*x+int(m.c)*y, int(m.b)*x+int(m.d)*y
							if m.a < 0 || m.c < 0 {
								dx += dst.RowBytes(i)/pixel - 1
							}
							if m.b < 0 || m.d < 0 {
								dy += (len(to)-dst.RowBytes(i))/toStride + 1 - 1
							}
							if from[y*stride+x*pixel] != to[dy*toStride+dx*pixel] {
								t.Fatalf("%s plane %d: (%d,%d) is not at (%d,%d)", format, i, x, y, dx, dy)
							}
						}
					}
				}
			}
		})
	}
}

func newTestFrame(t testing.TB, format Format, w, h int) *Frame {
	t.Helper()
	f, err := NewFrame(format, w, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func TestSkewedMatricesAreRounded(t *testing.T) {
	for _, tt := range []struct {
		m    astiav.DisplayMatrix
		want turn
	}{
		{astiav.DisplayMatrix{}, turn{}},
		{*astiav.NewDisplayMatrixFromRotation(80), turn{quarters: 1}},
		{*astiav.NewDisplayMatrixFromRotation(-10), turn{}},
		{*astiav.NewDisplayMatrixFromRotation(181), turn{quarters: 2}},
		{*astiav.NewDisplayMatrixFromRotation(-90), turn{quarters: 3}},
	} {
		if got := turnOf(&tt.m); got != tt.want {
			t.Errorf("turn of %v: %v, want %v", tt.m, got, tt.want)
		}
	}
}

func TestFit(t *testing.T) {
	for _, tt := range []struct{ w, h, maxW, maxH, wantW, wantH int }{
		{1920, 1080, 0, 0, 1920, 1080},
		{1920, 1080, 1280, 720, 1280, 720},
		{1920, 1080, 1280, 0, 1280, 720},
		{1920, 1080, 640, 640, 640, 360},
		{1080, 1920, 1280, 720, 406, 720},
		{320, 240, 1280, 720, 320, 240},
		{101, 75, 0, 0, 102, 76},
		{101, 75, 101, 75, 100, 74},
		{16000, 2, 160, 160, 160, 2},
		{768, 432, 320, 180, 320, 180},
	} {
		if w, h := fit(tt.w, tt.h, tt.maxW, tt.maxH); w != tt.wantW || h != tt.wantH {
			t.Errorf("%dx%d into %dx%d is %dx%d, want %dx%d", tt.w, tt.h, tt.maxW, tt.maxH, w, h, tt.wantW, tt.wantH)
		}
	}
}
