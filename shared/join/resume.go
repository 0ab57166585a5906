package join

import (
	"context"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
)

// Resume sends again, for one run under way, whatever the ledger says is unfinished and has been for long: of which the
// cause was written before a time of the store's clock, and at which nobody opened an attempt since. It reports whether
// anything was sent. Events get lost, and so do the processes that were to send them; by Resume alone a run comes to its end.
func Resume(ctx context.Context, l *ledger.Ledger, out Emitter, function string, ref ledger.Reference, before time.Time) (bool, error) {
	clip, err := l.Clip(ctx, ref.Clip)
	if err != nil {
		return false, err
	}
	r := events.OfRun{Clip: ref.Clip, Run: ref.Run, Camera: clip.Origin.Camera}
	if answered, err := Answer(ctx, l, out, function, r); err != nil || answered {
		return answered, err
	}
	p, err := l.Progress(ctx, ref.Clip, ref.Run)
	if err != nil {
		return false, err
	}
	if a, dead, err := hopeless(ctx, l, r, p); err != nil || dead {
		if err == nil {
			err = Fail(ctx, l, out, function, r, a)
		}
		return dead, err
	}
	under, err := l.Attempts(ctx, ref.Clip, ref.Run, before)
	if err != nil {
		return false, err
	}
	return (&resumption{l: l, out: out, function: function, clip: clip, run: r, p: p, opened: ref.Since, before: before, under: under}).all(ctx)
}

// hopeless looks for a step without which the run cannot end, among the dead.
func hopeless(ctx context.Context, l *ledger.Ledger, r events.OfRun, p ledger.Progress) (ledger.Abandonment, bool, error) {
	for _, step := range p.Dead[ledger.Whole] {
		if step == findings.StatusCompleted || step == findings.Proxy || p.Has(ledger.Whole, step) {
			continue // assemble completes without the video; or it was done after all
		}
		a, err := l.Dead(ctx, ledger.Work{Clip: r.Clip, Run: r.Run, Segment: ledger.Whole, Step: step})
		return a, err == nil, err
	}
	return ledger.Abandonment{}, false, nil
}

type resumption struct {
	l        *ledger.Ledger
	out      Emitter
	function string
	clip     ledger.Clip
	run      events.OfRun
	p        ledger.Progress
	opened   time.Time            // when the run was opened or last resumed
	before   time.Time            // what was caused before this is overdue
	under    map[ledger.Work]bool // work at which an attempt is young
	sent     bool
}

func (r *resumption) all(ctx context.Context) (bool, error) {
	steps := []func(context.Context) error{r.plan, r.chain}
	for i := range r.p.Segments {
		steps = append(steps, func(ctx context.Context) error { return r.segment(ctx, i) })
	}
	for _, step := range append(steps, r.end) {
		if err := step(ctx); err != nil {
			return r.sent, err
		}
	}
	return r.sent, nil
}

// overdue says whether what was caused at a time is.
func (r *resumption) overdue(caused time.Time, segment int, step string) bool {
	work := ledger.Work{Clip: r.run.Clip, Run: r.run.Run, Segment: segment, Step: step}
	return !caused.IsZero() && caused.Before(r.before) && !r.under[work]
}

func (r *resumption) emit(ctx context.Context, d interface {
	Event(function string) event.Event
}) error {
	r.sent = true
	return r.out.Emit(ctx, d.Event(r.function))
}

// plan: a part that is missing.
func (r *resumption) plan(ctx context.Context) error {
	if r.p.Planned {
		return nil
	}
	part := len(r.p.Parts)
	next := ledger.Part(r.run.Clip, r.run.Run, part)
	if part == 0 {
		if !r.overdue(r.opened, ledger.Whole, next.Step) {
			return nil
		}
		return r.emit(ctx, events.Uploaded{OfRun: r.run, Bucket: r.clip.Origin.Bucket, Key: r.clip.Origin.Key})
	}
	last := ledger.Part(r.run.Clip, r.run.Run, part-1)
	if !r.overdue(r.p.Written(ledger.Whole, last.Step), ledger.Whole, next.Step) {
		return nil
	}
	return r.emit(ctx, events.Continued{OfRun: r.run, Part: part})
}

// chain: assemble numbers segments in their order, so the first that has no numbers is the one it waits for.
func (r *resumption) chain(ctx context.Context) error {
	for i := range r.p.Segments {
		if r.p.Has(i, findings.Tracks) {
			continue
		}
		if !r.overdue(r.p.Concluded(i), i, findings.Tracks) {
			return nil
		}
		return r.emit(ctx, r.analyzed(i))
	}
	return nil
}

func (r *resumption) analyzed(segment int) events.Analyzed {
	state := r.p.States[segment]
	return events.Analyzed{OfSegment: r.at(segment), Active: state == ledger.Active, Failed: state == ledger.Failed}
}

func (r *resumption) at(segment int) events.OfSegment {
	return events.OfSegment{OfRun: r.run, Segment: segment}
}

// segment: its analysis, and its encoding.
func (r *resumption) segment(ctx context.Context, i int) error {
	switch state := r.p.States[i]; {
	case state == ledger.Open && r.p.Has(i, findings.Decode):
		return r.analysis(ctx, i)
	case state == ledger.Open:
		return r.entry(ctx, i)
	case state == ledger.Active && !r.p.Has(i, findings.Encode) && !r.p.GaveUp(i, findings.Encode) &&
		r.overdue(r.p.Written(i, findings.Tracks), i, findings.Encode):
		return r.emit(ctx, events.Tracked{OfSegment: r.at(i), Active: true})
	}
	return nil
}

// entry: a segment that nobody has begun with, if the window has come to it.
func (r *resumption) entry(ctx context.Context, i int) error {
	if r.p.GaveUp(i, findings.Decode) {
		r.sent = true
		return Segment(ctx, r.l, r.out, r.function, r.at(i))
	}
	part := r.p.PartOf(i)
	caused := r.p.Written(ledger.Whole, ledger.Part(r.run.Clip, r.run.Run, part.Part).Step)
	if let := r.p.Concluded(i - part.Window); let.After(caused) {
		caused = let
	}
	if !r.p.Enters(i) || !r.overdue(caused, i, findings.Decode) {
		return nil
	}
	return r.emit(ctx, Cut(r.run, r.p.Segments[i]))
}

// analysis: a segment that is decoded but not analyzed. Either nobody was left to join it, or a finding is missing.
func (r *resumption) analysis(ctx context.Context, i int) error {
	if !r.overdue(r.p.Written(i, findings.Decode), i, findings.Detect) {
		return nil
	}
	r.sent = true
	if state, err := conclude(ctx, r.l, r.out, r.function, r.at(i)); err != nil || state != ledger.Open {
		return err
	}
	var d findings.Decoded
	work := ledger.Work{Clip: r.run.Clip, Run: r.run.Run, Segment: i, Step: findings.Decode}
	if err := r.l.Read(ctx, work.Key(), &d); err != nil {
		return err
	}
	return r.emit(ctx, events.Decoded{OfSegment: r.at(i), Active: d.Active, Frames: len(d.Frames)})
}

// end: a run of which everything is there but the answer. Any segment's event has assemble look.
func (r *resumption) end(ctx context.Context) error {
	if !r.p.Whole() || r.sent {
		return nil
	}
	last := len(r.p.Segments) - 1
	caused := r.p.Written(last, findings.Tracks)
	for i := range r.p.Segments {
		if !r.p.Has(i, findings.Tracks) || r.p.States[i] == ledger.Active && !r.p.Has(i, findings.Encode) && !r.p.GaveUp(i, findings.Encode) {
			return nil // it is not over, and was looked at above
		}
		if t := r.p.Written(i, findings.Encode); t.After(caused) {
			caused = t
		}
	}
	if !r.overdue(caused, ledger.Whole, findings.StatusCompleted) {
		return nil
	}
	return r.emit(ctx, r.analyzed(last))
}
