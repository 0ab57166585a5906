package vision

import "math"

// A Similarity turns, scales and shifts: x' = A·x − B·y + X, y' = B·x + A·y + Y.
type Similarity struct{ A, B, X, Y float64 }

// FitSimilarity is the similarity that brings points nearest to others, in the sense of least squares (Umeyama's, which in the plane
// and without mirroring has a closed form). It is false if the points all fall on one spot.
func FitSimilarity(from, to []Point) (Similarity, bool) {
	n := float64(min(len(from), len(to)))
	var f, t Point
	for i := range int(n) {
		f.X, f.Y = f.X+from[i].X/n, f.Y+from[i].Y/n
		t.X, t.Y = t.X+to[i].X/n, t.Y+to[i].Y/n
	}
	var dot, cross, spread float64
	for i := range int(n) {
		fx, fy := from[i].X-f.X, from[i].Y-f.Y
		tx, ty := to[i].X-t.X, to[i].Y-t.Y
		dot += fx*tx + fy*ty
		cross += fx*ty - fy*tx
		spread += fx*fx + fy*fy
	}
	if spread < 1e-9 || dot*dot+cross*cross < 1e-18 {
		return Similarity{}, false
	}
	s := Similarity{A: dot / spread, B: cross / spread}
	s.X = t.X - s.A*f.X + s.B*f.Y
	s.Y = t.Y - s.B*f.X - s.A*f.Y
	return s, true
}

// Apply moves a point.
func (s Similarity) Apply(p Point) Point {
	return Point{s.A*p.X - s.B*p.Y + s.X, s.B*p.X + s.A*p.Y + s.Y}
}

// Scale is how many times longer things become.
func (s Similarity) Scale() float64 { return math.Hypot(s.A, s.B) }

// Inverse moves points back.
func (s Similarity) Inverse() Similarity {
	d := s.A*s.A + s.B*s.B
	i := Similarity{A: s.A / d, B: -s.B / d}
	i.X = -(i.A*s.X - i.B*s.Y)
	i.Y = -(i.B*s.X + i.A*s.Y)
	return i
}

// Warp is a picture of w by h pixels whose pixel at p shows what src shows at back(p); what lies outside of src is black. Where that
// makes things smaller, each pixel is the mean of several, so that fine structure does not turn into noise.
func Warp(src Image, back Similarity, w, h int) Image {
	dst := NewImage(w, h)
	samples := max(int(math.Ceil(back.Scale()-.1)), 1)
	weight := 1 / float64(samples*samples)
	for y := range h {
		row := dst.Row(y)
		for x := range w {
			var sum [3]float64
			for sy := range samples {
				for sx := range samples {
					// Pixel centres are at halves.
					p := back.Apply(Point{float64(x) + (float64(sx)+.5)/float64(samples), float64(y) + (float64(sy)+.5)/float64(samples)})
					src.sample(&sum, p.X-.5, p.Y-.5)
				}
			}
			for c := range sum {
				row[3*x+c] = byte(math.Round(sum[c] * weight))
			}
		}
	}
	return dst
}

// sample adds the bilinear value at x, y.
func (m Image) sample(sum *[3]float64, x, y float64) {
	fx, fy := math.Floor(x), math.Floor(y)
	if fx < -1 || fy < -1 || fx >= float64(m.W) || fy >= float64(m.H) {
		return
	}
	ix, iy := int(fx), int(fy)
	ax, ay := x-fx, y-fy
	for dy, wy := range [2]float64{1 - ay, ay} {
		if iy+dy < 0 || iy+dy >= m.H {
			continue
		}
		for dx, wx := range [2]float64{1 - ax, ax} {
			if ix+dx < 0 || ix+dx >= m.W {
				continue
			}
			p := m.Pix[(iy+dy)*m.Stride+3*(ix+dx):]
			wt := wx * wy
			sum[0] += wt * float64(p[0])
			sum[1] += wt * float64(p[1])
			sum[2] += wt * float64(p[2])
		}
	}
}

// Sharpness is the variance of the Laplacian of the picture's brightness. It is comparable between pictures of one size only: compare
// aligned crops.
func Sharpness(m Image) float64 {
	if m.W < 3 || m.H < 3 {
		return 0
	}
	luma := make([]float64, m.W*m.H)
	for y := range m.H {
		row := m.Row(y)
		for x := range m.W {
			luma[y*m.W+x] = .299*float64(row[3*x]) + .587*float64(row[3*x+1]) + .114*float64(row[3*x+2])
		}
	}
	var sum, squares float64
	for y := 1; y < m.H-1; y++ {
		for x := 1; x < m.W-1; x++ {
			i := y*m.W + x
			l := luma[i-1] + luma[i+1] + luma[i-m.W] + luma[i+m.W] - 4*luma[i]
			sum += l
			squares += l * l
		}
	}
	n := float64((m.W - 2) * (m.H - 2))
	return squares/n - (sum/n)*(sum/n)
}
