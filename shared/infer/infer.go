// Package infer runs networks in ONNX form with ONNX Runtime. The bytes of a model enter, and tensors; tensors leave.
//
// Guaranteed: inputs are checked against the model before they reach native code; nothing that leaves aliases native memory;
// a Session may be used by many goroutines at once; a run ends soon after its context does.
//
// It is the only importer of the ONNX Runtime binding and owns that library's one environment per process, which is why one
// process can load one library only, and why that environment lives as long as the process.
package infer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"vedette.dev/shared/infer/tensor"
)

// Devices a session can run on.
const (
	CPU  = "cpu"
	CUDA = "cuda"
	Auto = "auto" // CUDA where library, driver and device are there, else the processor
)

// Options say where and how a model runs.
type Options struct {
	Library string // path of libonnxruntime.so; empty: libonnxruntime.so.1 from the loader's search path
	Threads int    // of one run on the processor; 0: as many as Go may use
	Device  string // CPU (also when empty), CUDA or Auto
}

// A Port is one input or output of a model. A dimension of -1 is free, the batch for instance.
type Port struct {
	Name  string
	Shape []int
}

// A Session is a loaded model.
type Session struct {
	device          string
	whyNotCUDA      error
	inputs, outputs []Port

	using   sync.RWMutex // held for reading by every run, so that Close waits for them
	session *ort.DynamicAdvancedSession
}

// ErrClosed is what a run of a closed session answers.
var ErrClosed = errors.New("infer: the session is closed")

// Open loads a model.
func Open(weights []byte, o Options) (*Session, error) {
	if len(weights) == 0 {
		return nil, errors.New("infer: the model is empty")
	}
	if err := environment.open(o.Library); err != nil {
		return nil, err
	}
	ins, outs, err := ort.GetInputOutputInfoWithONNXData(weights)
	if err != nil {
		return nil, fmt.Errorf("infer: reading the model (is it ONNX, and whole?): %w", err)
	}
	s := &Session{}
	if s.inputs, err = ports(ins); err != nil {
		return nil, err
	}
	if s.outputs, err = ports(outs); err != nil {
		return nil, err
	}
	switch o.Device {
	case "", CPU:
		err = s.load(weights, o, CPU)
	case CUDA:
		err = s.load(weights, o, CUDA)
	case Auto:
		if s.whyNotCUDA = s.load(weights, o, CUDA); s.whyNotCUDA != nil {
			err = s.load(weights, o, CPU)
		}
	default:
		return nil, fmt.Errorf("infer: device %q: want %s, %s or %s", o.Device, CPU, CUDA, Auto)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Device is where the model runs: CPU or CUDA.
func (s *Session) Device() string { return s.device }

// WhyNotCUDA is why a session that was to run anywhere does not run on CUDA; nil if it does, or was not asked to.
func (s *Session) WhyNotCUDA() error { return s.whyNotCUDA }

// Inputs are what Run wants, in order.
func (s *Session) Inputs() []Port { return s.inputs }

// Outputs are what Run returns, in order.
func (s *Session) Outputs() []Port { return s.outputs }

// Close frees the model once the runs under way have ended. It may be called again.
func (s *Session) Close() error {
	s.using.Lock()
	defer s.using.Unlock()
	if s.session == nil {
		return nil
	}
	err := s.session.Destroy()
	s.session = nil
	if err != nil {
		return fmt.Errorf("infer: freeing the model: %w", err)
	}
	return nil
}

// Run runs the model once. Inputs are taken by name where they have one, else by position; their data is read until Run
// returns, and not after. If ctx ends, the run is stopped between two of its operations and Run returns the context's error.
func (s *Session) Run(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("infer: %w", context.Cause(ctx))
	}
	ordered, err := s.arrange(in)
	if err != nil {
		return nil, err
	}
	s.using.RLock()
	defer s.using.RUnlock()
	if s.session == nil {
		return nil, ErrClosed
	}

	var native values
	defer native.destroy()
	for _, t := range ordered {
		v, err := ort.NewTensor(ort.NewShape(int64s(t.Shape)...), t.Data)
		if err != nil {
			return nil, fmt.Errorf("infer: input %s %v: %w", t.Name, t.Shape, err)
		}
		native.in = append(native.in, v)
	}
	native.out = make([]ort.Value, len(s.outputs))
	if err := s.run(ctx, &native); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("infer: stopped: %w", context.Cause(ctx))
		}
		return nil, fmt.Errorf("infer: running the model on %s: %w", shapes(ordered), err)
	}

	out := make([]tensor.Tensor, len(s.outputs))
	for i, v := range native.out {
		t, ok := v.(*ort.Tensor[float32])
		if !ok {
			return nil, fmt.Errorf("infer: output %s holds no 32-bit floats", s.outputs[i].Name)
		}
		// The binding has already copied what it allocated into Go's memory, so the slice outlives the native value.
		out[i] = tensor.Tensor{Name: s.outputs[i].Name, Shape: ints(t.GetShape()), Data: t.GetData()}
	}
	return out, nil
}

// run calls the library, and tells it to stop when ctx ends.
func (s *Session) run(ctx context.Context, v *values) error {
	if ctx.Done() == nil {
		return s.session.Run(v.in, v.out)
	}
	opts, err := ort.NewRunOptions()
	if err != nil {
		return err
	}
	defer func() { _ = opts.Destroy() }()
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		_ = opts.Terminate() // it can fail on destroyed options only, and these outlive the call
	})
	err = s.session.RunWithOptions(v.in, v.out, opts)
	if !stop() {
		<-told // the options must not be freed under Terminate's feet
	}
	return err
}

// values are the native sides of a run's tensors.
type values struct{ in, out []ort.Value }

func (v *values) destroy() {
	for _, x := range slices.Concat(v.in, v.out) {
		if x != nil {
			_ = x.Destroy()
		}
	}
}

// arrange puts inputs into the model's order and refuses what does not fit it, in words that name the input: native code
// would say less, and some of it after reading past the data.
func (s *Session) arrange(in []tensor.Tensor) ([]tensor.Tensor, error) {
	if len(in) != len(s.inputs) {
		return nil, fmt.Errorf("infer: %d inputs given, the model takes %d: %s", len(in), len(s.inputs), names(s.inputs))
	}
	ordered := make([]tensor.Tensor, len(in))
	for i, want := range s.inputs {
		t := in[i]
		if t.Name != "" && t.Name != want.Name {
			found, ok := tensor.Find(in, want.Name)
			if !ok {
				return nil, fmt.Errorf("infer: no input %s given; the model takes %s", want.Name, names(s.inputs))
			}
			t = found
		}
		if err := fits(t, want); err != nil {
			return nil, fmt.Errorf("infer: input %s: %w", want.Name, err)
		}
		ordered[i] = t
	}
	return ordered, nil
}

func fits(t tensor.Tensor, want Port) error {
	ok := len(t.Shape) == len(want.Shape)
	for i := 0; ok && i < len(t.Shape); i++ {
		ok = t.Shape[i] > 0 && (want.Shape[i] < 0 || t.Shape[i] == want.Shape[i])
	}
	if !ok {
		return fmt.Errorf("shape %v given, the model takes %v (-1: any)", t.Shape, want.Shape)
	}
	if n := tensor.Size(t.Shape); n != len(t.Data) {
		return fmt.Errorf("shape %v wants %d numbers, %d given", t.Shape, n, len(t.Data))
	}
	return nil
}

// load makes the session on one device.
func (s *Session) load(weights []byte, o Options, device string) error {
	opts, err := ort.NewSessionOptions()
	if err != nil {
		return fmt.Errorf("infer: session options: %w", err)
	}
	defer func() { _ = opts.Destroy() }()
	threads := o.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	for _, set := range []func() error{
		func() error { return opts.SetIntraOpNumThreads(threads) },
		func() error { return opts.SetInterOpNumThreads(1) },
		// Some models carry denormal weights, which cost ten times the time.
		func() error { return opts.AddSessionConfigEntry("session.set_denormal_as_zero", "1") },
		// Waiting threads that spin burn the processor time that the next function needs.
		func() error { return opts.AddSessionConfigEntry("session.intra_op.allow_spinning", "0") },
	} {
		if err := set(); err != nil {
			return fmt.Errorf("infer: session options: %w", err)
		}
	}
	if device == CUDA {
		if err := useCUDA(opts); err != nil {
			return fmt.Errorf("infer: CUDA (use the CUDA build of ONNX Runtime with CUDA and cuDNN beside it, or device %q): %w", CPU, err)
		}
	}
	session, err := ort.NewDynamicAdvancedSessionWithONNXData(weights, portNames(s.inputs), portNames(s.outputs), opts)
	if err != nil {
		return fmt.Errorf("infer: loading the model on %s: %w", device, err)
	}
	s.session, s.device = session, device
	return nil
}

// useCUDA puts CUDA before the processor. It has been tried up to the point where a machine without CUDA refuses, and on no GPU yet. The exhaustive search for a convolution's best algorithm, which is the default,
// would run again for every new shape of input, and ours change from clip to clip.
func useCUDA(opts *ort.SessionOptions) error {
	cuda, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer func() { _ = cuda.Destroy() }()
	err = cuda.Update(map[string]string{
		"device_id":              strconv.Itoa(0),
		"cudnn_conv_algo_search": "HEURISTIC",
		"arena_extend_strategy":  "kSameAsRequested",
	})
	if err != nil {
		return err
	}
	return opts.AppendExecutionProviderCUDA(cuda)
}

func ports(infos []ort.InputOutputInfo) ([]Port, error) {
	ps := make([]Port, len(infos))
	for i, info := range infos {
		if info.OrtValueType != ort.ONNXTypeTensor || info.DataType != ort.TensorElementDataTypeFloat {
			return nil, fmt.Errorf("infer: %s is no tensor of 32-bit floats, the only kind used here", info.Name)
		}
		ps[i] = Port{Name: info.Name, Shape: ints(info.Dimensions)}
	}
	return ps, nil
}

func portNames(ps []Port) []string {
	var ns []string
	for _, p := range ps {
		ns = append(ns, p.Name)
	}
	return ns
}

func names(ps []Port) string { return strings.Join(portNames(ps), ", ") }

func shapes(ts []tensor.Tensor) string {
	var all []string
	for _, t := range ts {
		all = append(all, fmt.Sprint(t.Shape))
	}
	return strings.Join(all, ", ")
}

func ints(s ort.Shape) []int {
	r := make([]int, len(s))
	for i, d := range s {
		r[i] = int(d)
	}
	return r
}

func int64s(s []int) []int64 {
	r := make([]int64, len(s))
	for i, d := range s {
		r[i] = int64(d)
	}
	return r
}
