package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/shared/ledger"
)

// Cluster plays out what may become of events and of the processes that handle them, one operation at a time, in an
// order that a seed decides, a second each: events wait, overtake one another, come twice or never, and a process may be killed before
// or after any of its operations on the bucket and of its emissions. An event whose handling fails is delivered again.
type Cluster struct {
	Bucket *Bucket
	// Handle handles an event in a process of its own, which sees the bucket as b and emits by out.
	Handle func(ctx context.Context, b ledger.Bucket, out Emitter, e event.Event) error
	// Rest is called when nothing is under way any more: in a process of its own it may set things going again. The
	// cluster has come to its end when nothing is under way after it.
	Rest func(ctx context.Context, b ledger.Bucket, out Emitter) error
	// Kill decides for the nth operation of all processes together; nil is as Spare.
	Kill func(n int, op Op) Fate
	// Lose and Double decide for the nth event that is emitted whether it gets lost, or comes twice; both may be nil.
	Lose, Double func(n int) bool
	// Parallel is how many processes run side by side.
	Parallel int

	Operations int           // that there were
	Emitted    []event.Event // in order, those that got lost too
	Failed     []error       // of handlers, other than for being killed or being second
}

// Emitter sends events.
type Emitter interface {
	Emit(ctx context.Context, e event.Event) error
}

// Fate is what becomes of a process at one of its operations.
type Fate int

// The fates.
const (
	Spare      Fate = iota
	KillBefore      // the operation is not carried out
	KillAfter       // it is carried out, but nobody learns of it
	Unanswered      // it is carried out and the process lives, but takes it for failed
)

// Run plays events until nothing is under way, and says so if there is no end to it.
func (c *Cluster) Run(seed uint64, first ...event.Event) error {
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // the same for the same seed
	waiting := first
	var running []*process
	const enough = 100_000
	for range enough {
		if len(waiting) == 0 && len(running) == 0 {
			if !c.rest(&waiting) {
				return nil
			}
			continue
		}
		i := random.IntN(len(running) + 1)
		if i == len(running) {
			if len(waiting) > 0 && len(running) < max(c.Parallel, 1) {
				j := random.IntN(len(waiting))
				running = append(running, c.start(&waiting, waiting[j]))
				waiting = append(waiting[:j:j], waiting[j+1:]...)
			}
			continue
		}
		if running[i].advance() {
			continue
		}
		if p := running[i]; p.err != nil {
			c.Bucket.Advance(time.Second) // a broker pauses before it delivers again
			waiting = append(waiting, p.event)
			var taken interface{ Busy() bool } // by another process: that is no failure
			if !errors.Is(p.err, ErrKilled) && !(errors.As(p.err, &taken) && taken.Busy()) {
				c.Failed = append(c.Failed, fmt.Errorf("%s %s: %w", p.event.Type(), p.event.ID(), p.err))
			}
		}
		running = append(running[:i:i], running[i+1:]...)
	}
	return fmt.Errorf("no end after %d steps: %d events wait", enough, len(waiting))
}

// rest lets the cluster be set going again, and reports whether it was.
func (c *Cluster) rest(waiting *[]event.Event) bool {
	if c.Rest == nil {
		return false
	}
	before := len(c.Emitted)
	p := c.process(waiting, func(p *process) error { return c.Rest(context.Background(), p.view, p) })
	for p.advance() {
		continue
	}
	return len(c.Emitted) > before || p.err != nil
}

// process is a process that goes on by one operation at a time.
type process struct {
	cluster *Cluster
	waiting *[]event.Event
	event   event.Event
	view    *Process
	next    func() (struct{}, bool)
	yield   func(struct{}) bool
	dead    bool
	err     error
}

func (c *Cluster) start(waiting *[]event.Event, e event.Event) *process {
	p := c.process(waiting, func(p *process) error { return c.Handle(context.Background(), p.view, p, e) })
	p.event = e
	return p
}

func (c *Cluster) process(waiting *[]event.Event, run func(*process) error) *process {
	p := &process{cluster: c, waiting: waiting}
	p.view = &Process{Bucket: c.Bucket}
	var after Fate
	p.view.Before = func(op Op) error {
		var err error
		after, err = p.begin(op)
		return err
	}
	p.view.After = func(Op) error { return p.end(after) }
	p.next, _ = iter.Pull(func(yield func(struct{}) bool) {
		p.yield = yield
		p.err = run(p)
	})
	return p
}

// advance lets the process go on up to its next operation, and reports whether it is still there.
func (p *process) advance() bool {
	_, there := p.next()
	return there
}

// begin waits for the turn of an operation, and decides what becomes of the process at it.
func (p *process) begin(op Op) (Fate, error) {
	if p.dead {
		return Spare, ErrKilled
	}
	p.yield(struct{}{})
	n := p.cluster.Operations
	p.cluster.Operations++
	p.cluster.Bucket.Advance(time.Second)
	fate := Spare
	if p.cluster.Kill != nil {
		fate = p.cluster.Kill(n, op)
	}
	if fate == KillBefore {
		p.dead = true
		return fate, ErrKilled
	}
	return fate, nil
}

func (p *process) end(fate Fate) error {
	switch fate {
	case KillAfter:
		p.dead = true
		return ErrKilled
	case Unanswered:
		return errors.New("no answer")
	default:
		return nil
	}
}

// Emit implements [Emitter].
func (p *process) Emit(_ context.Context, e event.Event) error {
	fate, err := p.begin(Op{"emit", e.Type()})
	if err != nil {
		return err
	}
	c := p.cluster
	n := len(c.Emitted)
	c.Emitted = append(c.Emitted, e)
	if c.Lose == nil || !c.Lose(n) {
		*p.waiting = append(*p.waiting, e)
	}
	if c.Double != nil && c.Double(n) {
		*p.waiting = append(*p.waiting, e)
	}
	return p.end(fate)
}
