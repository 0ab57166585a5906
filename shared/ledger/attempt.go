package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// How many attempts may stand open, left by crashes, before the next one runs alone in its process, and before the work
// is given up.
const (
	openToRunAlone = 2
	openToGiveUp   = 3
)

// youth is how long an attempt passes for one that is still at work, by the store's clock, before it counts towards
// giving up. It is longer than the first few pauses of a broker, which for work that kills its process are soon over, and
// longer than most work.
const youth = 20 * time.Second

// fresh is how long an attempt passes for one that is at work for sure, by the store's clock: a duplicate that comes
// meanwhile waits instead of doing the same work beside it. A crash costs as much time, once.
const fresh = 5 * time.Second

// Abandonment is the document of a step that is given up.
type Abandonment struct {
	Step   string `json:"step"`
	Reason string `json:"reason"`
}

// Alone runs f while nothing else runs in this process. The scaffold of the functions provides it.
type Alone func(ctx context.Context, f func() error) error

// Step is one step of the way of a clip: how its result is made, and what follows from it.
type Step[T any] struct {
	Work
	Alone Alone
	// Make does the work. It may be interrupted anywhere and done again by another process.
	Make func(ctx context.Context) (T, error)
	// Tail sends what follows from the committed result. It runs after every commit and again whenever the step meets its
	// result already there, so it must be safe to repeat.
	Tail func(ctx context.Context, committed T) error
	// GivenUp sends what follows when the work is given up; safe to repeat as well.
	GivenUp func(ctx context.Context, a Abandonment) error
}

// Run takes a step by the protocol of the package's doc.
func Run[T any](ctx context.Context, l *Ledger, s Step[T]) error {
	var found T
	switch err := l.Read(ctx, s.Key(), &found); {
	case err == nil:
		return s.Tail(ctx, found)
	case !errors.Is(err, ErrNotExist):
		return err
	}
	if a, err := l.Dead(ctx, s.Work); err == nil {
		return s.GivenUp(ctx, a)
	} else if !errors.Is(err, ErrNotExist) {
		return err
	}

	open, err := l.openAttempts(ctx, s.Work)
	if err != nil {
		return err
	}
	if len(open) >= openToGiveUp {
		if err := l.overlook(ctx, s.Work, open); err != nil {
			return err
		}
		a, err := l.GiveUp(ctx, s.Work, fmt.Sprintf("its process died %d times over it", len(open)))
		if err != nil {
			return err
		}
		return s.GivenUp(ctx, a)
	}

	if err := l.yield(ctx, s.Work, open); err != nil {
		return err
	}

	var committed T
	attempt := func() error {
		closeAttempt, err := l.openAttempt(ctx, s.Work)
		if err != nil {
			return err
		}
		defer closeAttempt()
		made, err := s.Make(ctx)
		if err != nil {
			return err
		}
		committed, err = Commit(ctx, l, s.Key(), made)
		return err
	}
	if len(open) >= openToRunAlone && s.Alone != nil {
		err = s.Alone(ctx, attempt)
	} else {
		err = attempt()
	}
	if err != nil {
		if !errors.Is(err, ErrNotExist) {
			return err
		}
		if done, unknown := l.Done(ctx, s.Clip, s.Run); unknown == nil && done {
			return nil // an echo: the run was finished without this, and what the work needs is gone with it
		}
		return err
	}
	return s.Tail(ctx, committed)
}

// overlook fails while one of the open attempts is so young that it may be a duplicate at work instead of a crash. Healthy
// work must not be given up for being sent too often.
func (l *Ledger) overlook(ctx context.Context, w Work, open []Entry) error {
	now, err := l.Now(ctx)
	if err != nil {
		return err
	}
	for _, attempt := range open {
		if now.Sub(attempt.Modified) < youth {
			return &undecided{w, len(open)}
		}
	}
	return nil
}

// yield fails while somebody is at the work already: what follows from it is sent by them, and by us when we come again.
func (l *Ledger) yield(ctx context.Context, w Work, open []Entry) error {
	if len(open) == 0 {
		return nil
	}
	now, err := l.Now(ctx)
	if err != nil {
		return err
	}
	for _, attempt := range open {
		if now.Sub(attempt.Modified) < fresh {
			return &underWay{w}
		}
	}
	return nil
}

// underWay says that somebody else is at the work, and that it is to be tried again later.
type underWay struct{ work Work }

func (e *underWay) Error() string { return fmt.Sprintf("somebody is at %v already", e.work) }

// Busy has the event delivered again later.
func (e *underWay) Busy() bool { return true }

// undecided says that work may or may not be under way, and is to be tried again later.
type undecided struct {
	work Work
	open int
}

func (e *undecided) Error() string {
	return fmt.Sprintf("%d attempts at %v are open, one of them not long: waiting to see whether it ends", e.open, e.work)
}

// Unavailable has the event delivered again later.
func (e *undecided) Unavailable() bool { return true }

func (l *Ledger) openAttempts(ctx context.Context, w Work) ([]Entry, error) {
	var open []Entry
	for entry, err := range l.bucket.List(ctx, w.attempts(), "") {
		if err != nil {
			return nil, fmt.Errorf("count the attempts at %v: %w", w, err)
		}
		open = append(open, entry)
	}
	return open, nil
}

// openAttempt marks an attempt as under way and returns how to close it.
func (l *Ledger) openAttempt(ctx context.Context, w Work) (func(), error) {
	key := w.attempts() + rand.Text()
	if err := l.bucket.Put(ctx, key, nil, "application/octet-stream"); err != nil {
		return nil, fmt.Errorf("open an attempt at %v: %w", w, err)
	}
	return func() {
		// The attempt is closed even when its context is cancelled: a SIGTERM is no crash. If it cannot be, it counts
		// as a crash, which costs a later attempt its company at worst.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = l.bucket.Delete(ctx, key)
	}, nil
}

// Dead returns why the work was given up; ErrNotExist if it was not.
func (l *Ledger) Dead(ctx context.Context, w Work) (Abandonment, error) {
	var a Abandonment
	return a, l.Read(ctx, w.deadKey(), &a)
}

// GiveUp puts the work among the dead. A result committed later counts all the same.
func (l *Ledger) GiveUp(ctx context.Context, w Work, reason string) (Abandonment, error) {
	return Commit(ctx, l, w.deadKey(), Abandonment{Step: w.Step, Reason: reason})
}
