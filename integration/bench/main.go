// Bench measures what Vedette costs against goals: as ratios to what the same libraries cost without Vedette, and as
// times that its users wait.
//
// It prints a table and writes bench.json. What is compared with something is measured within the same run, in turns,
// round by round, in CPU seconds by getrusage. The least of the rounds counts, on either side: whatever else the machine
// does only ever adds to it. The other sides of the comparisons are the C programs in bare/: the same libraries, the same threads,
// sampling and scaling, and nothing else. They are in C because that is the honest floor: no binding of another language
// is between them and the libraries.
//
// What its users wait for is measured on the programs in -bin, started by vedette up on a data folder of their own. That
// is time by the clock: a busy machine shows in it.
//
//	. ~/.cache/vedette/env && go run ./integration/bench [-strict] [-only decode,detect,quiet,local]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
)

// figure is a line of the table.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Goal  string  `json:"goal"` // "≤ 30"; empty for what is only told
	OK    bool    `json:"ok"`
}

// bench is one run.
type bench struct {
	rounds  int
	sample  string
	library string // of ONNX Runtime
	cache   string // where the clips are kept
	bin     string // where the programs are
	temp    string
	figures []figure
}

func main() {
	b := bench{sample: os.Getenv("VEDETTE_SAMPLE"), library: os.Getenv("VEDETTE_ONNXRUNTIME")}
	var only, out string
	var strict bool
	flag.IntVar(&b.rounds, "rounds", 5, "how often what is compared is measured")
	flag.StringVar(&b.bin, "bin", "bin", "`folder` of the programs, as make build leaves them")
	flag.StringVar(&only, "only", "", "`parts` to measure, of decode, detect, quiet and local, separated by commas")
	flag.StringVar(&out, "o", "bench.json", "`file` to write")
	flag.BoolVar(&strict, "strict", false, "end with 1 if a goal is missed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := b.run(ctx, only, out)
	stop()
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	case strict && slices.ContainsFunc(b.figures, func(f figure) bool { return !f.OK }):
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, only, out string) (err error) {
	caches, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	b.cache = filepath.Join(caches, "vedette", "bench")
	if b.temp, err = os.MkdirTemp("", "vedette-bench"); err != nil {
		return err
	}
	defer os.RemoveAll(b.temp)
	fmt.Fprintf(os.Stderr, "bench: %d cores, load %s\n", runtime.NumCPU(), load())
	for _, part := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"decode", b.decode},
		{"detect", b.detect},
		{"quiet", b.quiet},
		{"local", b.local},
	} {
		if only != "" && !slices.Contains(strings.Split(only, ","), part.name) {
			continue
		}
		if err := part.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	table(os.Stdout, b.figures)
	return write(out, b.figures)
}

// atMost and atLeast add a figure with a goal, told one without.
func (b *bench) atMost(name string, value float64, unit string, goal float64) {
	b.figures = append(b.figures, figure{name, value, unit, fmt.Sprintf("≤ %g", goal), value <= goal})
}

func (b *bench) atLeast(name string, value float64, unit string, goal float64) {
	b.figures = append(b.figures, figure{name, value, unit, fmt.Sprintf("≥ %g", goal), value >= goal})
}

func (b *bench) told(name string, value float64, unit string) {
	b.figures = append(b.figures, figure{name, value, unit, "", true})
}

func table(w io.Writer, figures []figure) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range figures {
		verdict := ""
		switch {
		case f.Goal != "" && f.OK:
			verdict = "ok"
		case f.Goal != "":
			verdict = "MISSED"
		}
		fmt.Fprintf(t, "%s\t%.4g\t%s\t%s\t%s\n", f.Name, f.Value, f.Unit, f.Goal, verdict)
	}
	t.Flush()
}

func write(file string, figures []figure) error {
	text, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// load is how busy the machine was in the last minutes.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 2 {
		return strings.Join(fields[:3], " ")
	}
	return "unknown"
}
