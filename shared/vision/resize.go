package vision

import "math"

// Resize is the picture at another size. Each pixel is a weighted mean of what it covers (a triangle as wide as two pixels of the
// coarser picture), so that reducing loses no thin line and enlarging is bilinear.
func Resize(src Image, w, h int) Image {
	if src.W == w && src.H == h {
		return src
	}
	dst := NewImage(w, h)
	across, down := taps(src.W, w), taps(src.H, h)

	// Rows are resized across once, when first wanted, and kept for as long as the rows below may want them.
	kept := make([][]uint16, src.H)
	var spare [][]uint16
	sum := make([]uint32, 3*w)
	done := 0
	for y := range h {
		t := down[y]
		for ; done < t.from; done++ {
			if kept[done] != nil {
				spare = append(spare, kept[done])
				kept[done] = nil
			}
		}
		clear(sum)
		for i, weight := range t.weights {
			sy := t.from + i
			if kept[sy] == nil {
				if n := len(spare); n > 0 {
					kept[sy], spare = spare[n-1], spare[:n-1]
				} else {
					kept[sy] = make([]uint16, 3*w)
				}
				resizeRow(kept[sy], src.Row(sy), across)
			}
			row := kept[sy][:len(sum)]
			for x := range sum {
				sum[x] += uint32(row[x]) * weight
			}
		}
		out := dst.Row(y)
		for x := range out {
			out[x] = byte((sum[x] + 1<<21) >> 22)
		}
	}
	return dst
}

// resizeRow writes 8.8 fixed-point numbers.
func resizeRow(dst []uint16, src []byte, across []tap) {
	for x, t := range across {
		var r, g, b uint32
		s := src[3*t.from:]
		for i, weight := range t.weights {
			p := s[3*i : 3*i+3 : 3*i+3]
			r += uint32(p[0]) * weight
			g += uint32(p[1]) * weight
			b += uint32(p[2]) * weight
		}
		dst[3*x], dst[3*x+1], dst[3*x+2] = uint16((r+1<<5)>>6), uint16((g+1<<5)>>6), uint16((b+1<<5)>>6)
	}
}

// A tap is what one output pixel takes from its input: weights in 1/2^14 that add up to one.
type tap struct {
	from    int
	weights []uint32
}

const one = 1 << 14

func taps(from, to int) []tap {
	scale := float64(from) / float64(to)
	reach := max(scale, 1)
	ts := make([]tap, to)
	for i := range ts {
		center := (float64(i)+.5)*scale - .5
		lo := max(int(math.Ceil(center-reach)), 0)
		hi := min(int(math.Floor(center+reach)), from-1)
		weights, sum := make([]float64, hi-lo+1), 0.0
		for j := range weights {
			weights[j] = max(1-math.Abs(float64(lo+j)-center)/reach, 0)
			sum += weights[j]
		}
		t := tap{from: lo, weights: make([]uint32, len(weights))}
		left, best := uint32(one), 0
		for j, w := range weights {
			t.weights[j] = uint32(math.Round(w / sum * one))
			left -= t.weights[j] // may wrap; the sum below unwraps it
			if w > weights[best] {
				best = j
			}
		}
		t.weights[best] += left
		ts[i] = t
	}
	return ts
}
