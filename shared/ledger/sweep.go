package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// What a sweep needs: the store's clock, how long what has been going on, and how a clip goes for good. Times are all the
// store's, so that no decision compares two clocks.

const clock = "clock"

// Now is the time by the store's clock, as it stamps what is written.
func (l *Ledger) Now(ctx context.Context) (time.Time, error) {
	if err := l.bucket.Put(ctx, clock, nil, "application/octet-stream"); err != nil {
		return time.Time{}, fmt.Errorf("ask the store for the time: %w", err)
	}
	return l.written(ctx, clock)
}

// written is when an object was written, by the store's clock; the zero time if it is not there.
func (l *Ledger) written(ctx context.Context, key string) (time.Time, error) {
	for entry, err := range l.bucket.List(ctx, key, "") {
		if err != nil {
			return time.Time{}, err
		}
		if entry.Key == key {
			return entry.Modified, nil
		}
		break
	}
	return time.Time{}, nil
}

// Admitted is when a clip was admitted, by the store's clock; the zero time if nothing is known of it.
func (l *Ledger) Admitted(ctx context.Context, id string) (time.Time, error) {
	return l.written(ctx, path.Join(id, clipRecord))
}

// Resumptions is how often a run under way was resumed.
func (l *Ledger) Resumptions(ctx context.Context, r Reference) (int, error) {
	b, err := l.bucket.Get(ctx, r.openKey())
	if err != nil || len(b) == 0 {
		return 0, err
	}
	return strconv.Atoi(string(b))
}

// Resumed notes that a run under way was resumed for the nth time. From now on it is as if it had just been opened.
func (l *Ledger) Resumed(ctx context.Context, r Reference, n int) error {
	if err := l.bucket.Put(ctx, r.openKey(), []byte(strconv.Itoa(n)), "text/plain"); err != nil {
		return fmt.Errorf("note that run %d of clip %s was resumed: %w", r.Run, r.Clip, err)
	}
	done, err := l.Done(ctx, r.Clip, r.Run)
	if err != nil || !done {
		return err
	}
	return l.bucket.Delete(ctx, r.openKey()) // it was closed meanwhile
}

func (r Reference) openKey() string { return openKey(Clip{ID: r.Clip, Day: r.Day}, r.Run) }

// Attempts lists the work of a run that is being attempted, by attempts opened after a time of the store's clock.
func (l *Ledger) Attempts(ctx context.Context, clip string, run int, after time.Time) (map[Work]bool, error) {
	under := map[Work]bool{}
	prefix := attemptsOf(clip, run)
	for entry, err := range l.bucket.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list the attempts at run %d of clip %s: %w", run, clip, err)
		}
		parts := strings.Split(strings.TrimPrefix(entry.Key, prefix), "/")
		if len(parts) != 3 || !entry.Modified.After(after) {
			continue
		}
		segment, err := strconv.Atoi(parts[0])
		if err != nil {
			segment = Whole
		}
		under[Work{clip, run, segment, parts[1]}] = true
	}
	return under, nil
}

// After reports whether a reference comes after another in the order in which they are listed.
func (r Reference) After(other Reference) bool {
	if r.Day != other.Day {
		return r.Day > other.Day
	}
	return name(r.Clip, r.Run) > name(other.Clip, other.Run)
}

// Keep writes a document that is not a result, over what was there.
func (l *Ledger) Keep(ctx context.Context, key string, doc any) error {
	b, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("keep %s: %w", key, err)
	}
	return l.Place(ctx, key, "application/json", b)
}

// DonePage lists up to limit of the finished runs, from the first after one; the zero Reference comes before all.
func (l *Ledger) DonePage(ctx context.Context, after Reference, limit int) ([]Reference, error) {
	key := ""
	if after.Clip != "" {
		key = doneKey(after.Clip, after.Run)
	}
	return l.markers(ctx, "done/", key, limit)
}

// Erase removes all that is known of a clip, and leaves tombstones, so that it is not made again. The record of the clip
// goes last: an erasure that is cut short can be repeated.
func (l *Ledger) Erase(ctx context.Context, id string) error {
	open, err := l.OpenRuns(ctx)
	if err != nil {
		return err
	}
	ended := []Reference{{Clip: id, Run: 1}}
	for _, r := range open {
		if r.Clip == id {
			ended = append(ended, r)
		}
	}
	for _, r := range ended {
		err := l.bucket.Create(ctx, doneKey(r.Clip, r.Run), nil, "application/octet-stream")
		if err != nil && !errors.Is(err, ErrExists) {
			return fmt.Errorf("erase clip %s: %w", id, err)
		}
		if r.Day == "" {
			continue
		}
		if err := l.bucket.Delete(ctx, r.openKey()); err != nil {
			return fmt.Errorf("erase clip %s: %w", id, err)
		}
	}
	record := path.Join(id, clipRecord)
	for _, prefix := range []string{"attempts/" + id + "/", id + "/"} {
		for entry, err := range l.bucket.List(ctx, prefix, "") {
			if err == nil && entry.Key != record {
				err = l.bucket.Delete(ctx, entry.Key)
			}
			if err != nil {
				return fmt.Errorf("erase clip %s: %w", id, err)
			}
		}
	}
	if err := l.bucket.Delete(ctx, record); err != nil {
		return fmt.Errorf("erase clip %s: %w", id, err)
	}
	return nil
}
