package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
)

// table is a report for people.
func table(c *console, name string, r findings.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s  %s", c.out.paint(bold, name), c.out.paint(colourOf(r.Status), r.Status))
	if r.Reason != "" {
		fmt.Fprintf(&b, " (%s)", r.Reason)
	}
	active := 0
	for _, s := range r.Segments {
		if s.Active {
			active++
		}
	}
	fmt.Fprintf(&b, "\n%s of %dx%d, %s, %d of them active", clock(r.Duration), r.Width, r.Height, count(len(r.Segments), "segment"), active)
	if r.Source.Camera != "" {
		fmt.Fprintf(&b, ", camera %s", r.Source.Camera)
	}
	fmt.Fprintf(&b, "\ntaken %s ± %v, as known by %s\n\n", r.Source.Captured.Format(time.RFC3339),
		time.Duration(r.Source.SureS*float64(time.Second)).Round(time.Second), r.Source.By)
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	if len(r.Tracks) == 0 {
		fmt.Fprintln(w, "nobody")
	} else {
		fmt.Fprintln(w, "track\tobject\tfrom\tto\tface")
	}
	for _, t := range r.Tracks {
		face := "not seen"
		if t.Face != nil {
			face = fmt.Sprintf("%d px wide, score %.2f", t.Face.Width, t.Face.Score)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", t.ID, t.Object, clock(t.Start), clock(t.End), face)
	}
	if len(r.Steps) > 0 {
		fmt.Fprintln(w, "\nstep\truns\tcpu\twall\t")
		for _, step := range slices.SortedFunc(maps.Keys(r.Steps), byWay) {
			e := r.Steps[step]
			fmt.Fprintf(w, "%s\t%d\t%.2f s\t%.2f s\t\n", step, e.Runs, e.CPUSeconds, e.Seconds)
		}
	}
	_ = w.Flush() // a Builder takes everything
	return strings.TrimRight(b.String(), "\n")
}

func colourOf(status string) string {
	switch status {
	case findings.StatusCompleted:
		return green
	case findings.StatusRejected, findings.StatusFailed:
		return red
	}
	return yellow
}

// byWay orders steps by the way of a clip.
func byWay(a, b string) int {
	way := []string{"ingest", findings.Split, findings.Decode, findings.Detect, findings.Encode, findings.Assemble}
	if i, j := slices.Index(way, a), slices.Index(way, b); i >= 0 && j >= 0 {
		return i - j
	}
	return strings.Compare(a, b)
}

// folders gives each clip a folder of its own.
type folders map[string]int

// unique is the file's stem, and a number behind it if that was taken.
func (f folders) unique(name string) string {
	stem := strings.TrimSuffix(name, path.Ext(name))
	if stem == "" {
		stem = name
	}
	f[stem]++
	if n := f[stem]; n > 1 {
		return fmt.Sprintf("%s-%d", stem, n)
	}
	return stem
}

// write writes what was found into a folder: report.json, and what it refers to.
func (s *session) write(ctx context.Context, c *clip, name string) error {
	folder := filepath.Join(s.order.out, name)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	text, err := json.MarshalIndent(c.report, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "report.json"), append(text, '\n'), 0o600); err != nil {
		return err
	}
	for name, key := range parts(c.report) {
		if err := s.fetch(ctx, key, filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("%s of %s: %w", name, c.name, err)
		}
	}
	s.c.say("%s  results are in %s", c.name, folder)
	return nil
}

// parts are the objects of the ledger that a report refers to, by the names that people have for them.
func parts(r findings.Report) map[string]string {
	list := map[string]string{}
	add := func(name, key string) {
		if key != "" {
			list[name+path.Ext(key)] = key
		}
	}
	for _, t := range r.Tracks {
		add(fmt.Sprintf("tracks/%d", t.ID), t.Crop)
		if t.Face != nil {
			add(fmt.Sprintf("tracks/%d-face", t.ID), t.Face.Crop)
		}
	}
	if m := r.Media; m != nil {
		add("annotated", m.Annotated)
		add("findings", m.Findings)
		for i, key := range m.Thumbnails {
			add(fmt.Sprintf("thumbnails/%d", i+1), key)
		}
	}
	return list
}

func (s *session) fetch(ctx context.Context, key, file string) error {
	p, _ := s.current()
	return p.fetch(ctx, key, file)
}

// fetch copies an object of the ledger into a file.
func (p *place) fetch(ctx context.Context, key, file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	object, err := p.store.Ledger().Open(ctx, key, "")
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return errors.Join(err, object.Close())
	}
	_, err = f.ReadFrom(newSection(object))
	return errors.Join(err, f.Close(), object.Close())
}

// clips lists the clips that are known.
func clips(ctx context.Context, c *console, args []string) (int, error) {
	f := newOptions(c, "clips", "[options]", "Lists the clips that are known, latest first.")
	asJSON := f.Bool("json", false, "print each clip as a line of JSON")
	if rest, err := f.parse(args); err != nil || len(rest) > 0 {
		return f.misusedOr(err, "clips takes no arguments")
	}
	p, err := find(ctx, c, settings{look: true})
	if err != nil {
		return exitFailed, err
	}
	defer p.close()
	list, err := known(ctx, p.ledger)
	if err != nil {
		return exitFailed, err
	}
	if *asJSON {
		for _, k := range list {
			line, err := json.Marshal(k)
			if err != nil {
				return exitFailed, err
			}
			c.print(string(line))
		}
		return exitDone, nil
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "id\tclip\tcamera\ttaken\trun\tstatus")
	for _, k := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", k.ID, shortName(k.Key), k.Camera, k.Captured.Format(time.RFC3339), k.Run, k.Status)
	}
	_ = w.Flush() // a Builder takes everything
	c.print(strings.TrimRight(b.String(), "\n"))
	return exitDone, nil
}

// knownClip is a clip in the list of those that are known, with its last run.
type knownClip struct {
	ID       string    `json:"id"`
	Key      string    `json:"key"`
	Camera   string    `json:"camera,omitempty"`
	Captured time.Time `json:"captured"`
	Run      int       `json:"run"`
	Status   string    `json:"status"`
}

func known(ctx context.Context, l *ledger.Ledger) ([]knownClip, error) {
	open, err := l.OpenRuns(ctx)
	if err != nil {
		return nil, err
	}
	done, err := l.DoneRuns(ctx, "")
	if err != nil {
		return nil, err
	}
	last := map[string]int{}
	for _, r := range append(open, done...) {
		last[r.Clip] = max(last[r.Clip], r.Run)
	}
	var list []knownClip
	for id, run := range last {
		record, err := l.Clip(ctx, id)
		if errors.Is(err, ledger.ErrNotExist) {
			continue // it was removed
		}
		if err != nil {
			return nil, err
		}
		k := knownClip{ID: id, Key: record.Origin.Key, Camera: record.Origin.Camera, Captured: record.Origin.Captured, Run: run, Status: "under way"}
		switch r, err := l.Report(ctx, id, run); {
		case err == nil:
			k.Status = r.Status
		case !errors.Is(err, ledger.ErrNotExist):
			return nil, err
		}
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b knownClip) int {
		if order := b.Captured.Compare(a.Captured); order != 0 {
			return order
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, nil
}

// one finds the clip whose id begins so.
func one(ctx context.Context, l *ledger.Ledger, begins string) (knownClip, error) {
	list, err := known(ctx, l)
	if err != nil {
		return knownClip{}, err
	}
	list = slices.DeleteFunc(list, func(k knownClip) bool { return !strings.HasPrefix(k.ID, begins) })
	if len(list) != 1 {
		return knownClip{}, fmt.Errorf("%s fits an id with %q; `vedette clips` lists them", count(len(list), "clip"), begins)
	}
	return list[0], nil
}

// report prints the report of a clip.
func report(ctx context.Context, c *console, args []string) (int, error) {
	f := newOptions(c, "report", "ID [options]", "Prints the report of a clip; the beginning of its id will do.")
	asJSON := f.Bool("json", false, "print it as a line of JSON")
	run := f.Int("run", 0, "`number` of the run; the last one if not given")
	ids, err := f.parse(args)
	if err != nil || len(ids) != 1 {
		return f.misusedOr(err, "report needs the id of one clip")
	}
	p, err := find(ctx, c, settings{look: true})
	if err != nil {
		return exitFailed, err
	}
	defer p.close()
	clip, err := one(ctx, p.ledger, ids[0])
	if err != nil {
		return exitFailed, err
	}
	if *run == 0 {
		*run = clip.Run
	}
	r, err := p.ledger.Report(ctx, clip.ID, *run)
	if errors.Is(err, ledger.ErrNotExist) {
		return exitFailed, fmt.Errorf("run %d of clip %s has no report (yet)", *run, clip.ID)
	}
	if err != nil {
		return exitFailed, err
	}
	if *asJSON {
		line, err := json.Marshal(r)
		if err != nil {
			return exitFailed, err
		}
		c.print(string(line))
		return exitDone, nil
	}
	c.print(table(c, shortName(clip.Key), r))
	return exitDone, nil
}
