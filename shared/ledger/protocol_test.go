package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/join"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/ledger/ledgertest"
)

// The protocol is tested on a model of the pipeline: steps that find nothing, but plan, stage, commit, join, emit and
// close as the real ones do. Whatever happens to events and processes, the ledger must hold the same results in the end.

const clipID = "c11b"

// model is a clip: which of its segments are active, and how it is planned.
type model struct {
	active  []bool
	perPart int
	window  int
	// poison is work that kills its process every time.
	poison ledger.Work
}

// poisonous is an object that kills whoever reads it.
const poisonous = "poison"

// risk is the part of the work that may kill its process.
func (m *model) risk(ctx context.Context, l *ledger.Ledger, w ledger.Work) error {
	if w != m.poison {
		return nil
	}
	return l.Read(ctx, poisonous, nil)
}

func (m *model) parts() int { return (len(m.active) + m.perPart - 1) / m.perPart }

// handle is every function of the pipeline.
func (m *model) handle(ctx context.Context, b ledger.Bucket, out ledgertest.Emitter, e event.Event) error {
	l := ledger.New(b)
	var at events.OfSegment
	if err := e.DataAs(&at); err != nil {
		return err
	}
	switch e.Type() {
	case events.ClipUploaded:
		return m.split(ctx, l, out, at.OfRun, 0)
	case events.PlanContinued:
		var d events.Continued
		if err := e.DataAs(&d); err != nil {
			return err
		}
		return m.split(ctx, l, out, at.OfRun, d.Part)
	case events.SegmentCut:
		return m.decode(ctx, l, out, at)
	case events.SegmentDecoded:
		if e.Extensions()["staged"] == "true" {
			return m.detect(ctx, l, out, at)
		}
	case events.SegmentTracked:
		if e.Extensions()["active"] == "true" {
			return m.encode(ctx, l, out, at)
		}
	case events.SegmentAnalyzed, events.SegmentEncoded, events.StepAbandoned:
		if e.Type() != events.SegmentAnalyzed {
			at.Segment = len(m.active) // no segment is newly numbered by this event
		}
		return m.assemble(ctx, l, out, at)
	}
	return nil
}

func (m *model) split(ctx context.Context, l *ledger.Ledger, out join.Emitter, r events.OfRun, part int) error {
	return ledger.Run(ctx, l, ledger.Step[ledger.Plan]{
		Work: ledger.Part(r.Clip, r.Run, part),
		Make: func(ctx context.Context) (ledger.Plan, error) {
			if err := m.risk(ctx, l, ledger.Part(r.Clip, r.Run, part)); err != nil {
				return ledger.Plan{}, err
			}
			p := ledger.Plan{
				Part: part, First: part * m.perPart, Last: part+1 == m.parts(), Window: m.window,
				Requires: ledger.Requirements{Always: []string{findings.Decode}, Staged: []string{findings.Detect}},
			}
			for i := p.First; i < min(p.First+m.perPart, len(m.active)); i++ {
				media, err := l.Side(ctx, r.Clip, "mp4", "video/mp4", fmt.Appendf(nil, "media %d", i))
				if err != nil {
					return p, err
				}
				p.Segments = append(p.Segments, ledger.Segment{Index: i, StartUS: int64(i), EndUS: int64(i + 1), Media: media})
			}
			return p, nil
		},
		Tail: func(ctx context.Context, p ledger.Plan) error {
			progress, err := l.Progress(ctx, r.Clip, r.Run)
			if err != nil {
				return err
			}
			for _, s := range p.Segments {
				if !progress.Enters(s.Index) {
					continue
				}
				if err := out.Emit(ctx, join.Cut(r, s).Event(findings.Split)); err != nil {
					return err
				}
			}
			if p.Last {
				return nil
			}
			return out.Emit(ctx, events.Continued{OfRun: r, Part: p.Part + 1}.Event(findings.Split))
		},
		GivenUp: func(ctx context.Context, a ledger.Abandonment) error {
			return join.Reject(ctx, l, out, findings.Split, r, "crashes the reader", a.Reason)
		},
	})
}

// analysis is the part that decode, detect and encode have in common.
func analysis[T any](m *model, l *ledger.Ledger, out join.Emitter, at events.OfSegment, step string, do func(ctx context.Context) (T, error), tell func(T) event.Event) ledger.Step[T] {
	work := ledger.Work{Clip: at.Clip, Run: at.Run, Segment: at.Segment, Step: step}
	return ledger.Step[T]{
		Work:  work,
		Alone: func(_ context.Context, f func() error) error { return f() },
		Make: func(ctx context.Context) (T, error) {
			if err := m.risk(ctx, l, work); err != nil {
				var none T
				return none, err
			}
			return do(ctx)
		},
		Tail: func(ctx context.Context, found T) error {
			if err := out.Emit(ctx, tell(found)); err != nil {
				return err
			}
			if step == findings.Encode {
				return nil
			}
			return join.Segment(ctx, l, out, step, at)
		},
		GivenUp: func(ctx context.Context, a ledger.Abandonment) error {
			return join.GivenUp(ctx, l, out, step, at, a)
		},
	}
}

func (m *model) decode(ctx context.Context, l *ledger.Ledger, out join.Emitter, at events.OfSegment) error {
	return ledger.Run(ctx, l, analysis(m, l, out, at, findings.Decode, func(ctx context.Context) (findings.Decoded, error) {
		_, s, err := l.Segment(ctx, at.Clip, at.Run, at.Segment)
		if err != nil {
			return findings.Decoded{}, err
		}
		if _, err := l.Fetch(ctx, s.Media); err != nil {
			return findings.Decoded{}, err
		}
		d := findings.Decoded{Active: m.active[at.Segment]}
		if d.Active || at.Segment == 0 {
			staged, err := l.Side(ctx, at.Clip, "mkv", "video/x-matroska", fmt.Appendf(nil, "staged %d", at.Segment))
			if err != nil {
				return d, err
			}
			d.Frames, d.Staged = []int64{s.StartUS}, &staged
		}
		return d, nil
	}, func(d findings.Decoded) event.Event {
		return events.Decoded{OfSegment: at, Active: d.Active, Frames: len(d.Frames)}.Event(findings.Decode)
	}))
}

func (m *model) detect(ctx context.Context, l *ledger.Ledger, out join.Emitter, at events.OfSegment) error {
	return ledger.Run(ctx, l, analysis(m, l, out, at, findings.Detect, func(ctx context.Context) (findings.Objects, error) {
		var d findings.Decoded
		if err := l.Read(ctx, ledger.Work{Clip: at.Clip, Run: at.Run, Segment: at.Segment, Step: findings.Decode}.Key(), &d); err != nil {
			return findings.Objects{}, err
		}
		if _, err := l.Fetch(ctx, *d.Staged); err != nil {
			return findings.Objects{}, err
		}
		crop, err := l.Side(ctx, at.Clip, "jpg", "image/jpeg", fmt.Appendf(nil, "crop %d", at.Segment))
		return findings.Objects{Tracks: []findings.Track{{ID: 1, Object: findings.Person, Crop: &crop}}}, err
	}, func(o findings.Objects) event.Event {
		return events.Detected{OfSegment: at, Active: true, Persons: len(o.Tracks)}.Event(findings.Detect)
	}))
}

func (m *model) encode(ctx context.Context, l *ledger.Ledger, out join.Emitter, at events.OfSegment) error {
	return ledger.Run(ctx, l, analysis(m, l, out, at, findings.Encode, func(ctx context.Context) (findings.Encoded, error) {
		var n findings.Numbered
		if err := l.Read(ctx, ledger.Work{Clip: at.Clip, Run: at.Run, Segment: at.Segment, Step: findings.Tracks}.Key(), &n); err != nil {
			return findings.Encoded{}, err
		}
		video, err := l.Side(ctx, at.Clip, "mp4", "video/mp4", fmt.Appendf(nil, "video %d of %d", at.Segment, n.Highest))
		return findings.Encoded{Videos: []findings.Video{{Media: video}}}, err
	}, func(findings.Encoded) event.Event { return events.Encoded{OfSegment: at}.Event(findings.Encode) }))
}

func (m *model) assemble(ctx context.Context, l *ledger.Ledger, out join.Emitter, at events.OfSegment) error {
	p, err := l.Progress(ctx, at.Clip, at.Run)
	if err != nil {
		return err
	}
	if slices.Contains(p.Answers, findings.StatusRejected) || len(p.Parts) == 0 {
		return nil
	}
	highest := 0
	for i := range p.Segments {
		state := p.States[i]
		if state == ledger.Open {
			return nil
		}
		// How many persons there were so far depends on every segment before, and on nothing else.
		if p.Has(i, findings.Detect) {
			highest++
		}
		work := ledger.Work{Clip: at.Clip, Run: at.Run, Segment: i, Step: findings.Tracks}
		n, err := ledger.Commit(ctx, l, work.Key(), findings.Numbered{Highest: highest})
		if err != nil {
			return err
		}
		highest = n.Highest
		if i >= at.Segment && !p.Has(i, findings.Encode) && !p.GaveUp(i, findings.Encode) {
			tracked := events.Tracked{OfSegment: events.OfSegment{OfRun: at.OfRun, Segment: i}, Active: state == ledger.Active}
			if err := out.Emit(ctx, tracked.Event(findings.Assemble)); err != nil {
				return err
			}
		}
	}
	if !p.Whole() {
		return nil
	}
	report := findings.Report{Clip: at.Clip, Run: at.Run, Status: findings.StatusAnalyzed, Duration: float64(highest)}
	if _, err := ledger.Commit(ctx, l, ledger.RunKey(at.Clip, at.Run, findings.StatusAnalyzed+".json"), report); err != nil {
		return err
	}
	if err := out.Emit(ctx, join.Reported(at.OfRun, report, findings.StatusAnalyzed).Analyzed(findings.Assemble)); err != nil {
		return err
	}
	for i := range p.Segments {
		if p.States[i] == ledger.Active && !p.Has(i, findings.Encode) && !p.GaveUp(i, findings.Encode) {
			return nil
		}
		if len(p.Dead[i]) > 0 {
			report.Segments = append(report.Segments, findings.ReportedSegment{Start: float64(i), Failed: p.Dead[i][0]})
		}
	}
	return ledger.Run(ctx, l, ledger.Step[findings.Report]{
		Work: ledger.Work{Clip: at.Clip, Run: at.Run, Segment: ledger.Whole, Step: findings.StatusCompleted},
		Make: func(context.Context) (findings.Report, error) {
			report.Status = findings.StatusCompleted
			return report, nil
		},
		Tail: func(ctx context.Context, _ findings.Report) error {
			_, err := join.Answer(ctx, l, out, findings.Assemble, at.OfRun)
			return err
		},
		GivenUp: func(ctx context.Context, a ledger.Abandonment) error {
			return join.Fail(ctx, l, out, findings.Assemble, at.OfRun, a)
		},
	})
}

// trial plays the model through one schedule.
type trial struct {
	*model
	ledgertest.Cluster
	sweeps  int
	created map[string]int
}

// age is when a sweep takes work for lost.
const age = 10 * time.Minute

func (m *model) trial() *trial {
	t := &trial{model: m, created: map[string]int{}}
	t.Bucket = ledgertest.New()
	t.Parallel = 3
	t.Handle = func(ctx context.Context, b ledger.Bucket, out ledgertest.Emitter, e event.Event) error {
		return m.handle(ctx, &recorder{Bucket: b, created: t.created}, out, e)
	}
	t.Kill = func(_ int, op ledgertest.Op) ledgertest.Fate {
		if op.Key == poisonous {
			return ledgertest.KillBefore
		}
		return ledgertest.Spare
	}
	t.Rest = t.sweep
	return t
}

// sweep is what reconcile does when the clock ticks.
func (t *trial) sweep(ctx context.Context, b ledger.Bucket, out ledgertest.Emitter) error {
	if t.sweeps++; t.sweeps > 40 {
		return nil
	}
	t.Bucket.Advance(2 * age)
	l := ledger.New(b)
	now, err := l.Now(ctx)
	if err != nil {
		return err
	}
	open, err := l.OpenRuns(ctx)
	if err != nil {
		return err
	}
	for _, r := range open {
		if _, err := join.Resume(ctx, l, out, "reconcile", r, now.Add(-age)); err != nil {
			return err
		}
	}
	return nil
}

// recorder counts commits, and fails the test's expectations of who may write what.
type recorder struct {
	ledger.Bucket
	created map[string]int
}

func (r *recorder) Create(ctx context.Context, key string, body []byte, mediaType string) error {
	err := r.Bucket.Create(ctx, key, body, mediaType)
	if err == nil {
		r.created[key]++
	}
	return err
}

func (r *recorder) Put(ctx context.Context, key string, body []byte, mediaType string) error {
	if strings.HasSuffix(key, ".json") {
		return fmt.Errorf("%s was overwritten", key)
	}
	return r.Bucket.Put(ctx, key, body, mediaType)
}

// admit does what ingest does.
func (t *trial) admit() event.Event {
	l := ledger.New(t.Bucket)
	c, err := l.Admit(context.Background(), ledger.Clip{ID: clipID, Day: "2026-11-22"})
	if err == nil {
		_, err = l.Open(context.Background(), c, 1)
	}
	if err != nil {
		panic(err) // nothing goes wrong in memory
	}
	return events.Uploaded{OfRun: events.OfRun{Clip: clipID, Run: 1}}.Event("ingest")
}

// run plays the whole run, in which no handler may fail for any reason of its own.
func (t *trial) run(seed uint64) error {
	err := t.Run(seed, t.admit())
	return errors.Join(append([]error{err}, t.Failed...)...)
}

// outcome is what a run left behind: results by key, without what tells of the way there.
func (t *trial) outcome() map[string]string {
	left := map[string]string{}
	for _, key := range t.Bucket.Keys("") {
		body, _ := t.Bucket.Get(context.Background(), key)
		switch dir, _, _ := strings.Cut(key, "/"); dir {
		case clipID, "open", "done":
			left[key] = string(body)
		}
	}
	return left
}

// check compares a trial with the one in which nothing went wrong.
func (t *trial) check(want map[string]string) error {
	var wrong []error
	if got := t.outcome(); !maps.Equal(want, got) {
		wrong = append(wrong, fmt.Errorf("what is left differs (-want +got):\n%s", cmp.Diff(want, got)))
	}
	for key, n := range t.created {
		if strings.HasSuffix(key, ".json") && n != 1 {
			wrong = append(wrong, fmt.Errorf("%s was committed %d times", key, n))
		}
	}
	if t.emitted(events.ClipCompleted) == 0 {
		wrong = append(wrong, errors.New("nobody was told that the clip is completed"))
	}
	return errors.Join(wrong...)
}

func (t *trial) emitted(typ string) int {
	n := 0
	for _, e := range t.Emitted {
		if e.Type() == typ {
			n++
		}
	}
	return n
}

func testModel() *model {
	return &model{active: []bool{false, true, false, true}, perPart: 2, window: 2}
}

// undisturbed is what is left when nothing goes wrong.
func (m *model) undisturbed(t *testing.T) map[string]string {
	t.Helper()
	tr := m.trial()
	if err := tr.run(0); err != nil {
		t.Fatal(err)
	}
	return tr.outcome()
}

func TestUndisturbed(t *testing.T) {
	t.Parallel()
	m := testModel()
	want := m.undisturbed(t)
	counts := map[string]int{}
	for key := range want {
		dir, base := path.Split(key)
		switch {
		case strings.HasPrefix(key, "open/"), strings.HasPrefix(key, "done/"):
			counts[key]++
		case path.Ext(key) == ".mkv":
			t.Errorf("staged frames are left: %s", key)
		case strings.Contains(dir, "/seg/"):
			counts[base]++
		}
	}
	if diff := cmp.Diff(map[string]int{
		"decode.json": 4, "detect.json": 3, "tracks.json": 4, "encode.json": 2,
		"analyzed.active": 2, "analyzed.quiet": 2, "done/" + clipID + "-1": 1,
	}, counts); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}

	for seed := range seeds(40) {
		tr := m.trial()
		if err := errors.Join(tr.run(seed), tr.check(want)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if left := tr.Bucket.Keys("attempts/"); len(left) > 0 {
			t.Fatalf("seed %d: attempts are left open: %v", seed, left)
		}
		if tr.sweeps != 1 {
			t.Errorf("seed %d: it took %d sweeps, want 1, which finds nothing to do", seed, tr.sweeps)
		}
	}
}

// TestKilledAnywhere lets something go wrong at each operation of a whole run, one at a time.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	m := testModel()
	want := m.undisturbed(t)
	for name, fate := range map[string]ledgertest.Fate{
		"before":     ledgertest.KillBefore,
		"after":      ledgertest.KillAfter,
		"unanswered": ledgertest.Unanswered,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range seeds(1) {
				for at := 0; ; at++ {
					tr := m.trial()
					tr.Kill = func(n int, _ ledgertest.Op) ledgertest.Fate {
						if n == at {
							return fate
						}
						return ledgertest.Spare
					}
					err := tr.run(seed)
					if fate == ledgertest.Unanswered && len(tr.Failed) == 1 {
						err = nil // that is the one
					}
					if err = errors.Join(err, tr.check(want)); err != nil {
						t.Fatalf("seed %d, at operation %d: %v", seed, at, err)
					}
					if at >= tr.Operations {
						break
					}
				}
			}
		})
	}
}

// seeds are the first few seeds, or more for a long test: VEDETTE_SEEDS multiplies them.
func seeds(few uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv("VEDETTE_SEEDS"), 10, 32); err == nil {
		return few * n
	}
	return few
}

// TestDisorder has events lost and doubled, and processes killed, all in one run.
func TestDisorder(t *testing.T) {
	t.Parallel()
	m := testModel()
	want := m.undisturbed(t)
	for _, c := range []struct{ lost, doubled float64 }{{.02, .1}, {.5, 0}, {0, .5}, {.2, .2}} {
		t.Run(fmt.Sprintf("lost %v doubled %v", c.lost, c.doubled), func(t *testing.T) {
			t.Parallel()
			for seed := range seeds(40) {
				tr := m.trial()
				random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same for the same seed
				tr.Lose = func(int) bool { return random.Float64() < c.lost }
				tr.Double = func(int) bool { return random.Float64() < c.doubled && len(tr.Emitted) < 500 }
				kills := 0
				tr.Kill = func(int, ledgertest.Op) ledgertest.Fate {
					if random.IntN(100) > 0 || kills == 2 { // three might be taken for poison, and rightly
						return ledgertest.Spare
					}
					kills++
					return ledgertest.Fate(1 + random.IntN(3))
				}
				err := tr.Run(seed, tr.admit())
				if err = errors.Join(err, tr.check(want)); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

// TestPoisoned has work that kills its process every time. It is given up, and the rest is as it would be.
func TestPoisoned(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		step    string
		segment int
		gone    []string // of the segment
	}{
		{findings.Decode, 1, []string{"analyzed.active", "decode.json", "detect.json", "encode.json"}},
		{findings.Detect, 1, []string{"analyzed.active", "detect.json", "encode.json"}},
		{findings.Detect, 3, []string{"analyzed.active", "detect.json", "encode.json"}},
		{findings.Encode, 1, []string{"encode.json"}},
	} {
		t.Run(fmt.Sprintf("%s %d", c.step, c.segment), func(t *testing.T) {
			t.Parallel()
			m := testModel()
			var want []string
			segment := fmt.Sprintf("%s/1/seg/%05d/", clipID, c.segment)
			for key := range m.undisturbed(t) {
				if !strings.Contains(key, "/side/") && !slices.ContainsFunc(c.gone, func(name string) bool { return key == segment+name }) {
					want = append(want, key)
				}
			}
			m.poison = ledger.Work{Clip: clipID, Run: 1, Segment: c.segment, Step: c.step}
			want = append(want, fmt.Sprintf("%s/1/dead/%05d/%s.json", clipID, c.segment, c.step))
			if c.step != findings.Encode {
				want = append(want, segment+"analyzed.failed")
			}
			slices.Sort(want)
			for seed := range seeds(15) {
				tr := m.trial()
				err := tr.Run(seed, tr.admit())
				got := slices.DeleteFunc(slices.Sorted(maps.Keys(tr.outcome())), func(key string) bool { return strings.Contains(key, "/side/") })
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Fatalf("seed %d: %v, what is left (-want +got):\n%s", seed, err, diff)
				}
				if tr.emitted(events.StepAbandoned) == 0 {
					t.Errorf("seed %d: nobody was told that it is given up", seed)
				}
			}
		})
	}
}

// TestPoisonedPlan has a clip that kills whoever reads it: the run is answered.
func TestPoisonedPlan(t *testing.T) {
	t.Parallel()
	m := testModel()
	m.poison = ledger.Part(clipID, 1, 1)
	for seed := range seeds(15) {
		tr := m.trial()
		if err := tr.Run(seed, tr.admit()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		left := tr.outcome()
		if _, done := left["done/"+clipID+"-1"]; !done || left[clipID+"/1/rejected.json"] == "" || tr.emitted(events.ClipRejected) == 0 {
			t.Fatalf("seed %d: not rejected: %v", seed, slices.Sorted(maps.Keys(left)))
		}
	}
}

// TestLateResult gives up on a finding that then comes after all, from a duplicate that was at work all the while, when
// the chain of tracks has already gone on without it.
func TestLateResult(t *testing.T) {
	t.Parallel()
	for seed := range seeds(15) {
		m := testModel()
		tr := m.trial()
		late := events.OfSegment{OfRun: events.OfRun{Clip: clipID, Run: 1}, Segment: 1}
		first := tr.admit()
		work := ledger.Work{Clip: clipID, Run: 1, Segment: late.Segment, Step: findings.Detect}
		if _, err := ledger.New(tr.Bucket).GiveUp(t.Context(), work, "in this test"); err != nil {
			t.Fatal(err)
		}
		handle := tr.Handle
		tr.Handle = func(ctx context.Context, b ledger.Bucket, out ledgertest.Emitter, e event.Event) error {
			if e.Type() == events.SegmentTracked && strings.HasSuffix(e.ID(), "/1/tracked") && e.Extensions()["active"] == "false" {
				l := ledger.New(b)
				if _, err := ledger.Commit(ctx, l, work.Key(), findings.Objects{}); err != nil {
					return err
				}
				return m.detect(ctx, l, out, late)
			}
			return handle(ctx, b, out, e)
		}
		if err := tr.Run(seed, first); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		left := tr.outcome()
		if _, done := left["done/"+clipID+"-1"]; !done || left[clipID+"/1/completed.json"] == "" {
			t.Fatalf("seed %d: not completed: %v", seed, slices.Sorted(maps.Keys(left)))
		}
	}
}

// TestGrowth sends the first events of a long clip several times. Each duplicate costs a few more, never more and more.
func TestGrowth(t *testing.T) {
	t.Parallel()
	m := &model{active: make([]bool, 40), perPart: 7, window: 2}
	for i := range m.active {
		m.active[i] = i%2 == 0
	}
	once := m.trial()
	if err := once.run(1); err != nil {
		t.Fatal(err)
	}
	const times = 5
	again := m.trial()
	first := again.admit()
	for range times {
		if err := again.Run(1, first, first); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d segments: %d events, %d with duplicates", len(m.active), len(once.Emitted), len(again.Emitted))
	if len(once.Emitted) > 10*len(m.active) {
		t.Errorf("%d events for %d segments", len(once.Emitted), len(m.active))
	}
	if len(again.Emitted) > 3*len(once.Emitted) {
		t.Errorf("%d events when the first comes %d times, %d when it comes once", len(again.Emitted), 2*times, len(once.Emitted))
	}
}
