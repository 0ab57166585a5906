// Command accuracy measures how well Vedette sees: it films scenes of which it knows who is in them, sends them through the
// functions split, decode, detect and assemble as they are, and compares the report with what is true.
//
// The scenes are made at run time, out of package footage: people cut out of the part of Debian's vtest.avi that no network was
// calibrated on, who walk through its empty place, cut and lit anew, under a camera's noise; its parked cars, which drive; faces of the photos in
// an npm package (so faces need npm). It prints a table and writes accuracy.json; the exit status is 1 if a goal is missed.
//
// With files as arguments it shows instead what is found in them, and writes pictures of that into a folder.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"vedette.dev/functions/detect/native"
	"vedette.dev/shared/function"
)

func main() {
	ok, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run() (ok bool, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	out := flag.String("out", "accuracy.json", "file for the figures")
	only := flag.String("only", "gate,empty,cars,persons,faces", "what to measure")
	scale := flag.Float64("scale", 1, "how much is filmed")
	seed := flag.Uint64("seed", 20261122, "another one makes other scenes")
	draw := flag.String("draw", "", "folder for pictures of what is found in the files given")
	flag.Parse()

	m := &measurement{scale: *scale, seed: *seed, progress: func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "accuracy: "+format+"\n", args...)
	}}
	for _, c := range []any{&m.split, &m.decode, &m.detect} {
		if err := function.Parse(c, os.LookupEnv); err != nil {
			return false, err
		}
	}
	networks, err := native.Load(m.detect, quietly{})
	if err != nil {
		return false, fmt.Errorf("%w (source the environment that scripts/setup wrote)", err)
	}
	m.networks = &networks
	if flag.NArg() > 0 {
		return true, m.look(ctx, flag.Args(), *draw)
	}

	sample := os.Getenv("VEDETTE_SAMPLE")
	if sample == "" {
		return false, fmt.Errorf("VEDETTE_SAMPLE is not set: run scripts/setup, and source the environment that it wrote")
	}
	if m.footage, err = readFootage(ctx, sample); err != nil {
		return false, err
	}
	rows, err := m.all(ctx, strings.Split(*only, ","))
	if err != nil {
		return false, err
	}
	body, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return false, err
	}
	if err := os.WriteFile(*out, append(body, '\n'), 0o644); err != nil {
		return false, err
	}
	return table(rows), nil
}

// all runs the suites that are asked for.
func (m *measurement) all(ctx context.Context, only []string) ([]row, error) {
	if slices.Contains(only, "faces") {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		if m.portraits, err = fetchPortraits(ctx, filepath.Join(cache, "vedette", "accuracy")); err != nil {
			return nil, err
		}
	}
	var rows []row
	for _, suite := range []struct {
		name string
		run  func(context.Context) ([]row, error)
	}{
		{"gate", m.gate}, {"empty", m.empties}, {"cars", m.cars}, {"persons", m.persons}, {"faces", m.faces},
	} {
		if !slices.Contains(only, suite.name) {
			continue
		}
		more, err := suite.run(ctx)
		if err != nil {
			return rows, err
		}
		rows = append(rows, more...)
	}
	if m.spent.quietCPU > 0 {
		rows = append(rows, just("quiet by packets: seconds of video a second of processor", m.spent.quietSeconds/m.spent.quietCPU, "x"))
	}
	if m.spent.frames > 0 {
		rows = append(rows, just("detect: processor time a sampled frame", 1000*m.spent.detectCPU/float64(m.spent.frames), "ms"))
	}
	return rows, nil
}

// table prints the figures, and says whether every goal is met.
func table(rows []row) bool {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	all := true
	for _, r := range rows {
		verdict := ""
		if r.Goal != "" {
			verdict = "ok"
		}
		if !r.OK {
			verdict, all = "MISSED", false
		}
		fmt.Fprintf(w, "%s\t%.4g\t%s\t%s\t%s\n", r.Name, r.Value, r.Unit, r.Goal, verdict)
	}
	w.Flush()
	return all
}
