// Package join sends what follows when a step has left its finding: every analysis step (decode, detect and those to
// come) ends by it.
//
// In comes the address of a segment of which a finding was committed or given up. Out go, if that was the last one
// required: segment.analyzed, and segment.cut for the segment that now moves into the window of its clip. Sending twice
// does no harm: ids are made from what the events say.
package join

import (
	"context"
	"errors"
	"slices"

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
	_, err := conclude(ctx, l, out, function, s)
	return err
}

func conclude(ctx context.Context, l *ledger.Ledger, out Emitter, function string, s events.OfSegment) (ledger.State, error) {
	c, err := l.Conclude(ctx, s.Clip, s.Run, s.Segment)
	if err != nil || c.State == ledger.Open {
		return c.State, err
	}
	analyzed := events.Analyzed{OfSegment: s, Active: c.State == ledger.Active, Failed: c.State == ledger.Failed}
	if err := out.Emit(ctx, analyzed.Event(function)); err != nil {
		return c.State, err
	}
	if c.Next == nil {
		return c.State, nil
	}
	return c.State, out.Emit(ctx, Cut(s.OfRun, *c.Next).Event(function))
}

// GivenUp says that a step of a segment is given up, and joins the segment without it if it waited for that.
func GivenUp(ctx context.Context, l *ledger.Ledger, out Emitter, function string, s events.OfSegment, a ledger.Abandonment) error {
	abandoned := events.Abandoned{OfSegment: s, Step: a.Step, Reason: a.Reason}
	if err := out.Emit(ctx, abandoned.Event(function)); err != nil {
		return err
	}
	plan, _, err := l.Segment(ctx, s.Clip, s.Run, s.Segment)
	if err != nil {
		return err
	}
	if !slices.Contains(plan.Requires.Always, a.Step) && !slices.Contains(plan.Requires.Staged, a.Step) {
		return nil // such as encode, which comes after the analysis
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
	return settle(ctx, l, out, function, r, findings.StatusRejected, func(report *findings.Report) {
		*report = findings.Report{Reason: reason, Hint: hint} // what was found before stands for nothing
	})
}

// Fail answers a run for good: a step without which it cannot end was given up. What was found until then is in the
// report. It is safe to repeat; the first answer stands.
func Fail(ctx context.Context, l *ledger.Ledger, out Emitter, function string, r events.OfRun, a ledger.Abandonment) error {
	return settle(ctx, l, out, function, r, findings.StatusFailed, func(report *findings.Report) {
		report.Reason = "gave up on " + a.Step
		report.Hint = a.Reason + ". Look into the log of the step, then replay the clip."
	})
}

// Answer tells the final answer of a run that has one, and closes the run. It says false if there is none.
func Answer(ctx context.Context, l *ledger.Ledger, out Emitter, function string, r events.OfRun) (bool, error) {
	for _, answer := range []string{findings.StatusCompleted, findings.StatusRejected} {
		var report findings.Report
		err := l.Read(ctx, ledger.RunKey(r.Clip, r.Run, answer+".json"), &report)
		if errors.Is(err, ledger.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		told := events.Rejected{OfRun: r, Reason: report.Reason, Hint: report.Hint}.Event(function)
		if answer == findings.StatusCompleted {
			told = Reported(r, report, answer).Completed(function)
		}
		if err := out.Emit(ctx, told); err != nil {
			return false, err
		}
		clip, err := l.Clip(ctx, r.Clip)
		if err != nil {
			return false, err
		}
		return true, l.Close(ctx, clip, r.Run)
	}
	return false, nil
}

// settle answers a run, unless it has its answer, tells it and closes the run.
func settle(ctx context.Context, l *ledger.Ledger, out Emitter, function string, r events.OfRun, status string, say func(*findings.Report)) error {
	if done, err := l.Done(ctx, r.Clip, r.Run); err != nil || done {
		return err // what is closed has been told
	}
	if answered, err := Answer(ctx, l, out, function, r); err != nil || answered {
		return err
	}
	clip, err := l.Clip(ctx, r.Clip)
	if err != nil {
		return err
	}
	report, err := l.Report(ctx, r.Clip, r.Run)
	if err != nil && !errors.Is(err, ledger.ErrNotExist) {
		return err
	}
	say(&report)
	report.Schema, report.Clip, report.Run = findings.SchemaReport, r.Clip, r.Run
	report.Status, report.Source = status, clip.Origin
	if report.Segments == nil {
		report.Segments = []findings.ReportedSegment{}
	}
	if report.Tracks == nil {
		report.Tracks = []findings.ReportedTrack{}
	}
	if report.Steps == nil {
		report.Steps = map[string]findings.Expense{}
	}
	answer := findings.StatusCompleted // a failed run has completed as far as it ever will
	if status == findings.StatusRejected {
		answer = status
	}
	if _, err := ledger.Commit(ctx, l, ledger.RunKey(r.Clip, r.Run, answer+".json"), report); err != nil {
		return err
	}
	_, err = Answer(ctx, l, out, function, r)
	return err
}

// Reported is the event data that tells a report; answer is the name it stands under, analyzed or completed.
func Reported(r events.OfRun, report findings.Report, answer string) events.Reported {
	d := events.Reported{OfRun: r, Status: report.Status, Report: ledger.RunKey(r.Clip, r.Run, answer+".json")}
	for _, t := range report.Tracks {
		if t.Object == findings.Person {
			d.Persons++
		}
		if t.Face != nil {
			d.Faces++
		}
	}
	return d
}
