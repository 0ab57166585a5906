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
	// sinceUS is over what time pictures are compared, so that a slow walk is seen. They are compared with one picture
	// only: what flashed up in one would otherwise be seen to go as well as to come.
	sinceUS = 800_000
)

// motion sees pictures, in order, and remembers when something moved in them.
type motion struct {
	past  []cells   // the pictures since the one that the next is compared with
	times []int64   // of all pictures, µs
	moved []float64 // how much moved in each; 1 is the threshold
}

// cells are the brightness of a picture's cells, row by row.
type cells struct {
	us    int64
	width int
	grey  []float32
}

// see takes in the next picture.
func (m *motion) see(p Picture) {
	now := average(p)
	if len(now.grey) == 0 {
		return
	}
	if len(m.past) > 0 && (m.past[0].width != now.width || len(m.past[0].grey) != len(now.grey)) {
		m.past = nil
	}
	for len(m.past) > 1 && p.US-m.past[1].us >= sinceUS-slackUS {
		m.past = m.past[1:]
	}
	moved := 0
	if len(m.past) > 0 {
		moved = largest(changed(m.past[0].grey, now.grey), now.width)
	}
	m.past = append(m.past, now)
	m.times = append(m.times, p.US)
	m.moved = append(m.moved, float64(moved)/together)
}

// slackUS is by how much pictures of a grid may be off.
const slackUS = 100_000

// lasting is how much moved in a picture and in one beside it: a flash is no motion. Where pictures are so far apart that
// somebody may pass in between, each counts.
func (m *motion) lasting(i int) float64 {
	beside, alone := 0., true
	for _, j := range []int{i - 1, i + 1} {
		if j >= 0 && j < len(m.moved) && max(m.times[i]-m.times[j], m.times[j]-m.times[i]) <= sinceUS {
			beside, alone = max(beside, m.moved[j]), false
		}
	}
	if alone {
		return m.moved[i]
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
func average(p Picture) cells {
	columns, rows := p.Width/cell, p.Height/cell
	c := cells{p.US, columns, make([]float32, columns*rows)}
	for y := range rows * cell {
		row := p.Pix[y*p.Width:]
		out := c.grey[y/cell*columns:]
		for x := range columns {
			for _, b := range row[x*cell : x*cell+cell] {
				out[x] += float32(b) / (cell * cell)
			}
		}
	}
	return c
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
