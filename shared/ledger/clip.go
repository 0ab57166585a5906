package ledger

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"vedette.dev/shared/findings"
)

const clipRecord = "clip.json"

// RunKey is where something of a whole run stands, such as its report.
func RunKey(clip string, run int, name string) string { return runKey(clip, run, name) }

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

// Open marks a run as under way. It says false, and leaves no mark, if the run is finished already.
func (l *Ledger) Open(ctx context.Context, c Clip, run int) (bool, error) {
	done, err := l.Done(ctx, c.ID, run)
	if err != nil || done {
		return false, err
	}
	if err := l.bucket.Create(ctx, openKey(c, run), nil, "application/octet-stream"); err != nil && !errors.Is(err, ErrExists) {
		return false, fmt.Errorf("open run %d of clip %s: %w", run, c.ID, err)
	}
	// It may have been finished just now: then the mark came after Close had removed it.
	if done, err = l.Done(ctx, c.ID, run); err != nil || !done {
		return err == nil, err
	}
	if err := l.bucket.Delete(ctx, openKey(c, run)); err != nil {
		return false, fmt.Errorf("open run %d of clip %s: %w", run, c.ID, err)
	}
	return false, nil
}

// Close marks a run as finished: first the tombstone, so that absence never means unfinished. Before that goes what only
// work under way needs: what crashes left of attempts, and staged frames.
func (l *Ledger) Close(ctx context.Context, c Clip, run int) error {
	err := errors.Join(l.unstage(ctx, c.ID, run), l.remove(ctx, attemptsOf(c.ID, run)))
	if err == nil {
		err = l.bucket.Put(ctx, doneKey(c.ID, run), nil, "application/octet-stream")
	}
	if err == nil {
		err = l.bucket.Delete(ctx, openKey(c, run))
	}
	if err != nil {
		return fmt.Errorf("close run %d of clip %s: %w", run, c.ID, err)
	}
	return nil
}

// unstage removes the staged frames of a run. Another run of the clip may have the same ones: as long as one is under
// way they stay, and go with that.
func (l *Ledger) unstage(ctx context.Context, clip string, run int) error {
	open, err := l.OpenRuns(ctx)
	if err != nil {
		return err
	}
	for _, r := range open {
		if r.Clip == clip && r.Run != run {
			return nil
		}
	}
	runs, err := l.DoneRuns(ctx, clip)
	if err != nil {
		return err
	}
	for _, r := range append(runs, Reference{Clip: clip, Run: run}) {
		prefix := runKey(clip, r.Run, segments) + "/"
		for entry, err := range l.bucket.List(ctx, prefix, "") {
			if err != nil {
				return err
			}
			if path.Base(entry.Key) != findings.Decode+".json" {
				continue
			}
			var d findings.Decoded
			if err := l.Read(ctx, entry.Key, &d); err != nil {
				return err
			}
			if d.Staged == nil {
				continue
			}
			if err := l.bucket.Delete(ctx, d.Staged.Key); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove deletes everything under a prefix.
func (l *Ledger) remove(ctx context.Context, prefix string) error {
	for entry, err := range l.bucket.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		if err := l.bucket.Delete(ctx, entry.Key); err != nil {
			return err
		}
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
	Clip  string
	Run   int
	Day   string    // of an open one
	Since time.Time // when it was opened or last resumed, or closed; by the store's clock
}

// OpenRuns lists the runs under way, oldest day first.
func (l *Ledger) OpenRuns(ctx context.Context) ([]Reference, error) {
	return l.markers(ctx, "open/", "", 0)
}

// DoneRuns lists the finished runs of a clip, or of all for "".
func (l *Ledger) DoneRuns(ctx context.Context, clip string) ([]Reference, error) {
	prefix := "done/"
	if clip != "" {
		prefix += clip + "-"
	}
	return l.markers(ctx, prefix, "", 0)
}

// markers lists markers, up to limit of them (0: all).
func (l *Ledger) markers(ctx context.Context, prefix, after string, limit int) ([]Reference, error) {
	var refs []Reference
	for entry, err := range l.bucket.List(ctx, prefix, after) {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", prefix, err)
		}
		key := entry.Key
		id, number, ok := strings.Cut(path.Base(key), "-")
		run, err := strconv.Atoi(number)
		if !ok || err != nil {
			return nil, fmt.Errorf("%s does not belong into the ledger: remove it", key)
		}
		r := Reference{Clip: id, Run: run, Since: entry.Modified}
		if day := path.Dir(key); strings.HasPrefix(day, "open/") {
			r.Day = path.Base(day)
		}
		refs = append(refs, r)
		if len(refs) == limit {
			break
		}
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

// answers are the answers to a run, the last one first.
func answers() []string {
	return []string{findings.StatusCompleted, findings.StatusRejected, findings.StatusAnalyzed}
}

// Report reads the answer to a run as far as it is there: completed or rejected, else analyzed; else ErrNotExist.
func (l *Ledger) Report(ctx context.Context, clip string, run int) (findings.Report, error) {
	var r findings.Report
	var err error
	for _, status := range answers() {
		if err = l.Read(ctx, runKey(clip, run, status+".json"), &r); !errors.Is(err, ErrNotExist) {
			return r, err
		}
	}
	return r, err
}
