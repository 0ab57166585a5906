package vision

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		name  string
		cost  [][]float64
		alone float64
		want  []int
	}{
		{"nothing", nil, 9, nil},
		{"no columns", [][]float64{{}, {}}, 9, []int{-1, -1}},
		{"the greedy way costs more", [][]float64{{1, 2}, {2, 9}}, 9, []int{1, 0}},
		{"more rows than columns", [][]float64{{3}, {1}, {2}}, 9, []int{-1, 0, -1}},
		{"more columns than rows", [][]float64{{3, -4, 2}}, 9, []int{1}},
		{"forbidden", [][]float64{{Never, Never}, {Never, 5}}, 9, []int{-1, 1}},
		{"better alone", [][]float64{{1, 5}, {Never, 5}}, 4, []int{0, -1}},
		{"a cheap pair alone beats two dear ones", [][]float64{{1, 8}, {8, Never}}, 6, []int{0, -1}},
		{"two pairs beat one cheap pair", [][]float64{{1, 8}, {8, Never}}, 20, []int{1, 0}},
		{"equal: in order", [][]float64{{1, 1}, {1, 1}}, 9, []int{0, 1}},
	} {
		if diff := cmp.Diff(c.want, Match(c.cost, c.alone)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// TestMatchAgainstAll compares with the best of all pairings.
func TestMatchAgainstAll(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		rows, cols := 1+r.IntN(5), 1+r.IntN(5)
		cost := make([][]float64, rows)
		for i := range cost {
			cost[i] = make([]float64, cols)
			for j := range cost[i] {
				if cost[i][j] = 20*r.Float64() - 10; r.IntN(3) == 0 {
					cost[i][j] = Never
				}
			}
		}
		alone := 20*r.Float64() - 10
		got := Match(cost, alone)
		sum, taken := 0.0, map[int]bool{}
		for i, j := range got {
			if j < 0 {
				sum += alone
				continue
			}
			if taken[j] {
				t.Fatalf("%v: column %d twice in %v", cost, j, got)
			}
			taken[j] = true
			sum += cost[i][j]
		}
		if want := bestOfAll(cost, alone, 0, map[int]bool{}); math.Abs(sum-want) > 1e-9 {
			t.Fatalf("%v: %v for %v, the best is %v", cost, got, sum, want)
		}
	}
}

func bestOfAll(cost [][]float64, alone float64, row int, taken map[int]bool) float64 {
	if row == len(cost) {
		return 0
	}
	best := alone + bestOfAll(cost, alone, row+1, taken)
	for j, c := range cost[row] {
		if !taken[j] && c != Never {
			taken[j] = true
			best = min(best, c+bestOfAll(cost, alone, row+1, taken))
			taken[j] = false
		}
	}
	return best
}
