package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRaceTakesTurns(t *testing.T) {
	var order []string
	entry := func(name string, cpu float64) way {
		return func(context.Context) (float64, error) {
			order = append(order, name)
			return cpu, nil
		}
	}
	took, err := race(t.Context(), 3, entry("a", 1), entry("b", 2))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "b", "a", "a", "b"}, order); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([][]float64{{1, 1, 1}, {2, 2, 2}}, took); diff != "" {
		t.Error(diff)
	}
}

func TestRaceEndsWithTheFirstFault(t *testing.T) {
	fault := errors.New("out of order")
	n := 0
	_, err := race(t.Context(), 3, func(context.Context) (float64, error) { n++; return 0, fault })
	if !errors.Is(err, fault) || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := race(ctx, 3, func(context.Context) (float64, error) { n++; return 0, nil }); !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("%v after %d, though nobody waits", err, n)
	}
}

func TestFiguresAreWritten(t *testing.T) {
	var b bench
	b.atMost("slow", 1.25, "CPU ratio", 1.15)
	b.atLeast("fast", 70, "× real time", 15)
	b.told("only told", 3, "ms")
	var text bytes.Buffer
	table(&text, b.figures)
	want := `slow       1.25  CPU ratio    ≤ 1.15  MISSED
fast       70    × real time  ≥ 15    ok
only told  3     ms                   
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Error(diff)
	}

	file := filepath.Join(t.TempDir(), "bench.json")
	if err := write(file, b.figures[:1]); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want = `[
  {
    "name": "slow",
    "value": 1.25,
    "unit": "CPU ratio",
    "goal": "≤ 1.15",
    "ok": false
  }
]
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) is %v, want %v", c.values, got, c.want)
		}
	}
}
