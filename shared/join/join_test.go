package join_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/join"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/ledger/ledgertest"
)

const clipID = "0123456789abcdef0123456789abcdef"

var run = events.OfRun{Clip: clipID, Run: 1, Camera: "door"}

// bench is a run of a clip with four segments, two in the window.
type bench struct {
	*ledger.Ledger
	t      *testing.T
	bucket *ledgertest.Bucket
	sent   []event.Event
	broken bool
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, bucket: ledgertest.New()}
	b.Ledger = ledger.New(b.bucket)
	clip, err := b.Admit(t.Context(), ledger.Clip{ID: clipID, Day: "2026-11-22", Origin: findings.Origin{Key: "door/a.mp4", Camera: "door"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open(t.Context(), clip, 1); err != nil {
		t.Fatal(err)
	}
	plan := ledger.Plan{
		Last: true, Window: 2, Segments: []ledger.Segment{{Index: 0}, {Index: 1}, {Index: 2, StartUS: 20e6, EndUS: 30e6}, {Index: 3}},
		Requires: ledger.Requirements{Always: []string{findings.Decode}, Staged: []string{findings.Detect}},
	}
	commit(b, ledger.Part(clipID, 1, 0), plan)
	return b
}

func commit[T any](b *bench, w ledger.Work, doc T) {
	b.t.Helper()
	if _, err := ledger.Commit(b.t.Context(), b.Ledger, w.Key(), doc); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) Emit(_ context.Context, e event.Event) error {
	if b.broken {
		return errors.New("the broker is away")
	}
	b.sent = append(b.sent, e)
	return nil
}

// said is what was sent since it was last asked: type and id, and whether it is active.
func (b *bench) said() []string {
	var said []string
	for _, e := range b.sent {
		what := strings.TrimPrefix(e.Type(), "dev.vedette.") + " " + strings.TrimPrefix(e.ID(), clipID+"/1/")
		if active, ok := e.Extensions()["active"]; ok {
			what += " active " + active.(string)
		}
		said = append(said, what)
	}
	b.sent = nil
	return said
}

func work(segment int, step string) ledger.Work {
	return ledger.Work{Clip: clipID, Run: 1, Segment: segment, Step: step}
}

func TestSegment(t *testing.T) {
	b := newBench(t)
	first := events.OfSegment{OfRun: run, Segment: 0}
	join1 := func() []string {
		t.Helper()
		if err := join.Segment(t.Context(), b.Ledger, b, "decode", first); err != nil {
			t.Fatal(err)
		}
		return b.said()
	}
	commit(b, work(0, findings.Decode), findings.Decoded{Active: true, Staged: &findings.Ref{Key: "x"}})
	if said := join1(); said != nil {
		t.Errorf("sent %v before all is found", said)
	}
	commit(b, work(0, findings.Detect), findings.Objects{})
	want := []string{"segment.v1.analyzed 0/analyzed active true", "segment.v1.cut 2/cut"}
	for range 2 {
		if diff := cmp.Diff(want, join1()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	commit(b, work(2, findings.Decode), findings.Decoded{})
	if diff := cmp.Diff(want[:1], join1()); diff != "" {
		t.Errorf("with the next one there (-want +got)\n%s", diff)
	}
	b.broken = true
	if err := join.Segment(t.Context(), b.Ledger, b, "decode", first); err == nil {
		t.Error("nobody was told, and it is no error")
	}
}

func TestCut(t *testing.T) {
	got := join.Cut(run, ledger.Segment{Index: 2, StartUS: 20e6, EndUS: 30e6})
	want := events.Cut{OfSegment: events.OfSegment{OfRun: run, Segment: 2}, StartUS: 20e6, EndUS: 30e6}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestGivenUp(t *testing.T) {
	for step, want := range map[string][]string{
		findings.Decode: {"step.v1.abandoned 1/abandoned/decode", "segment.v1.analyzed 1/analyzed active false", "segment.v1.cut 3/cut"},
		findings.Encode: {"step.v1.abandoned 1/abandoned/encode"}, // the analysis never waited for it
	} {
		b := newBench(t)
		a, err := b.GiveUp(t.Context(), work(1, step), "in this test")
		if err != nil {
			t.Fatal(err)
		}
		if err := join.GivenUp(t.Context(), b.Ledger, b, step, events.OfSegment{OfRun: run, Segment: 1}, a); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.said()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", step, diff)
		}
	}
}

func (b *bench) closed() bool {
	done, err := b.Done(b.t.Context(), clipID, 1)
	return err == nil && done && len(b.bucket.Keys("open/")) == 0
}

func reject(b *bench, l *ledger.Ledger) error {
	return join.Reject(b.t.Context(), l, b, "split", run, "truncated", "Upload it again.")
}

func fail(b *bench, l *ledger.Ledger) error {
	return join.Fail(b.t.Context(), l, b, "reconcile", run, ledger.Abandonment{Step: "plan-00001", Reason: "answered 500"})
}

func TestReject(t *testing.T) {
	b := newBench(t)
	if err := reject(b, b.Ledger); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"clip.v1.rejected rejected"}, b.said()); diff != "" || !b.closed() {
		t.Errorf("closed %t (-want +got)\n%s", b.closed(), diff)
	}
	got, err := b.Report(t.Context(), clipID, 1)
	want := findings.Report{
		Schema: findings.SchemaReport, Clip: clipID, Run: 1, Status: findings.StatusRejected, Reason: "truncated", Hint: "Upload it again.",
		Source:   findings.Origin{Key: "door/a.mp4", Camera: "door"},
		Segments: []findings.ReportedSegment{}, Tracks: []findings.ReportedTrack{}, Steps: map[string]findings.Expense{},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if err := errors.Join(reject(b, b.Ledger), fail(b, b.Ledger)); err != nil || b.said() != nil {
		t.Errorf("answered twice, %v", err)
	}
}

func TestFailKeepsWhatWasFound(t *testing.T) {
	b := newBench(t)
	analyzed := findings.Report{
		Status: findings.StatusAnalyzed, Duration: 40,
		Tracks: []findings.ReportedTrack{{ID: 1, Object: findings.Person, Face: &findings.ReportedFace{Width: 40}}},
	}
	commit(b, work(ledger.Whole, findings.StatusAnalyzed), analyzed)
	if err := fail(b, b.Ledger); err != nil {
		t.Fatal(err)
	}
	got, err := b.Report(t.Context(), clipID, 1)
	if err != nil || got.Status != findings.StatusFailed || got.Duration != 40 || len(got.Tracks) != 1 || !strings.Contains(got.Reason, "plan-00001") || got.Hint == "" {
		t.Errorf("%+v, %v", got, err)
	}
	if len(b.sent) != 1 || !b.closed() {
		t.Fatalf("closed %t, sent %v", b.closed(), b.sent)
	}
	var d events.Reported
	if err := b.sent[0].DataAs(&d); err != nil || d.Status != findings.StatusFailed || d.Persons != 1 || d.Faces != 1 || d.Report != clipID+"/1/completed.json" {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestAnswerCutShort kills whoever answers at every operation; somebody else then answers, otherwise if he may. The first
// answer that stands is told and the run is closed.
func TestAnswerCutShort(t *testing.T) {
	for n := 0; ; n++ {
		b := newBench(t)
		cut := reject(b, ledger.New(ledgertest.CrashAfter(b.bucket, n)))
		if err := fail(b, b.Ledger); err != nil {
			t.Fatalf("after a crash at operation %d: %v", n, err)
		}
		answers := 0
		for _, key := range b.bucket.Keys(clipID + "/1/") {
			if strings.HasSuffix(key, "/rejected.json") || strings.HasSuffix(key, "/completed.json") {
				answers++
			}
		}
		// The mark of a run under way may be left if the last thing he did was to close it: a sweep removes that.
		done, err := b.Done(t.Context(), clipID, 1)
		if err != nil || answers != 1 || !done || len(b.sent) == 0 {
			t.Errorf("after a crash at operation %d: %d answers, done %t, %v, sent %v", n, answers, done, err, b.said())
		}
		if cut == nil {
			break
		}
	}
}
