package decode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/ledger/ledgertest"
)

// bench is decode with everything round it made up.
type bench struct {
	*Function
	bucket *ledgertest.Bucket
	sent   []event.Event
	videos map[int64]*video // by their segment's start; nil: it cannot be decoded
	opened int
	failed error
}

const clipID = "0123456789abcdef0123456789abcdef"

func newBench(t *testing.T, videos ...*video) *bench {
	t.Helper()
	b := &bench{bucket: ledgertest.New(), videos: map[int64]*video{}}
	b.Function = &Function{
		Config:  Config{Rate: 5, Width: 1920, Height: 1080},
		Ledger:  ledger.New(b.bucket),
		Media:   b,
		Decoder: opener{b},
		Out:     b,
	}
	origin := ledger.Clip{ID: clipID, Day: "2026-11-22", Origin: findings.Origin{Bucket: "clips", Key: "a.mp4"}}
	if _, err := b.Ledger.Admit(t.Context(), origin); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Ledger.Open(t.Context(), origin, 1); err != nil {
		t.Fatal(err)
	}
	plan := ledger.Plan{Last: true, Window: 2, Requires: ledger.Requirements{Always: []string{findings.Decode}, Staged: []string{findings.Detect}}}
	for i, v := range videos {
		s := ledger.Segment{Index: i, StartUS: int64(i) * 10e6, EndUS: int64(i+1) * 10e6}
		if v != nil {
			v.startUS, v.endUS = s.StartUS, s.EndUS
			b.videos[s.StartUS] = v
		}
		plan.Segments = append(plan.Segments, s)
	}
	if _, err := ledger.Commit(t.Context(), b.Ledger, ledger.Part(clipID, 1, 0).Key(), plan); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) Emit(_ context.Context, e event.Event) error {
	b.sent = append(b.sent, e)
	return b.failed
}

// said lists what was sent since the last time, as type and segment.
func (b *bench) said() []string {
	said := []string{}
	for _, e := range b.sent {
		what := strings.Split(e.Type(), ".")
		said = append(said, fmt.Sprint(what[2], " ", what[4], " ", e.Extensions()["segment"]))
	}
	b.sent = nil
	return said
}

type nothing struct{ *bytes.Reader }

func (nothing) Close() error { return nil }

func (b *bench) Open(context.Context, findings.Ref) (ledger.Source, error) {
	return nothing{bytes.NewReader(nil)}, nil
}

type opener struct{ *bench }

func (o opener) Open(_ context.Context, _ ledger.Source, startUS, endUS int64) (Clip, error) {
	o.opened++
	v := o.videos[startUS]
	if v == nil {
		return nil, &Undecodable{errors.New("invalid data found")}
	}
	return clip{v}, nil
}

type clip struct{ *video }

func (clip) Close() error { return nil }

func (c clip) Sample(_ context.Context, rate float64, width, height int) (Samples, error) {
	if rate == 0 {
		rate = 25
	}
	p, err := c.Look(context.Background(), c.endUS)
	look := p.(*pictures)
	look.rate = rate
	return &samples{pictures: look, width: width, height: height}, err
}

type samples struct {
	*pictures
	width, height int
	shown         int64
	staged        []int64
}

func (s *samples) Next() (Picture, error) {
	p, err := s.pictures.Next()
	s.shown = p.US
	return p, err
}

func (s *samples) Stage() error {
	s.staged = append(s.staged, s.shown)
	return nil
}

func (s *samples) Finish() (Staged, error) {
	if len(s.staged) == 0 {
		return Staged{}, nil
	}
	return Staged{Times: s.staged, Width: s.width, Height: s.height, Matroska: fmt.Append(nil, s.staged), Broken: 2}, nil
}

func (b *bench) handle(t *testing.T, segment int) error {
	t.Helper()
	of := events.OfSegment{OfRun: events.OfRun{Clip: clipID, Run: 1}, Segment: segment}
	return b.Handle(t.Context(), events.Cut{OfSegment: of}.Event("split"))
}

func (b *bench) found(t *testing.T, segment int) findings.Decoded {
	t.Helper()
	var d findings.Decoded
	if err := b.Ledger.Read(t.Context(), ledger.Work{Clip: clipID, Run: 1, Segment: segment, Step: findings.Decode}.Key(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func quietVideo() *video {
	return &video{place: place{width: 160, height: 90, noise: 3}, stream: stream{seconds: 10, gop: 50, key: 200e3, between: 1.5e3, scatter: .1}}
}

func activeVideo() *video {
	v := quietVideo()
	v.grey, v.extra = 30, burst(5, 7, 3000)
	v.walker = func(s float64) (float64, float64, float64) { return 20 + 20*min(max(s-5, 0), 2), 30, 40 }
	return v
}

func TestHandle(t *testing.T) {
	uncertain := quietVideo()
	uncertain.gop = 1
	for _, c := range []struct {
		name    string
		segment int
		video   *video
		want    findings.Decoded
		frames  int
		said    []string
	}{
		{"a quiet beginning", 0, quietVideo(), findings.Decoded{Rule: byPackets}, 1, []string{"segment decoded 0"}},
		{"quiet", 1, quietVideo(), findings.Decoded{Rule: byPackets}, 0,
			[]string{"segment decoded 1", "segment analyzed 1", "segment cut 3"}},
		{"quiet, by pictures", 1, uncertain, findings.Decoded{Rule: byPictures, Broken: 2}, 0,
			[]string{"segment decoded 1", "segment analyzed 1", "segment cut 3"}},
		{"active", 0, activeVideo(), findings.Decoded{
			Rule: byPictures, Active: true, Broken: 2,
			Stretches: []findings.Stretch{{StartUS: 4.2e6, EndUS: 8.6e6}},
		}, 50, []string{"segment decoded 0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			videos := []*video{quietVideo(), quietVideo(), quietVideo(), quietVideo()}
			videos[c.segment] = c.video
			b := newBench(t, videos...)
			if err := b.handle(t, c.segment); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.said, b.said()); diff != "" {
				t.Error(diff)
			}
			got := b.found(t, c.segment)
			if (got.Score >= 1) != got.Active {
				t.Errorf("score %.2f", got.Score)
			}
			if len(got.Frames) != c.frames || (got.Staged != nil) != (c.frames > 0) {
				t.Errorf("%d frames: %v", len(got.Frames), got.Staged)
			}
			if got.Staged != nil && (got.StagedWidth != 1920 || got.StagedHeight != 1080 || got.Staged.Type != "video/x-matroska") {
				t.Errorf("%+v", got)
			}
			if got.Width != 1920 || got.Height != 1080 || got.Made.Version != version {
				t.Errorf("%+v", got)
			}
			if diff := cmp.Diff(c.want, findings.Decoded{Rule: got.Rule, Active: got.Active, Stretches: got.Stretches, Broken: got.Broken}); diff != "" {
				t.Error(diff)
			}

			// The same event again: nothing is done again, and the same is said.
			opened, keys := b.opened, b.bucket.Keys("")
			if err := b.handle(t, c.segment); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.said, b.said()); diff != "" {
				t.Errorf("redelivered: %s", diff)
			}
			if b.opened != opened || !slices.Equal(keys, b.bucket.Keys("")) {
				t.Errorf("redelivered: opened %d times", b.opened-opened)
			}
		})
	}
}

func TestTheSameWhateverTheCompany(t *testing.T) {
	alone := newBench(t, quietVideo(), activeVideo())
	if err := alone.handle(t, 1); err != nil {
		t.Fatal(err)
	}
	after := newBench(t, quietVideo(), activeVideo())
	for _, segment := range []int{0, 1} {
		if err := after.handle(t, segment); err != nil {
			t.Fatal(err)
		}
	}
	a, b := alone.found(t, 1), after.found(t, 1)
	a.Made, b.Made = findings.Made{}, findings.Made{}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error(diff)
	}
}

func TestUndecodable(t *testing.T) {
	b := newBench(t, nil, quietVideo(), nil)
	for range 2 { // the second time everything is there already
		for segment, want := range [][]string{
			{"step abandoned 0", "segment analyzed 0", "segment cut 2"},
			{"segment decoded 1", "segment analyzed 1"},
			{"step abandoned 2", "segment analyzed 2"},
		} {
			if err := b.handle(t, segment); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, b.said()); diff != "" {
				t.Errorf("segment %d: %s", segment, diff)
			}
		}
	}
	p, err := b.Ledger.Progress(t.Context(), clipID, 1)
	if err != nil || !p.Whole() || p.States[0] != ledger.Failed || p.States[1] != ledger.Quiet || len(p.Answers) != 0 {
		t.Errorf("%+v (%v)", p, err)
	}
	if left := b.bucket.Keys("attempts/"); len(left) > 0 {
		t.Errorf("attempts left open: %v", left)
	}
}

func TestAllUndecodable(t *testing.T) {
	b := newBench(t, nil, nil)
	for segment, want := range [][]string{{"step abandoned 0", "segment analyzed 0"}, {"clip rejected <nil>"}, {}} {
		if err := b.handle(t, min(segment, 1)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.said()); diff != "" {
			t.Error(diff)
		}
	}
	r, err := b.Ledger.Report(t.Context(), clipID, 1)
	if err != nil || r.Status != findings.StatusRejected || r.Reason != "undecodable" || r.Hint == "" {
		t.Errorf("%+v (%v)", r, err)
	}
}

func TestGivenUpForAnotherReason(t *testing.T) {
	b := newBench(t, nil)
	work := ledger.Work{Clip: clipID, Run: 1, Step: findings.Decode}
	if _, err := b.Ledger.GiveUp(t.Context(), work, "its process died 3 times over it"); err != nil {
		t.Fatal(err)
	}
	if err := b.handle(t, 0); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"step abandoned 0", "segment analyzed 0"}, b.said()); diff != "" {
		t.Error(diff)
	}
}

func TestFailures(t *testing.T) {
	b := newBench(t, quietVideo())
	e := events.Cut{}.Event("split")
	if err := e.SetData("application/json", []byte(`"?"`)); err != nil {
		t.Fatal(err)
	}
	if err := b.Handle(t.Context(), e); function.Status(err) != 422 {
		t.Errorf("an event that makes no sense: %v", err)
	}
	if err := b.handle(t, 7); !errors.Is(err, ledger.ErrNotExist) || function.Status(err) < 500 {
		t.Errorf("a segment that is not planned: %v", err)
	}
	b.failed = function.Unavailable(io.ErrUnexpectedEOF)
	if err := b.handle(t, 0); function.Status(err) != 503 {
		t.Errorf("no sink: %v", err)
	}
	b.failed, b.sent = nil, nil
	if err := b.handle(t, 0); err != nil || len(b.said()) != 1 {
		t.Errorf("and again: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newBench(t, nil).Handle(ctx, events.Cut{OfSegment: events.OfSegment{OfRun: events.OfRun{Clip: clipID, Run: 1}}}.Event("split")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestCrashes kills decode after each operation on the ledger; the event delivered again finishes the work.
func TestCrashes(t *testing.T) {
	for n := 0; ; n++ {
		b := newBench(t, activeVideo(), quietVideo())
		whole := b.Ledger
		b.Ledger = ledger.New(ledgertest.CrashAfter(b.bucket, n))
		first := b.handle(t, 0)
		b.Ledger, b.sent = whole, nil
		b.bucket.Advance(time.Minute) // the broker pauses before it delivers again
		if err := b.handle(t, 0); err != nil {
			t.Fatalf("after a crash at operation %d: %v", n, err)
		}
		if diff := cmp.Diff([]string{"segment decoded 0"}, b.said()); diff != "" {
			t.Errorf("after a crash at operation %d: %s", n, diff)
		}
		if got := b.found(t, 0); !got.Active {
			t.Errorf("after a crash at operation %d: %+v", n, got)
		}
		if first == nil {
			return
		}
		if n > 100 {
			t.Fatal("it never ends")
		}
	}
}
