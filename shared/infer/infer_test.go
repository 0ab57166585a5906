package infer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vedette.dev/shared/infer/tensor"
)

// library is where the tests find ONNX Runtime; without it they fail, since set-up is a part of testing.
func library(t testing.TB) string {
	t.Helper()
	path := os.Getenv("VEDETTE_ONNXRUNTIME")
	if path == "" {
		t.Fatal("VEDETTE_ONNXRUNTIME is not set: run scripts/setup, then source the env file that it names")
	}
	return path
}

func open(t testing.TB, model []byte) *Session {
	t.Helper()
	s, err := Open(model, Options{Library: library(t), Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestRun(t *testing.T) {
	s := open(t, sumAndProduct())
	if diff := cmp.Diff([]Port{{"a", []int{-1, 2}}, {"b", []int{-1, 2}}}, s.Inputs()); diff != "" {
		t.Errorf("inputs: %s", diff)
	}
	if diff := cmp.Diff([]Port{{"sum", []int{-1, 2}}, {"product", []int{-1, 2}}}, s.Outputs()); diff != "" {
		t.Errorf("outputs: %s", diff)
	}
	if s.Device() != CPU {
		t.Errorf("runs on %q", s.Device())
	}
	a := tensor.Tensor{Name: "a", Shape: []int{1, 2}, Data: []float32{1, 2}}
	b := tensor.Tensor{Name: "b", Shape: []int{1, 2}, Data: []float32{10, 20}}
	want := []tensor.Tensor{{Name: "sum", Shape: []int{1, 2}, Data: []float32{11, 22}}, {Name: "product", Shape: []int{1, 2}, Data: []float32{10, 40}}}

	unnamedA, unnamedB := a, b
	unnamedA.Name, unnamedB.Name = "", ""
	for name, in := range map[string][]tensor.Tensor{
		"in order":     {a, b},
		"by name":      {b, a},
		"by position":  {unnamedA, unnamedB},
		"one is named": {unnamedA, b},
	} {
		out, err := s.Run(t.Context(), in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(want, out); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestRunAnyBatch(t *testing.T) {
	s := open(t, sumAndProduct())
	for _, n := range []int{1, 7, 2, 64} {
		a, b := tensor.New(n, 2), tensor.New(n, 2)
		for i := range a.Data {
			a.Data[i], b.Data[i] = float32(i), 1
		}
		out, err := s.Run(t.Context(), []tensor.Tensor{a, b})
		if err != nil {
			t.Fatalf("batch of %d: %v", n, err)
		}
		if got := out[0].Item(n - 1); out[0].Shape[0] != n || got[1] != float32(2*n) {
			t.Errorf("batch of %d: shape %v, last item %v", n, out[0].Shape, got)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	s := open(t, sumAndProduct())
	good := tensor.New(3, 2)
	named := func(n string, x tensor.Tensor) tensor.Tensor { x.Name = n; return x }
	for name, c := range map[string]struct {
		in   []tensor.Tensor
		want string
	}{
		"too few inputs":   {[]tensor.Tensor{good}, "the model takes 2: a, b"},
		"unknown name":     {[]tensor.Tensor{named("x", good), named("b", good)}, "no input a given"},
		"wrong rank":       {[]tensor.Tensor{tensor.New(6), good}, "input a: shape [6] given, the model takes [-1 2]"},
		"wrong width":      {[]tensor.Tensor{good, tensor.New(2, 3)}, "input b: shape [2 3] given"},
		"empty batch":      {[]tensor.Tensor{tensor.New(0, 2), good}, "input a: shape [0 2]"},
		"too little data":  {[]tensor.Tensor{{Shape: []int{3, 2}, Data: make([]float32, 5)}, good}, "wants 6 numbers, 5 given"},
		"batches disagree": {[]tensor.Tensor{tensor.New(3, 2), tensor.New(2, 2)}, "running the model on [3 2], [2 2]"},
	} {
		if _, err := s.Run(t.Context(), c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want …%s…", name, err, c.want)
		}
	}
}

func TestRunByManyAtOnce(t *testing.T) {
	s := open(t, sumAndProduct())
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 50 {
				x := tensor.New(1+i%5, 2)
				for j := range x.Data {
					x.Data[j] = float32(g)
				}
				out, err := s.Run(t.Context(), []tensor.Tensor{x, x})
				if err != nil {
					t.Error(err)
					return
				}
				for _, v := range out[1].Data {
					if v != float32(g*g) {
						t.Errorf("%d·%d = %v", g, g, v)
						return
					}
				}
			}
		})
	}
	all.Wait()
}

func TestRunStopsWithItsContext(t *testing.T) {
	s := open(t, longWork(4000))
	in := []tensor.Tensor{tensor.New(256, 256)}

	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Run(over, in); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Run(ctx, in); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stopped under way: %v (it should have been seconds of work)", err)
	}
	// The session is none the worse for it.
	short := open(t, sumAndProduct())
	if _, err := short.Run(t.Context(), []tensor.Tensor{tensor.New(1, 2), tensor.New(1, 2)}); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	lib := library(t)
	for name, c := range map[string]struct {
		model   []byte
		options Options
		want    string
	}{
		"no model":        {nil, Options{Library: lib}, "the model is empty"},
		"no ONNX":         {[]byte("<html>404</html>"), Options{Library: lib}, "is it ONNX, and whole?"},
		"half a model":    {sumAndProduct()[:60], Options{Library: lib}, "is it ONNX, and whole?"},
		"unknown device":  {sumAndProduct(), Options{Library: lib, Device: "tpu"}, `device "tpu": want cpu, cuda or auto`},
		"no CUDA":         {sumAndProduct(), Options{Library: lib, Device: CUDA}, "CUDA build of ONNX Runtime"},
		"another library": {sumAndProduct(), Options{Library: "/nowhere/libonnxruntime.so"}, "already loaded"},
	} {
		if name == "no CUDA" {
			if s, err := Open(c.model, c.options); err == nil { // a machine that has it
				_ = s.Close()
				continue
			}
		}
		if _, err := Open(c.model, c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want …%s…", name, err, c.want)
		}
	}
}

func TestOpenWithoutLibrarySaysWhatToDo(t *testing.T) {
	var e runtimeEnvironment // the process's own is loaded by other tests
	err := e.open("/nowhere/libonnxruntime.so")
	if err == nil {
		t.Fatal("a library that is not there was loaded")
	}
	for _, want := range []string{"run scripts/setup", "VEDETTE_ONNXRUNTIME"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want …%s…", err, want)
		}
	}
}

func TestAutoRunsSomewhere(t *testing.T) {
	s, err := Open(sumAndProduct(), Options{Library: library(t), Device: Auto})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Device() != CPU && s.Device() != CUDA || (s.Device() == CPU) != (s.WhyNotCUDA() != nil) {
		t.Errorf("runs on %q; not on CUDA because: %v", s.Device(), s.WhyNotCUDA())
	}
	if _, err := s.Run(t.Context(), []tensor.Tensor{tensor.New(1, 2), tensor.New(1, 2)}); err != nil {
		t.Error(err)
	}
}

func TestClose(t *testing.T) {
	s := open(t, sumAndProduct())
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Run(t.Context(), []tensor.Tensor{tensor.New(1, 2), tensor.New(1, 2)}); !errors.Is(err, ErrClosed) {
		t.Errorf("a run after closing: %v", err)
	}
}

// The models of these tests are written by hand, as protocol buffers: a message is its fields, one after the other.

func number(field int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3), v)
}

func message(field int, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3|2), uint64(len(body))), body...)
}

func text(field int, s string) []byte { return message(field, []byte(s)) }

// floats is a ValueInfoProto: a tensor of 32-bit floats. A dimension of -1 is free.
func floats(field int, name string, shape ...int) []byte {
	var dims []byte
	for _, d := range shape {
		if d < 0 {
			dims = append(dims, message(1, text(2, "n"+name))...)
		} else {
			dims = append(dims, message(1, number(1, uint64(d)))...)
		}
	}
	return message(field, text(1, name), message(2, message(1, number(1, 1), message(2, dims))))
}

func node(op, out string, in ...string) []byte {
	var parts []byte
	for _, i := range in {
		parts = append(parts, text(1, i)...)
	}
	return message(1, parts, text(2, out), text(4, op))
}

// model is a ModelProto of operator set 17.
func model(graph ...[]byte) []byte {
	var m []byte
	m = append(m, number(1, 8)...)
	m = append(m, message(7, append(graph, text(2, "test"))...)...)
	return append(m, message(8, number(2, 17))...)
}

func sumAndProduct() []byte {
	return model(
		node("Add", "sum", "a", "b"), node("Mul", "product", "a", "b"),
		floats(11, "a", -1, 2), floats(11, "b", -1, 2), floats(12, "sum", -1, 2), floats(12, "product", -1, 2),
	)
}

// longWork multiplies a matrix with itself so many times.
func longWork(times int) []byte {
	var graph [][]byte
	last := "x0"
	for i := range times {
		next := fmt.Sprintf("x%d", i+1)
		graph = append(graph, node("MatMul", next, last, "x0"))
		last = next
	}
	return model(append(graph, floats(11, "x0", 256, 256), floats(12, last, 256, 256))...)
}
