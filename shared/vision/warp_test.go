package vision

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFitSimilarity(t *testing.T) {
	from := []Point{{0, 0}, {1, 0}, {0, 2}, {3, 3}, {-1, 2}}
	want := Similarity{A: 1.5 * math.Cos(.4), B: 1.5 * math.Sin(.4), X: 7, Y: -3}
	var to []Point
	for _, p := range from {
		to = append(to, want.Apply(p))
	}
	got, ok := FitSimilarity(from, to)
	if !ok || !cmp.Equal(got, want, near) {
		t.Fatalf("%+v, want %+v", got, want)
	}
	if math.Abs(got.Scale()-1.5) > 1e-9 {
		t.Errorf("scale %v", got.Scale())
	}
	for _, p := range from {
		if back := got.Inverse().Apply(got.Apply(p)); !cmp.Equal(back, p, near) {
			t.Errorf("there and back %v is %v", p, back)
		}
	}
	if _, ok := FitSimilarity([]Point{{1, 1}, {1, 1}}, to[:2]); ok {
		t.Error("two points on one spot have a similarity")
	}
}

// TestFitSimilarityIsLeastSquares: no small change of the answer brings the points nearer.
func TestFitSimilarityIsLeastSquares(t *testing.T) {
	from := []Point{{0, 0}, {10, 1}, {5, 7}, {2, 9}, {8, 9}}
	to := []Point{{1, 3}, {12, 2}, {5, 11}, {4, 12}, {9, 14}}
	best, _ := FitSimilarity(from, to)
	off := func(s Similarity) (sum float64) {
		for i, p := range from {
			d := s.Apply(p).Distance(to[i])
			sum += d * d
		}
		return sum
	}
	for _, d := range []Similarity{{A: .01}, {A: -.01}, {B: .01}, {B: -.01}, {X: .1}, {X: -.1}, {Y: .1}, {Y: -.1}} {
		if s := (Similarity{best.A + d.A, best.B + d.B, best.X + d.X, best.Y + d.Y}); off(s) < off(best) {
			t.Errorf("%+v is nearer than %+v", s, best)
		}
	}
}

func TestWarp(t *testing.T) {
	m := noise(7, 30, 20)
	if same := Warp(m, Similarity{A: 1}, 30, 20); string(same.Pix) != string(m.Pix) {
		t.Error("unmoved it is another picture")
	}
	shifted := Warp(m, Similarity{A: 1, X: 5, Y: -3}, 30, 20)
	if shifted.at(0, 3) != m.at(5, 0) || shifted.at(0, 0) != [3]byte{} || shifted.at(29, 10) != [3]byte{} {
		t.Error("shifted by whole pixels it shows other pixels, or something where nothing is")
	}
	turned := Warp(m, Similarity{B: 1, X: 20}, 20, 20) // a quarter: x' = 20-y, y' = x
	if turned.at(2, 3) != m.at(16, 2) {
		t.Errorf("turned: %v, want %v", turned.at(2, 3), m.at(16, 2))
	}
	small := Warp(plain(40, 40, 9, 99, 199), Similarity{A: 4}, 10, 10)
	for y := range 10 {
		for x := range 10 {
			if small.at(x, y) != [3]byte{9, 99, 199} {
				t.Fatalf("one colour became %v", small.at(x, y))
			}
		}
	}
}

func TestSharpness(t *testing.T) {
	if s := Sharpness(plain(20, 20, 50, 50, 50)); s > 1e-9 {
		t.Errorf("one colour is %v sharp", s)
	}
	m := noise(8, 64, 64)
	blurred := Resize(Resize(m, 16, 16), 64, 64)
	if a, b := Sharpness(m), Sharpness(blurred); a < 10*b {
		t.Errorf("blurred %v is nearly as sharp as %v", b, a)
	}
	if s := Sharpness(NewImage(2, 2)); s != 0 {
		t.Errorf("too small to say: %v", s)
	}
}

func BenchmarkWarp112(b *testing.B) {
	m := noise(9, 1920, 1080)
	for b.Loop() {
		Warp(m, Similarity{A: .7, B: .1, X: 500, Y: 300}, 112, 112)
	}
}
