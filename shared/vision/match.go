package vision

import "math"

// Never is the cost of a pair that must not be.
const Never = math.MaxFloat64

// Match pairs rows with columns so that the sum of costs is least, where a row left alone costs what alone says (the Hungarian
// method): no pair is made that costs more. It returns the column of each row, or -1. Costs may be negative; Never forbids a pair.
func Match(cost [][]float64, alone float64) []int {
	rows := len(cost)
	if rows == 0 {
		return nil
	}
	cols := len(cost[0])
	n := cols + rows // each row has a column of its own that stands for "alone"
	at := func(i, j int) float64 {
		if j < cols {
			return cost[i][j]
		}
		if j == cols+i {
			return alone
		}
		return Never
	}

	// Shortest augmenting paths with potentials u and v, one row at a time; index 0 is a sentinel.
	u, v := make([]float64, rows+1), make([]float64, n+1)
	owner, way := make([]int, n+1), make([]int, n+1)
	least, used := make([]float64, n+1), make([]bool, n+1)
	for i := 1; i <= rows; i++ {
		for j := range least {
			least[j], used[j] = Never, false
		}
		owner[0] = i
		j0 := 0
		for owner[j0] != 0 {
			used[j0] = true
			i0, next, delta := owner[j0], 0, Never
			for j := 1; j <= n; j++ {
				if used[j] {
					continue
				}
				if c := at(i0-1, j-1) - u[i0] - v[j]; c < least[j] {
					least[j], way[j] = c, j0
				}
				if least[j] < delta {
					delta, next = least[j], j
				}
			}
			for j := range used {
				if used[j] {
					u[owner[j]] += delta
					v[j] -= delta
				} else {
					least[j] -= delta
				}
			}
			j0 = next
		}
		for j0 != 0 {
			owner[j0] = owner[way[j0]]
			j0 = way[j0]
		}
	}
	column := make([]int, rows)
	for i := range column {
		column[i] = -1
	}
	for j := 1; j <= cols; j++ {
		if owner[j] != 0 {
			column[owner[j]-1] = j - 1
		}
	}
	return column
}
