package function

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestGateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2)
		var inside, most atomic.Int32
		began := time.Now()
		done := make(chan bool)
		for range 6 {
			go func() {
				_, place, err := g.enter(t.Context())
				if err != nil {
					t.Error(err)
				}
				if n := inside.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(time.Second)
				inside.Add(-1)
				place.leave()
				done <- true
			}()
		}
		for range 6 {
			<-done
		}
		if most.Load() != 2 || time.Since(began) != 3*time.Second {
			t.Errorf("%d at a time, %v in all; want 2 and 3s", most.Load(), time.Since(began))
		}
	})
}

func TestGateWaitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		_, first, _ := g.enter(t.Context())
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errTimeout)
		defer cancel()
		_, second, err := g.enter(ctx)
		if !errors.Is(err, errTimeout) {
			t.Errorf("%v, want %v", err, errTimeout)
		}
		second.leave() // has no place: must not give up the first one's
		if g.inside != 1 {
			t.Errorf("%d inside, want 1", g.inside)
		}
		first.leave()
		if _, _, err := g.enter(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Two requests that both want to be alone, among others that do not: each is, nobody waits for ever, and nobody who comes
// later overtakes them.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(0)
		var inside, alone atomic.Int32
		request := func(work time.Duration, wantsAlone bool) {
			ctx, place, err := g.enter(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer place.leave()
			if !wantsAlone {
				inside.Add(1)
				defer inside.Add(-1)
				if alone.Load() != 0 {
					t.Error("came in beside one that is alone")
				}
				time.Sleep(work)
				return
			}
			err = g.only(ctx, func() error {
				if inside.Load() != 0 || alone.Add(1) != 1 {
					t.Error("not alone")
				}
				time.Sleep(work)
				alone.Add(-1)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		var finished atomic.Int32
		launch := func(work time.Duration, wantsAlone bool) {
			go func() { request(work, wantsAlone); finished.Add(1) }()
			synctest.Wait()
		}
		launch(time.Second, false)
		launch(time.Second, true)
		launch(time.Second, true)
		launch(time.Second, false) // after those two
		began := time.Now()
		time.Sleep(2500 * time.Millisecond)
		if got := finished.Load(); got != 2 {
			t.Errorf("%d finished after %v, want 2", got, time.Since(began))
		}
		time.Sleep(2 * time.Second)
		if got := finished.Load(); got != 4 {
			t.Errorf("%d finished after %v, want 4", got, time.Since(began))
		}
		if g.inside != 0 || g.alone || g.waiting != 0 {
			t.Errorf("left behind: %d inside, alone %v, %d waiting", g.inside, g.alone, g.waiting)
		}
	})
}

func TestAloneGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(0)
		_, other, _ := g.enter(t.Context())
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ctx, place, _ := g.enter(short)
		err := g.only(ctx, func() error { t.Error("ran beside another"); return nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want a time-out", err)
		}
		place.leave()
		other.leave()
		if g.inside != 0 || g.waiting != 0 {
			t.Errorf("left behind: %d inside, %d waiting", g.inside, g.waiting)
		}
	})
}

func TestAlonePanics(t *testing.T) {
	g := newGate(0)
	ctx, place, _ := g.enter(t.Context())
	func() {
		defer func() { _ = recover() }()
		_ = g.only(ctx, func() error { panic("boom") })
	}()
	place.leave()
	if g.alone || g.inside != 0 {
		t.Errorf("left behind: %d inside, alone %v", g.inside, g.alone)
	}
}
