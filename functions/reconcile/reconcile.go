// Package reconcile makes good what was lost on the way, and removes what has had its time.
//
// In: the ticks of a clock, events that nobody could handle (dead letters), and the answers to clips. Out: whatever event
// is missing for what the ledger says is unfinished; uploads of which no notification came; for a dead letter,
// step.abandoned and what follows of the segment without it, or clip.completed with the status failed. Answered clips are
// closed, and clips that are older than they may be are erased, with all that was made of them.
//
// The ledger says what is unfinished, and the store's clock how long: no event and no other clock is believed. A tick does
// a bounded amount of work and leaves the rest to the next.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/shared/function"
	"vedette.dev/shared/join"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/store"
)

const name = "reconcile"

// Config is what the environment decides.
type Config struct {
	Overdue   time.Duration `env:"VEDETTE_OVERDUE" default:"10m" min:"10s" max:"24h" doc:"age at which unfinished work is sent again: longer than a request may take and the broker tries"`
	Retention int           `env:"VEDETTE_RETENTION_DAYS" default:"0" min:"0" max:"36500" doc:"days after which a clip and all that was made of it are erased; 0 keeps them for ever"`
	Page      int           `env:"VEDETTE_PAGE" default:"200" min:"1" max:"10000" doc:"clips looked at in one tick, of each kind: under way, uploaded, finished"`
}

// Clips is the bucket that clips are put into.
type Clips interface {
	Stat(ctx context.Context, key string) (store.Info, error) // ledger.ErrNotExist
	List(ctx context.Context, prefix, after string) iter.Seq2[ledger.Entry, error]
	Delete(ctx context.Context, key string) error
}

// Function is reconcile.
type Function struct {
	Config
	Bucket string // name of Clips
	Clips  Clips
	Ledger *ledger.Ledger
	Out    join.Emitter
	Log    *slog.Logger
}

// Handle takes a tick, an answer or a dead letter.
func (f *Function) Handle(ctx context.Context, e event.Event) error {
	switch {
	case isDead(e):
		return f.bury(ctx, e)
	case e.Type() == events.ClockTicked, e.Type() == sourceTick:
		overdue := f.Overdue
		if e.Extensions()["lost"] == "true" {
			overdue = 0
		}
		return f.tick(ctx, overdue)
	case e.Type() == events.ClipCompleted, e.Type() == events.ClipRejected:
		return f.close(ctx, e)
	default:
		// The broker says of a dead letter why it died only if somebody told it.
		return f.bury(ctx, e)
	}
}

// sourceTick is the type of what Knative's PingSource sends.
const sourceTick = "dev.knative.sources.ping"

// close ends a run that is answered: whoever answered it may have died before that.
func (f *Function) close(ctx context.Context, e event.Event) error {
	var r events.OfRun
	if err := e.DataAs(&r); err != nil {
		return function.Permanent(fmt.Errorf("data of %s: %w", e.Type(), err))
	}
	if done, err := f.Ledger.Done(ctx, r.Clip, r.Run); err != nil || done {
		return err
	}
	clip, err := f.Ledger.Clip(ctx, r.Clip)
	if errors.Is(err, ledger.ErrNotExist) {
		return nil // erased
	}
	if err != nil {
		return err
	}
	return f.Ledger.Close(ctx, clip, r.Run)
}

// patience is how long a tick goes on before it leaves the rest to the next: less than a request may take.
const patience = 2 * time.Minute

// tick looks after everything once. What fails for one clip is tried again at the next tick, and hinders no other.
func (f *Function) tick(ctx context.Context, overdue time.Duration) error {
	now, err := f.Ledger.Now(ctx)
	if err != nil {
		return err
	}
	began := time.Now() // measures this tick and is compared with nothing else
	s := &sweep{Function: f, now: now, overdue: overdue, hasTime: func() bool { return time.Since(began) < patience && ctx.Err() == nil }}
	if err := s.start(ctx); err != nil {
		return err
	}
	wrong := []error{s.resume(ctx), s.find(ctx)}
	if f.Retention > 0 {
		wrong = append(wrong, s.retain(ctx))
	}
	wrong = append(wrong, s.finish(ctx))
	return errors.Join(wrong...)
}

// sweep is one tick's look at everything.
type sweep struct {
	*Function
	now     time.Time     // by the store's clock
	overdue time.Duration // age at which work under way passes for lost
	hasTime func() bool

	places  places
	under   []ledger.Reference // runs under way
	opened  map[string]bool    // their clips
	resumed int
	found   int
	erased  int
}

// places is where the last tick left off, as the ledger keeps it.
type places struct {
	Open     ledger.Reference `json:"open"`
	Uploaded string           `json:"uploaded"` // key
	Done     ledger.Reference `json:"done"`
}

const placesKey = "reconcile/places.json"

func (s *sweep) start(ctx context.Context) error {
	err := s.Ledger.Read(ctx, placesKey, &s.places)
	if err != nil && !errors.Is(err, ledger.ErrNotExist) {
		return err
	}
	if s.under, err = s.Ledger.OpenRuns(ctx); err != nil {
		return err
	}
	s.opened = map[string]bool{}
	for _, r := range s.under {
		s.opened[r.Clip] = true
	}
	return nil
}

func (s *sweep) finish(ctx context.Context) error {
	s.Log.InfoContext(ctx, "looked after everything", "under way", len(s.under), "resumed", s.resumed, "uploads found", s.found, "erased", s.erased)
	return s.Ledger.Keep(ctx, placesKey, s.places)
}

// page returns up to a page of runs under way, from where the last tick left off, and begins again at the end.
func (s *sweep) page() []ledger.Reference {
	var page []ledger.Reference
	for _, r := range s.under {
		if r.After(s.places.Open) && len(page) < s.Page {
			page = append(page, r)
		}
	}
	return page
}

// resume sends again what is overdue of the runs under way.
func (s *sweep) resume(ctx context.Context) error {
	var wrong []error
	page := s.page()
	for _, r := range page {
		if !s.hasTime() {
			return errors.Join(wrong...)
		}
		if err := s.resumeRun(ctx, r); err != nil {
			wrong = append(wrong, fmt.Errorf("resume run %d of clip %s: %w", r.Run, r.Clip, err))
		}
		s.places.Open = r
	}
	if len(page) < s.Page {
		s.places.Open = ledger.Reference{}
	}
	return errors.Join(wrong...)
}

// eager is how often a run is resumed in vain before it is left in peace for longer, twice as long each time.
const eager = 3

func (s *sweep) resumeRun(ctx context.Context, r ledger.Reference) error {
	if s.now.Sub(r.Since) < s.overdue {
		return nil
	}
	if done, err := s.Ledger.Done(ctx, r.Clip, r.Run); err != nil || done {
		if err == nil {
			err = s.Ledger.Close(ctx, ledger.Clip{ID: r.Clip, Day: r.Day}, r.Run)
		}
		return err
	}
	times, err := s.Ledger.Resumptions(ctx, r)
	if err != nil {
		return err
	}
	if s.now.Sub(r.Since) < s.overdue<<min(max(times-eager, 0), eager) {
		return nil
	}
	sent, err := join.Resume(ctx, s.Ledger, s.Out, name, r, s.limit())
	if errors.Is(err, ledger.ErrNotExist) {
		if at, unknown := s.Ledger.Admitted(ctx, r.Clip); unknown == nil && at.IsZero() {
			return s.Ledger.Erase(ctx, r.Clip) // an erasure that was cut short
		}
	}
	if err != nil || !sent {
		return err
	}
	s.resumed++
	s.Log.WarnContext(ctx, "a clip stood still: what is missing was sent again", "clip", r.Clip, "run", r.Run, "time", times+1)
	return s.Ledger.Resumed(ctx, r, times+1)
}

// limit is when what passes for lost must have been caused.
func (s *sweep) limit() time.Time {
	if s.overdue == 0 {
		return s.now.Add(time.Second) // just now as well: a store may cut times to seconds
	}
	return s.now.Add(-s.overdue)
}

// find tells of uploads that the ledger does not know: their notifications got lost.
func (s *sweep) find(ctx context.Context) error {
	looked := 0
	for entry, err := range s.Clips.List(ctx, "", s.places.Uploaded) {
		if err != nil {
			return err
		}
		if looked == s.Page || !s.hasTime() {
			return nil
		}
		looked++
		if err := s.findUpload(ctx, entry); err != nil {
			return err
		}
		s.places.Uploaded = entry.Key
	}
	s.places.Uploaded = ""
	return nil
}

func (s *sweep) findUpload(ctx context.Context, entry ledger.Entry) error {
	if strings.HasSuffix(entry.Key, "/") || s.now.Sub(entry.Modified) < s.Overdue {
		return nil // a folder; or its notification may be on its way
	}
	id := ledger.ClipID(s.Bucket, entry.Key, entry.ETag)
	if s.opened[id] {
		return nil
	}
	if done, err := s.Ledger.Done(ctx, id, 1); err != nil || done {
		return err
	}
	s.found++
	s.Log.WarnContext(ctx, "an upload of which nobody told", "bucket", s.Bucket, "key", entry.Key)
	return s.Out.Emit(ctx, events.Stored{
		Bucket: s.Bucket, Key: entry.Key, ETag: entry.ETag, Size: entry.Size, At: entry.Modified,
	}.Event(name))
}

// retain erases clips that are older than they may be, finished or not. The tombstones stay.
func (s *sweep) retain(ctx context.Context) error {
	done, err := s.Ledger.DonePage(ctx, s.places.Done, s.Page)
	if err != nil {
		return err
	}
	for _, r := range done {
		if !s.hasTime() {
			return nil
		}
		if err := s.retainClip(ctx, r.Clip); err != nil {
			return err
		}
		s.places.Done = r
	}
	if len(done) < s.Page {
		s.places.Done = ledger.Reference{}
	}
	for _, r := range s.under {
		if !s.hasTime() {
			return nil
		}
		if day, err := time.Parse(time.DateOnly, r.Day); err == nil && s.now.Sub(day) < s.keep() {
			break // they are in the order of their days
		}
		if err := s.retainClip(ctx, r.Clip); err != nil {
			return err
		}
	}
	return nil
}

func (s *sweep) keep() time.Duration { return time.Duration(s.Retention) * 24 * time.Hour }

func (s *sweep) retainClip(ctx context.Context, id string) error {
	admitted, err := s.Ledger.Admitted(ctx, id)
	if err != nil || admitted.IsZero() || s.now.Sub(admitted) < s.keep() {
		return err
	}
	clip, err := s.Ledger.Clip(ctx, id)
	if err != nil {
		return err
	}
	if o := clip.Origin; o.Bucket == s.Bucket {
		switch now, err := s.Clips.Stat(ctx, o.Key); {
		case errors.Is(err, ledger.ErrNotExist):
		case err != nil:
			return err
		case now.ETag == o.ETag: // and not something newer at the same place
			if err := s.Clips.Delete(ctx, o.Key); err != nil {
				return err
			}
		}
	}
	if err := s.Ledger.Erase(ctx, id); err != nil {
		return err
	}
	s.erased++
	s.Log.InfoContext(ctx, "erased a clip: it was kept as long as it may be", "clip", id, "days", s.Retention)
	return nil
}
