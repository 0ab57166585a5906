package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// way is a way to do something; it tells the CPU seconds it took.
type way func(ctx context.Context) (float64, error)

// race lets ways take turns, in the other order every other round, and tells their CPU seconds round by round.
func race(ctx context.Context, rounds int, ways ...way) ([][]float64, error) {
	took := make([][]float64, len(ways))
	for round := range rounds {
		for i := range ways {
			if round%2 == 1 {
				i = len(ways) - 1 - i
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			seconds, err := ways[i](ctx)
			if err != nil {
				return nil, err
			}
			took[i] = append(took[i], seconds)
		}
	}
	return took, nil
}

// least is what something costs: whatever else the machine does only ever adds to it.
func least(values []float64) float64 { return slices.Min(values) }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// compile compiles one of the programs in bare/ against the libraries that the product is built with.
func (b *bench) compile(ctx context.Context, name string, flags ...string) (string, error) {
	libraries, err := output(ctx, "pkg-config", "--cflags", "--libs", "libavformat", "libavcodec", "libswscale", "libavutil")
	if err != nil {
		return "", err
	}
	program := filepath.Join(b.temp, name)
	arguments := append([]string{"-O2", "-o", program, filepath.Join("integration", "bench", "bare", name+".c")}, flags...)
	arguments = append(arguments, strings.Fields(libraries)...)
	_, err = output(ctx, "cc", append(arguments, "-lm", "-ldl")...)
	return program, err
}

// onnxHeader is the folder of ONNX Runtime's C header; its packages hold none, but the Go binding does.
func onnxHeader(ctx context.Context) (string, error) {
	folder, err := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go")
	return strings.TrimSpace(folder), err
}

// bare runs a compiled program, which prints one JSON object, into answer.
func bare(ctx context.Context, answer any, program string, arguments ...string) error {
	text, err := output(ctx, program, arguments...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), answer); err != nil {
		return fmt.Errorf("%s printed %q: %w", program, text, err)
	}
	return nil
}

func output(ctx context.Context, program string, arguments ...string) (string, error) {
	c := exec.CommandContext(ctx, program, arguments...)
	c.Stderr = os.Stderr
	text, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", c, err)
	}
	return string(text), nil
}
