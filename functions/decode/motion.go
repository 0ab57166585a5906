package decode

import (
	"math"
	"slices"

	"vedette.dev/shared/findings"
)

const (
	// cell is the side of the squares in which brightness is averaged, in pixels of the small picture: a person of a
	// tenth of the picture's height covers some eight of them.
	cell = 4
	// stirred is by how many grey levels a cell must change at least, and noiseTimes by how many times the picture's
	// own noise.
	stirred, noiseTimes = 6., 6.
	// together is how many touching cells must have changed: those that noise changes lie apart.
	together = 3
	// before is how many pictures back is compared with as well as the last one, so that a slow walk is seen.
	before = 4
)

// motion sees pictures, in order, and remembers when something moved in them.
type motion struct {
	past  [][]float32 // cells of the last pictures
	width int         // in cells
	times []int64     // of all pictures, µs
	moved []float64   // how much moved in each; 1 is the threshold
}

// see takes in the next picture.
func (m *motion) see(p Picture) {
	columns, rows := p.Width/cell, p.Height/cell
	if columns == 0 || rows == 0 {
		return
	}
	now := average(p, columns, rows)
	if m.width != columns {
		m.past, m.width = nil, columns
	}
	moved := 0
	if n := len(m.past); n > 0 {
		moved = max(largest(changed(m.past[n-1], now), columns), largest(changed(m.past[0], now), columns))
	}
	m.past = append(m.past, now)
	if len(m.past) > before {
		m.past = m.past[1:]
	}
	m.times = append(m.times, p.US)
	m.moved = append(m.moved, float64(moved)/together)
}

// lasting is how much moved in a picture and in one beside it: a flash is no motion.
func (m *motion) lasting(i int) float64 {
	beside := 0.
	if i > 0 {
		beside = m.moved[i-1]
	}
	if i+1 < len(m.moved) {
		beside = max(beside, m.moved[i+1])
	}
	return min(m.moved[i], beside)
}

// score is how much moved at most; 1 is the threshold.
func (m *motion) score() float64 {
	most := 0.
	for i := range m.moved {
		most = max(most, m.lasting(i))
	}
	return most
}

// around is how long before and after motion a stretch is active, and between is how long a pause in it may be: people
// stop and go on.
const aroundUS, betweenUS = 1_000_000, 2_000_000

// stretches is when something moved, between two times.
func (m *motion) stretches(startUS, endUS int64) []findings.Stretch {
	var found []findings.Stretch
	for i, us := range m.times {
		if m.lasting(i) < 1 {
			continue
		}
		// What differs from the picture before moved somewhere between the two.
		from, to := max(us-aroundUS, startUS), min(us+aroundUS, endUS)
		if n := len(found); n > 0 && from <= found[n-1].EndUS+betweenUS {
			found[n-1].EndUS = to
		} else {
			found = append(found, findings.Stretch{StartUS: from, EndUS: to})
		}
	}
	return found
}

// average is the brightness of each cell.
func average(p Picture, columns, rows int) []float32 {
	cells := make([]float32, columns*rows)
	for y := range rows * cell {
		row := p.Pix[y*p.Width:]
		out := cells[y/cell*columns:]
		for x := range columns {
			for _, b := range row[x*cell : x*cell+cell] {
				out[x] += float32(b) / (cell * cell)
			}
		}
	}
	return cells
}

// changed says which cells differ by more than light and noise do: a change of the light moves all cells alike, noise
// moves most cells a little.
func changed(then, now []float32) []bool {
	diff := make([]float32, len(now))
	for i := range now {
		diff[i] = now[i] - then[i]
	}
	light := medianOf(diff)
	for i := range diff {
		diff[i] = float32(math.Abs(float64(diff[i] - light)))
	}
	noise := 1.4826 * medianOf(diff) // the standard deviation, if it is Gaussian
	bound := max(stirred, noiseTimes*noise)
	moved := make([]bool, len(diff))
	for i, d := range diff {
		moved[i] = d > bound
	}
	return moved
}

func medianOf(values []float32) float32 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// largest is the number of cells in the largest group that touch, corners included.
func largest(cells []bool, columns int) int {
	cells = slices.Clone(cells)
	best := 0
	var stack []int
	for start := range cells {
		if !cells[start] {
			continue
		}
		size := 0
		cells[start] = false
		stack = append(stack[:0], start)
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			size++
			x, y := at%columns, at/columns
			for ny := max(y-1, 0); ny <= min(y+1, len(cells)/columns-1); ny++ {
				for nx := max(x-1, 0); nx <= min(x+1, columns-1); nx++ {
					if next := ny*columns + nx; cells[next] {
						cells[next] = false
						stack = append(stack, next)
					}
				}
			}
		}
		best = max(best, size)
	}
	return best
}
