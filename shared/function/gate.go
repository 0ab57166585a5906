package function

import (
	"context"
	"fmt"
	"sync"
)

// gate lets requests in: many at a time up to a limit, or one alone. Whoever wants to be alone comes before those who
// arrive later, so that it is not starved. Unlike sync.RWMutex waiting ends with the context.
type gate struct {
	limit int // 0: none

	mu      sync.Mutex
	inside  int           // requests inside, sharing
	alone   bool          // one is inside alone
	waiting int           // those who want to be alone
	changed chan struct{} // closed when any of these changed
}

func newGate(limit int) *gate {
	return &gate{limit: limit, changed: make(chan struct{})}
}

// place is one request's place inside the gate. It travels in the request's context, so that only can give it up.
type place struct {
	gate *gate
	held bool // guarded by gate.mu
}

type placeKey struct{}

// enter waits for a place. The caller leaves it when done.
func (g *gate) enter(ctx context.Context) (context.Context, *place, error) {
	p := &place{gate: g}
	err := g.await(ctx, func() bool {
		if g.alone || g.waiting > 0 || g.limit > 0 && g.inside >= g.limit {
			return false
		}
		g.inside++
		p.held = true
		return true
	})
	return context.WithValue(ctx, placeKey{}, p), p, err
}

func (p *place) leave() {
	p.gate.change(p.drop)
}

// drop gives the place up, once; under gate.mu.
func (p *place) drop() {
	if p.held {
		p.gate.inside--
		p.held = false
	}
}

// only runs do while nobody else is inside. A caller that holds a place gives it up while it waits, or two such would
// wait for each other, and has it again afterwards. If the wait is given up the place stays lost: the caller has nothing
// left to do but to return.
func (g *gate) only(ctx context.Context, do func() error) error {
	p, _ := ctx.Value(placeKey{}).(*place)
	if p == nil {
		p = &place{gate: g}
	}
	mine := p.held
	g.change(func() {
		p.drop()
		g.waiting++
	})
	err := g.await(ctx, func() bool {
		if g.alone || g.inside > 0 {
			return false
		}
		g.alone = true
		return true
	})
	g.change(func() { g.waiting-- })
	if err != nil {
		return fmt.Errorf("waiting to run alone in this process: %w", err)
	}
	defer g.change(func() {
		g.alone = false
		if mine {
			g.inside++
			p.held = true
		}
	})
	return do()
}

// await tries until it succeeds or the context ends. The try runs under g.mu.
func (g *gate) await(ctx context.Context, try func() bool) error {
	for {
		g.mu.Lock()
		if ctx.Err() == nil && try() {
			g.mu.Unlock()
			return nil
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (g *gate) change(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do()
	close(g.changed)
	g.changed = make(chan struct{})
}
