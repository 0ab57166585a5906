package reconcile

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
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
	"vedette.dev/shared/store"
)

// clips is a bucket in memory, as reconcile sees that of clips.
type clips struct{ *ledgertest.Bucket }

func (c clips) Stat(ctx context.Context, key string) (store.Info, error) {
	for entry, err := range c.List(ctx, key, "") {
		if err != nil || entry.Key == key {
			return store.Info{Entry: entry}, err
		}
	}
	return store.Info{}, ledger.ErrNotExist
}

type outbox []event.Event

func (o *outbox) Emit(_ context.Context, e event.Event) error {
	*o = append(*o, e)
	return nil
}

// said is what was sent, in short, since it was last asked.
func (o *outbox) said() []string {
	var said []string
	for _, e := range *o {
		said = append(said, strings.TrimPrefix(e.Type(), "dev.vedette.")+" "+e.ID())
	}
	*o = nil
	return said
}

// bench is a reconcile with a clip that ingest has just admitted.
type bench struct {
	*Function
	t      *testing.T
	ledger *ledgertest.Bucket
	clips  clips
	out    *outbox
	clip   ledger.Clip
	run    events.OfRun
}

const key = "door/a.mp4"

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, ledger: ledgertest.New(), clips: clips{ledgertest.New()}, out: &outbox{}}
	b.Function = &Function{
		Config: Config{Overdue: 10 * time.Minute, Page: 2},
		Bucket: "clips",
		Clips:  b.clips,
		Ledger: ledger.New(b.ledger),
		Out:    b.out,
		Log:    slog.New(slog.DiscardHandler),
	}
	b.clip, b.run = b.admit(key)
	return b
}

// admit puts a clip and has the ledger know it.
func (b *bench) admit(key string) (ledger.Clip, events.OfRun) {
	b.t.Helper()
	b.put(key, "video of "+key)
	info, err := b.clips.Stat(b.t.Context(), key)
	if err != nil {
		b.t.Fatal(err)
	}
	clip, err := b.Ledger.Admit(b.t.Context(), ledger.Clip{
		ID:     ledger.ClipID("clips", key, info.ETag),
		Day:    b.ledger.Now().Format(time.DateOnly),
		Origin: findings.Origin{Bucket: "clips", Key: key, ETag: info.ETag, Camera: "door"},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.Ledger.Open(b.t.Context(), clip, 1); err != nil {
		b.t.Fatal(err)
	}
	return clip, events.OfRun{Clip: clip.ID, Run: 1, Camera: "door"}
}

func (b *bench) put(key, body string) {
	b.t.Helper()
	if err := b.clips.Put(b.t.Context(), key, []byte(body), "video/mp4"); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) pass(d time.Duration) {
	b.ledger.Advance(d)
	b.clips.Advance(d)
}

func (b *bench) tick() {
	b.t.Helper()
	if err := b.Handle(b.t.Context(), events.Ticked("clock", time.Now())); err != nil {
		b.t.Fatal(err)
	}
}

func commit[T any](b *bench, segment int, step string, doc T) {
	b.t.Helper()
	work := ledger.Work{Clip: b.clip.ID, Run: 1, Segment: segment, Step: step}
	if _, err := ledger.Commit(b.t.Context(), b.Ledger, work.Key(), doc); err != nil {
		b.t.Fatal(err)
	}
}

// plan plans segments, two in each part and two in the window.
func (b *bench) plan(parts, of int) {
	b.t.Helper()
	for part := range parts {
		p := ledger.Plan{
			Part: part, First: 2 * part, Last: part+1 == of, Window: 2,
			Requires: ledger.Requirements{Always: []string{findings.Decode}, Staged: []string{findings.Detect}},
			Segments: []ledger.Segment{{Index: 2 * part}, {Index: 2*part + 1}},
		}
		commit(b, ledger.Whole, ledger.Part(b.clip.ID, 1, part).Step, p)
	}
}

func (b *bench) conclude(segment int) {
	b.t.Helper()
	if c, err := b.Ledger.Conclude(b.t.Context(), b.clip.ID, 1, segment); err != nil || c.State == ledger.Open {
		b.t.Fatalf("segment %d: %v, %v", segment, c, err)
	}
}

// done makes a segment that is analyzed, numbered and encoded.
func (b *bench) done(segment int) {
	b.t.Helper()
	commit(b, segment, findings.Decode, findings.Decoded{Active: true, Frames: []int64{0}, Staged: &findings.Ref{Key: "x"}})
	commit(b, segment, findings.Detect, findings.Objects{})
	b.conclude(segment)
	commit(b, segment, findings.Tracks, findings.Numbered{})
	commit(b, segment, findings.Encode, findings.Encoded{})
}

// TestResume has runs stand still at every point.
func TestResume(t *testing.T) {
	staged := findings.Decoded{Active: true, Frames: []int64{0}, Staged: &findings.Ref{Key: "x"}}
	for _, c := range []struct {
		name string
		to   func(b *bench)
		want []string // the ids begin with the run's
	}{
		{"nothing planned", func(*bench) {}, []string{"clip.v1.uploaded uploaded"}},
		{"a part missing", func(b *bench) { b.plan(1, 2); b.done(0); b.done(1) }, []string{"plan.v1.continued plan/1"}},
		{"cut, within the window", func(b *bench) { b.plan(2, 2) }, []string{"segment.v1.cut 0/cut", "segment.v1.cut 1/cut"}},
		{"cut, when the window has moved", func(b *bench) { b.plan(2, 2); b.done(0); b.done(1) },
			[]string{"segment.v1.cut 2/cut", "segment.v1.cut 3/cut"}},
		{"decoded, not detected", func(b *bench) { b.plan(1, 1); b.done(0); commit(b, 1, findings.Decode, staged) },
			[]string{"segment.v1.decoded 1/decoded"}},
		{"all found, not joined", func(b *bench) {
			b.plan(2, 2)
			b.done(0)
			b.done(2)
			commit(b, 1, findings.Decode, staged)
			commit(b, 1, findings.Detect, findings.Objects{})
		}, []string{"segment.v1.analyzed 1/analyzed", "segment.v1.cut 3/cut"}},
		{"quiet, not joined", func(b *bench) { b.plan(1, 1); b.done(0); commit(b, 1, findings.Decode, findings.Decoded{}) },
			[]string{"segment.v1.analyzed 1/analyzed"}},
		{"given up, not joined", func(b *bench) {
			b.plan(1, 1)
			b.done(0)
			if _, err := b.Ledger.GiveUp(b.t.Context(), ledger.Work{Clip: b.clip.ID, Run: 1, Segment: 1, Step: findings.Decode}, "x"); err != nil {
				b.t.Fatal(err)
			}
		}, []string{"segment.v1.analyzed 1/analyzed"}},
		{"analyzed, not numbered", func(b *bench) {
			b.plan(1, 1)
			for i := range 2 {
				commit(b, i, findings.Decode, findings.Decoded{})
				b.conclude(i)
			}
		}, []string{"segment.v1.analyzed 0/analyzed"}},
		{"numbered, not encoded", func(b *bench) {
			b.plan(1, 1)
			b.done(0)
			commit(b, 1, findings.Decode, staged)
			commit(b, 1, findings.Detect, findings.Objects{})
			b.conclude(1)
			commit(b, 1, findings.Tracks, findings.Numbered{})
		}, []string{"segment.v1.tracked 1/tracked"}},
		{"all there, not answered", func(b *bench) { b.plan(1, 1); b.done(0); b.done(1) }, []string{"segment.v1.analyzed 1/analyzed"}},
		{"answered, not closed", func(b *bench) {
			commit(b, ledger.Whole, findings.StatusCompleted, findings.Report{Status: findings.StatusCompleted})
		}, []string{"clip.v1.completed completed"}},
		{"rejected, not closed", func(b *bench) {
			commit(b, ledger.Whole, findings.StatusRejected, findings.Report{Status: findings.StatusRejected})
		}, []string{"clip.v1.rejected rejected"}},
		{"closed, but for the mark", func(b *bench) {
			if err := b.ledger.Put(b.t.Context(), "done/"+b.clip.ID+"-1", nil, ""); err != nil {
				b.t.Fatal(err)
			}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			c.to(b)
			b.tick()
			if early := b.out.said(); early != nil {
				t.Errorf("sent at once: %v", early)
			}
			b.pass(11 * time.Minute)
			b.tick()
			var want []string
			for _, w := range c.want {
				typ, what, _ := strings.Cut(w, " ")
				want = append(want, fmt.Sprintf("%s %s/1/%s", typ, b.clip.ID, what))
			}
			if diff := cmp.Diff(want, b.out.said()); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
			b.tick()
			if again := b.out.said(); again != nil {
				t.Errorf("sent again at the next tick: %v", again)
			}
		})
	}
}

// TestResumeSpares has work overdue at which somebody may just be.
func TestResumeSpares(t *testing.T) {
	b := newBench(t)
	b.plan(1, 1)
	b.pass(11 * time.Minute)
	attempt := fmt.Sprintf("attempts/%s/1/00001/decode/x", b.clip.ID)
	if err := b.ledger.Put(t.Context(), attempt, nil, ""); err != nil {
		t.Fatal(err)
	}
	b.tick()
	if diff := cmp.Diff([]string{"segment.v1.cut " + b.clip.ID + "/1/0/cut"}, b.out.said()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	b.pass(11 * time.Minute)
	b.tick()
	if said := b.out.said(); len(said) != 2 {
		t.Errorf("sent %v, want both when the attempt is old", said)
	}
}

// TestRestart has a broker begin anew that has lost what it held.
func TestRestart(t *testing.T) {
	b := newBench(t)
	b.plan(1, 1)
	if err := b.ledger.Put(t.Context(), fmt.Sprintf("attempts/%s/1/00001/decode/of-the-dead", b.clip.ID), nil, ""); err != nil {
		t.Fatal(err)
	}
	for range 5 { // however often
		if err := b.Handle(t.Context(), events.Restarted("local", time.Now())); err != nil {
			t.Fatal(err)
		}
		if said := b.out.said(); len(said) != 2 {
			t.Errorf("sent %v, want both segments at once", said)
		}
	}
}

// TestResumeGrowsTired has a run that nothing helps.
func TestResumeGrowsTired(t *testing.T) {
	b := newBench(t)
	sent := 0
	for range 24 * 6 {
		b.pass(10 * time.Minute)
		b.tick()
		sent += len(b.out.said())
	}
	// Every 10 minutes at first, then after 20, 40 and always 80.
	if sent < 15 || sent > 25 {
		t.Errorf("sent %d times in a day", sent)
	}
}

// TestPages has more clips under way than one tick looks at.
func TestPages(t *testing.T) {
	b := newBench(t)
	for i := range 4 {
		b.admit(fmt.Sprintf("door/%d.mp4", i))
	}
	b.pass(11 * time.Minute)
	var counts []int
	for range 3 {
		b.tick()
		counts = append(counts, len(b.out.said()))
	}
	if diff := cmp.Diff([]int{2, 2, 1}, counts); diff != "" {
		t.Errorf("clips resumed at each tick (-want +got):\n%s", diff)
	}
}

// TestLostUploads has uploads in the bucket of which nobody told.
func TestLostUploads(t *testing.T) {
	b := newBench(t)
	if err := b.Ledger.Close(t.Context(), b.clip, 1); err != nil {
		t.Fatal(err)
	}
	for _, lost := range []string{"a/lost.mp4", "b+c/lost too.mp4", "z/", "z/last.mp4"} {
		b.put(lost, lost)
	}
	b.tick()
	if early := b.out.said(); early != nil {
		t.Errorf("told at once: %v", early)
	}
	b.pass(11 * time.Minute)
	var told []string
	for range 3 {
		b.tick()
		for _, e := range *b.out {
			var d struct {
				Records []struct {
					S3 struct {
						Bucket struct{ Name string }
						Object struct{ Key, ETag string }
					}
				}
			}
			if err := e.DataAs(&d); err != nil || e.Type() != "com.amazonaws.s3.ObjectCreated:Put" || len(d.Records) != 1 {
				t.Fatalf("%v: %v", err, e)
			}
			key, err := url.QueryUnescape(d.Records[0].S3.Object.Key)
			if err != nil {
				t.Fatal(err)
			}
			told = append(told, d.Records[0].S3.Bucket.Name+"/"+key)
		}
		b.out.said()
	}
	slices.Sort(told)
	if diff := cmp.Diff([]string{"clips/a/lost.mp4", "clips/b+c/lost too.mp4", "clips/z/last.mp4"}, told); diff != "" {
		t.Errorf("told of (-want +got):\n%s", diff)
	}
}

func TestRetention(t *testing.T) {
	b := newBench(t)
	b.Retention = 30
	b.plan(1, 1)
	b.done(0)
	b.done(1)
	if err := b.Ledger.Close(t.Context(), b.clip, 1); err != nil {
		t.Fatal(err)
	}
	stuck, _ := b.admit("door/stuck.mp4")
	replaced, _ := b.admit("door/replaced.mp4")
	b.put("door/replaced.mp4", "something newer")
	b.pass(29 * 24 * time.Hour)
	b.tick()
	if left := b.clips.Keys(""); len(left) != 3 {
		t.Fatalf("after 29 days there are %v", left)
	}
	young, _ := b.admit("door/young.mp4")
	b.pass(2 * 24 * time.Hour)
	for range 3 {
		b.tick()
	}
	if diff := cmp.Diff([]string{"door/replaced.mp4", "door/young.mp4"}, b.clips.Keys("")); diff != "" {
		t.Errorf("clips that are left (-want +got):\n%s", diff)
	}
	for _, gone := range []ledger.Clip{b.clip, stuck, replaced} {
		if left := b.ledger.Keys(gone.ID); len(left) > 0 {
			t.Errorf("left of %s: %v", gone.Origin.Key, left)
		}
		if done, err := b.Ledger.Done(t.Context(), gone.ID, 1); err != nil || !done {
			t.Errorf("no tombstone of %s: %v", gone.Origin.Key, err)
		}
	}
	if diff := cmp.Diff([]string{"open/" + young.Day + "/" + young.ID + "-1"}, b.ledger.Keys("open/")); diff != "" {
		t.Errorf("under way (-want +got):\n%s", diff)
	}
}

func TestErasureCutShort(t *testing.T) {
	for n := 0; ; n++ {
		b := newBench(t)
		b.Retention = 30
		b.plan(1, 1)
		b.done(0)
		b.pass(31 * 24 * time.Hour)
		b.Ledger = ledger.New(ledgertest.CrashAfter(b.ledger, n))
		err := b.Handle(t.Context(), events.Ticked("clock", time.Now()))
		b.Ledger = ledger.New(b.ledger)
		for range 2 {
			b.tick()
		}
		if left := b.ledger.Keys(b.clip.ID); len(left) > 0 {
			t.Fatalf("left after a crash at operation %d: %v", n, left)
		}
		if err == nil {
			break
		}
	}
}

func dead(d interface{ Event(string) event.Event }, dest string, code any, said string) event.Event {
	e := d.Event("test")
	if dest != "" {
		e.SetExtension(errorDest, dest)
	}
	if code != nil {
		e.SetExtension(errorCode, code)
	}
	if said != "" {
		e.SetExtension(errorData, base64.StdEncoding.EncodeToString([]byte(said)))
	}
	return e
}

func TestDeadLetters(t *testing.T) {
	const decode, detect = "http://decode.vedette.svc.cluster.local/", "http://detect.vedette.svc.cluster.local"
	for _, c := range []struct {
		name   string
		letter func(s events.OfSegment) event.Event
		want   []string // types sent
		reason string   // in the ledger
	}{
		{"decode", func(s events.OfSegment) event.Event {
			return dead(events.Cut{OfSegment: s}, decode, 500, "out of memory")
		}, []string{"step.v1.abandoned", "segment.v1.analyzed"}, "500 Internal Server Error: out of memory"},
		{"decode refused", func(s events.OfSegment) event.Event { return dead(events.Cut{OfSegment: s}, decode, "422", "") },
			[]string{"step.v1.abandoned", "segment.v1.analyzed"}, "422"},
		{"encode", func(s events.OfSegment) event.Event {
			return dead(events.Tracked{OfSegment: s}, "http://127.0.0.1:8080/triggers/encode", 504, "")
		}, []string{"step.v1.abandoned"}, "504"},
		{"split", func(s events.OfSegment) event.Event {
			return dead(events.Uploaded{OfRun: s.OfRun}, "http://split.vedette.svc.cluster.local", 500, "")
		}, []string{"clip.v1.completed"}, ""},
		{"split, further on", func(s events.OfSegment) event.Event {
			return dead(events.Continued{OfRun: s.OfRun, Part: 3}, "http://split.vedette.svc.cluster.local", 500, "")
		}, []string{"clip.v1.completed"}, ""},
		{"assemble", func(s events.OfSegment) event.Event {
			return dead(events.Analyzed{OfSegment: s}, "http://assemble.vedette.svc.cluster.local", 500, "")
		}, []string{"clip.v1.completed"}, ""},
		{"nobody there", func(s events.OfSegment) event.Event { return dead(events.Cut{OfSegment: s}, decode, -1, "") }, nil, ""},
		{"store away", func(s events.OfSegment) event.Event { return dead(events.Cut{OfSegment: s}, decode, 503, "") }, nil, ""},
		{"nobody told why", func(s events.OfSegment) event.Event { return dead(events.Cut{OfSegment: s}, "", nil, "") }, nil, ""},
		{"somebody else's", func(s events.OfSegment) event.Event {
			return dead(events.Cut{OfSegment: s}, "http://alert.home.svc.cluster.local", 500, "")
		}, nil, ""},
		{"done after all", func(s events.OfSegment) event.Event {
			s.Segment = 0
			return dead(events.Decoded{OfSegment: s}, detect, 500, "")
		}, []string{"segment.v1.analyzed"}, ""},
		{"of a clip that is not known", func(s events.OfSegment) event.Event {
			s.Clip = "unknown"
			return dead(events.Decoded{OfSegment: s}, detect, 500, "")
		}, nil, ""},
		{"of no work", func(s events.OfSegment) event.Event {
			return dead(events.Detected{OfSegment: s}, "http://alert.home", 500, "")
		}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			if !strings.HasPrefix(c.name, "split") {
				b.plan(1, 1)
				b.done(0)
			}
			letter := c.letter(events.OfSegment{OfRun: b.run, Segment: 1})
			for range 2 { // a dead letter may come twice as well
				if err := b.Handle(t.Context(), letter); err != nil {
					t.Fatal(err)
				}
				var types []string
				for _, said := range b.out.said() {
					typ, _, _ := strings.Cut(said, " ")
					types = append(types, typ)
				}
				if b.closed() && types == nil {
					break // it was answered the first time
				}
				if diff := cmp.Diff(c.want, types); diff != "" {
					t.Errorf("sent (-want +got):\n%s", diff)
				}
			}
			if dead := b.ledger.Keys(b.clip.ID + "/1/dead/"); c.reason != "" {
				if len(dead) != 1 {
					t.Fatalf("dead: %v", dead)
				}
				if doc, _ := b.ledger.Get(t.Context(), dead[0]); !strings.Contains(string(doc), c.reason) {
					t.Errorf("%s says %s, want %q", dead[0], doc, c.reason)
				}
			}
			if len(c.want) == 1 && c.want[0] == "clip.v1.completed" {
				report, err := b.Ledger.Report(t.Context(), b.clip.ID, 1)
				if err != nil || report.Status != findings.StatusFailed || report.Reason == "" || report.Hint == "" || !b.closed() {
					t.Errorf("%+v, %v, closed %t", report, err, b.closed())
				}
			}
		})
	}
}

func (b *bench) closed() bool {
	done, err := b.Ledger.Done(b.t.Context(), b.clip.ID, 1)
	return err == nil && done && len(b.ledger.Keys("open/")) == 0
}

func TestAnsweredIsClosed(t *testing.T) {
	b := newBench(t)
	commit(b, 0, findings.Decode, findings.Decoded{Staged: &findings.Ref{Key: "staged.mkv"}})
	if err := b.ledger.Put(t.Context(), "staged.mkv", nil, ""); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Handle(t.Context(), events.Reported{OfRun: b.run, Status: findings.StatusCompleted}.Completed("assemble")); err != nil {
			t.Fatal(err)
		}
	}
	if !b.closed() {
		t.Errorf("not closed: %v", b.ledger.Keys("open/"))
	}
	if left := b.ledger.Keys("staged.mkv"); left != nil {
		t.Error("staged frames are left")
	}
}

func TestNonsense(t *testing.T) {
	b := newBench(t)
	e := events.Cut{}.Event("test")
	if err := b.Handle(t.Context(), e); function.Status(err) != http.StatusUnprocessableEntity {
		t.Errorf("a letter of no clip: %v", err)
	}
	b.Ledger = ledger.New(ledgertest.CrashAfter(b.ledger, 0))
	if err := b.Handle(t.Context(), events.Ticked("clock", time.Now())); !errors.Is(err, ledgertest.ErrKilled) {
		t.Errorf("a tick without a store: %v", err)
	}
}
