package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"vedette.dev/knative"
	"vedette.dev/knative/local"
)

// doctor looks at everything that Vedette needs, in the order in which it needs it.
func doctor(ctx context.Context, c *console, args []string) (int, error) {
	f := newOptions(c, "doctor", "", "Checks libraries, models, hardware and store, and says what is wrong and what to do. It ends with 1 if something is.")
	if rest, err := f.parse(args); err != nil || len(rest) > 0 {
		return f.misusedOr(err, "doctor takes no arguments")
	}
	d := &examination{c: c}
	topology, err := knative.Load(knative.Files)
	if err != nil {
		return exitFailed, err
	}
	d.machine()
	d.data()
	if d.programs(ctx, topology) {
		d.place(ctx, topology)
	}
	if d.wrong > 0 {
		return exitFailed, nil
	}
	return exitDone, nil
}

// examination says what it finds as it goes.
type examination struct {
	c     *console
	wrong int
}

func (d *examination) good(what, format string, args ...any) {
	d.c.print(fmt.Sprintf("%s %-10s %s", d.c.out.paint(green, "ok   "), what, fmt.Sprintf(format, args...)))
}

// bad says what is wrong, and what to do.
func (d *examination) bad(what string, err error, advice string) {
	d.wrong++
	d.c.print(fmt.Sprintf("%s %-10s %s", d.c.out.paint(red, "WRONG"), what, firstLines(err.Error())))
	if advice != "" {
		d.c.print(fmt.Sprintf("      %-10s %s %s", "", d.c.out.paint(bold, "→"), advice))
	}
}

func (d *examination) machine() {
	m := local.ThisMachine()
	d.good("machine", "%s, %s of memory free", count(m.Cores, "core"), size(m.Memory))
	gpus := graphics()
	if len(gpus) == 0 {
		d.good("gpu", "none of NVIDIA's; the networks run on the processor")
		return
	}
	library := library()
	if _, err := os.Stat(filepath.Join(filepath.Dir(library), "libonnxruntime_providers_cuda.so")); err != nil {
		d.good("gpu", "%s; not used: %s is ONNX Runtime's build for processors (VEDETTE_ONNXRUNTIME names another)", strings.Join(gpus, ", "), library)
		return
	}
	d.good("gpu", "%s", strings.Join(gpus, ", "))
}

// graphics are the models of NVIDIA's GPUs in this machine, as its driver tells.
func graphics() []string {
	files, err := filepath.Glob("/proc/driver/nvidia/gpus/*/information")
	if err != nil {
		return nil
	}
	var list []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if model, ok := strings.CutPrefix(line, "Model:"); ok {
				list = append(list, strings.TrimSpace(model))
			}
		}
	}
	return list
}

// library is the ONNX Runtime that functions are told to use.
func library() string {
	path := ""
	for _, variable := range environment() {
		if value, ok := strings.CutPrefix(variable, "VEDETTE_ONNXRUNTIME="); ok {
			path = value // the last counts
		}
	}
	return path
}

// Less than this much disk is little for clips.
const littleDisk = 5 << 30

func (d *examination) data() {
	h, err := openHome(os.Getenv)
	if err != nil {
		d.bad("data", err, "set VEDETTE_DATA to a folder that can be written to")
		return
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(h.folder, &disk); err != nil {
		d.bad("data", err, "")
		return
	}
	free := int64(disk.Bavail) * disk.Bsize //nolint:gosec // blocks of a disk
	if free < littleDisk {
		d.bad("data", fmt.Errorf("%s has %s left", h.folder, size(free)), "make room, set VEDETTE_RETENTION_DAYS, or set VEDETTE_DATA to a folder on another disk")
		return
	}
	d.good("data", "%s, %s free", h.folder, size(free))
}

// programs finds the programs of the functions, and whether the libraries they are linked with are there.
func (d *examination) programs(ctx context.Context, t knative.Topology) bool {
	folder, err := programs(t)
	if err != nil {
		d.bad("programs", err, "make build")
		return false
	}
	for _, name := range names(t) {
		var said bytes.Buffer
		command := exec.CommandContext(ctx, filepath.Join(folder, name), "--help")
		command.Env, command.Stderr = environment(), &said
		if err := command.Run(); err != nil {
			d.bad("libraries", fmt.Errorf("%s does not start: %w: %s", name, err, said.String()), "scripts/setup libs, then make build")
			return false
		}
	}
	d.good("programs", "%d functions in %s", len(t.Services), folder)
	return true
}

// place starts Vedette, or finds the one that runs, and tries store and functions in it.
func (d *examination) place(ctx context.Context, t knative.Topology) {
	p, err := find(ctx, d.c, settings{})
	if err != nil {
		d.bad("store", err, "VEDETTE_S3_ENDPOINT, _ACCESS_KEY and _SECRET_KEY say where the store is; without them there is one in the data folder")
		return
	}
	defer p.close()
	if p.own == nil {
		d.good("vedette", "runs, as process %d at %s", p.PID, p.URL)
	}
	if err := p.store.Check(ctx); err != nil {
		d.bad("store", err, "")
	} else {
		d.good("store", "%s: of racing conditional writes (create, replace) exactly one won each", p.Store.Endpoint)
	}
	for _, name := range slices.Sorted(slices.Values(names(t))) {
		began := time.Now()
		if err := ready(ctx, p.URL+"/functions/"+name+"/readyz"); err != nil {
			d.bad(name, err, adviceOn(err))
			continue
		}
		d.good(name, "ready after %.2f s", time.Since(began).Seconds())
	}
}

// ready asks a function whether it is ready; it is started for that, with its models.
func ready(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		return errors.Join(errors.New(strings.TrimSpace(string(text))), err)
	}
	return err
}

func adviceOn(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(strings.ToLower(text), "onnx"):
		return "scripts/setup libs; VEDETTE_ONNXRUNTIME is the path of libonnxruntime.so"
	case strings.Contains(text, "lib"):
		return "scripts/setup libs, then make build"
	}
	return "its log is in the folder logs of the data folder"
}

func size(bytes int64) string {
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}
