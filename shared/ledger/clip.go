package ledger

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"vedette.dev/shared/findings"
)

const clipRecord = "clip.json"

// Part is the work of making one part of a plan.
func Part(clip string, run, part int) Work {
	return Work{Clip: clip, Run: run, Segment: Whole, Step: fmt.Sprintf("%s%05d", planPart, part)}
}

const planPart = "plan-"

// RunKey is where something of a whole run stands, such as its report.
func RunKey(clip string, run int, name string) string { return runKey(clip, run, name) }

// Segment finds a segment in the plan of a run, with the part it stands in; ErrNotExist if it is not planned (yet).
func (l *Ledger) Segment(ctx context.Context, clip string, run, segment int) (Plan, Segment, error) {
	for part := 0; ; part++ {
		var p Plan
		if err := l.Read(ctx, Part(clip, run, part).Key(), &p); err != nil {
			return p, Segment{}, err
		}
		if i := segment - p.First; i >= 0 && i < len(p.Segments) {
			return p, p.Segments[i], nil
		}
		if p.Last {
			return p, Segment{}, fmt.Errorf("segment %d of clip %s: %w", segment, clip, ErrNotExist)
		}
	}
}

// Admit writes down who a clip is, and returns what is written, by whoever came first.
func (l *Ledger) Admit(ctx context.Context, c Clip) (Clip, error) {
	return Commit(ctx, l, path.Join(c.ID, clipRecord), c)
}

// Clip reads who a clip is.
func (l *Ledger) Clip(ctx context.Context, id string) (Clip, error) {
	var c Clip
	return c, l.Read(ctx, path.Join(id, clipRecord), &c)
}

func openKey(c Clip, run int) string    { return path.Join("open", c.Day, name(c.ID, run)) }
func doneKey(id string, run int) string { return path.Join("done", name(id, run)) }
func name(id string, run int) string    { return id + "-" + strconv.Itoa(run) }

// Open marks a run as under way. It says false, and marks nothing, if the run is finished already.
func (l *Ledger) Open(ctx context.Context, c Clip, run int) (bool, error) {
	done, err := l.Done(ctx, c.ID, run)
	if err != nil || done {
		return false, err
	}
	if err := l.bucket.Put(ctx, openKey(c, run), nil, "application/octet-stream"); err != nil {
		return false, fmt.Errorf("open run %d of clip %s: %w", run, c.ID, err)
	}
	return true, nil
}

// Close marks a run as finished: first the tombstone, so that absence never means unfinished.
func (l *Ledger) Close(ctx context.Context, c Clip, run int) error {
	if err := l.bucket.Put(ctx, doneKey(c.ID, run), nil, "application/octet-stream"); err != nil {
		return fmt.Errorf("close run %d of clip %s: %w", run, c.ID, err)
	}
	if err := l.bucket.Delete(ctx, openKey(c, run)); err != nil {
		return fmt.Errorf("close run %d of clip %s: %w", run, c.ID, err)
	}
	return nil
}

// Done reports whether a run is finished.
func (l *Ledger) Done(ctx context.Context, id string, run int) (bool, error) {
	_, err := l.bucket.Get(ctx, doneKey(id, run))
	if errors.Is(err, ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Reference is a run of a clip as the markers name it.
type Reference struct {
	Clip string
	Run  int
	Day  string // of an open one
}

// OpenRuns lists the runs under way, oldest day first.
func (l *Ledger) OpenRuns(ctx context.Context) ([]Reference, error) { return l.markers(ctx, "open/") }

// DoneRuns lists the finished runs of a clip, or of all for "".
func (l *Ledger) DoneRuns(ctx context.Context, clip string) ([]Reference, error) {
	prefix := "done/"
	if clip != "" {
		prefix += clip + "-"
	}
	return l.markers(ctx, prefix)
}

func (l *Ledger) markers(ctx context.Context, prefix string) ([]Reference, error) {
	var refs []Reference
	for entry, err := range l.bucket.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", prefix, err)
		}
		key := entry.Key
		id, number, ok := strings.Cut(path.Base(key), "-")
		run, err := strconv.Atoi(number)
		if !ok || err != nil {
			return nil, fmt.Errorf("%s does not belong into the ledger: remove it", key)
		}
		r := Reference{Clip: id, Run: run}
		if day := path.Dir(key); strings.HasPrefix(day, "open/") {
			r.Day = path.Base(day)
		}
		refs = append(refs, r)
	}
	return refs, nil
}

// Replay opens a new run of a clip and returns its number.
func (l *Ledger) Replay(ctx context.Context, id string) (int, error) {
	c, err := l.Clip(ctx, id)
	if err != nil {
		return 0, err
	}
	for run := 2; ; run++ {
		err := l.bucket.Create(ctx, runKey(id, run, "run.json"), []byte("{}\n"), "application/json")
		if errors.Is(err, ErrExists) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("replay clip %s: %w", id, err)
		}
		_, err = l.Open(ctx, c, run)
		return run, err
	}
}

// Report reads the answer to a run as far as it is there: completed or rejected, else analyzed; else ErrNotExist.
func (l *Ledger) Report(ctx context.Context, clip string, run int) (findings.Report, error) {
	var r findings.Report
	var err error
	for _, status := range []string{findings.StatusCompleted, findings.StatusRejected, findings.StatusAnalyzed} {
		if err = l.Read(ctx, runKey(clip, run, status+".json"), &r); !errors.Is(err, ErrNotExist) {
			return r, err
		}
	}
	return r, err
}
