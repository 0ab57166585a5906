// Package join sends what follows when a step has left its finding: every analysis step (decode, detect and those to
// come) ends by it.
//
// In comes the address of a segment of which a finding was committed or given up. Out go, if that was the last one
// required: segment.analyzed, and segment.cut for the segment that now moves into the window of its clip. Sending twice
// does no harm: ids are made from what the events say.
package join

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
)

// Emitter sends an event on its way.
type Emitter interface {
	Emit(ctx context.Context, e event.Event) error
}

// Segment joins a segment and sends what follows.
func Segment(ctx context.Context, l *ledger.Ledger, out Emitter, function string, s events.OfSegment) error {
	c, err := l.Conclude(ctx, s.Clip, s.Run, s.Segment)
	if err != nil || c.State == ledger.Open {
		return err
	}
	analyzed := events.Analyzed{OfSegment: s, Active: c.State == ledger.Active, Failed: c.State == ledger.Failed}
	if err := out.Emit(ctx, analyzed.Event(function)); err != nil {
		return err
	}
	if c.Next == nil {
		return nil
	}
	return out.Emit(ctx, Cut(s.OfRun, *c.Next).Event(function))
}

// GivenUp says that a step of a segment is given up, and joins the segment without it.
func GivenUp(ctx context.Context, l *ledger.Ledger, out Emitter, function string, s events.OfSegment, a ledger.Abandonment) error {
	abandoned := events.Abandoned{OfSegment: s, Step: a.Step, Reason: a.Reason}
	if err := out.Emit(ctx, abandoned.Event(function)); err != nil {
		return err
	}
	return Segment(ctx, l, out, function, s)
}

// Cut is the event data that sends a planned segment on its way.
func Cut(r events.OfRun, s ledger.Segment) events.Cut {
	return events.Cut{OfSegment: events.OfSegment{OfRun: r, Segment: s.Index}, StartUS: s.StartUS, EndUS: s.EndUS}
}

// Reject answers a run for good: the clip cannot be processed, and reason and hint are its report. It is safe to repeat;
// the first answer stands.
func Reject(ctx context.Context, l *ledger.Ledger, out Emitter, function string, r events.OfRun, reason, hint string) error {
	clip, err := l.Clip(ctx, r.Clip)
	if err != nil {
		return err
	}
	report, err := ledger.Commit(ctx, l, ledger.RunKey(r.Clip, r.Run, findings.StatusRejected+".json"), findings.Report{
		Schema:   findings.SchemaReport,
		Clip:     r.Clip,
		Run:      r.Run,
		Status:   findings.StatusRejected,
		Reason:   reason,
		Hint:     hint,
		Source:   clip.Origin,
		Segments: []findings.ReportedSegment{},
		Tracks:   []findings.ReportedTrack{},
		Steps:    map[string]findings.Expense{},
	})
	if err != nil {
		return err
	}
	rejected := events.Rejected{OfRun: r, Reason: report.Reason, Hint: report.Hint}
	if err := out.Emit(ctx, rejected.Event(function)); err != nil {
		return err
	}
	return l.Close(ctx, clip, r.Run)
}
