package split

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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

const second = int64(1_000_000)

// film is a clip of so many segments of ten seconds.
type film struct {
	segments int
	slow     time.Duration // each segment takes so long to cut
	fails    error         // after the last
	opens    error
}

type reel struct{ *bytes.Reader }

func (reel) Close() error { return nil }

func (f film) Open(context.Context, string, string, string) (ledger.Source, error) {
	return reel{bytes.NewReader([]byte("film"))}, f.opens
}

func (f film) Cut(_ context.Context, _ ledger.Source, fromUS int64, _ time.Duration) (Cuts, error) {
	return &cutting{f, int(fromUS / 10 / second)}, nil
}

type cutting struct {
	film
	next int
}

func (*cutting) About() About { return About{Width: 640, Height: 360, Codec: "h264"} }
func (*cutting) Close() error { return nil }

func (c *cutting) Next() (Cut, error) {
	if c.next == c.segments {
		return Cut{}, cmpOr(c.fails, io.EOF)
	}
	time.Sleep(c.slow)
	i := int64(c.next)
	c.next++
	return Cut{StartUS: i * 10 * second, EndUS: (i + 1) * 10 * second, Container: "mp4", Header: 10, Body: reel{bytes.NewReader(fmt.Append(nil, "segment ", i))}}, nil
}

func cmpOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

type outbox struct{ sent []event.Event }

func (o *outbox) Emit(_ context.Context, e event.Event) error {
	o.sent = append(o.sent, e)
	return nil
}

func (o *outbox) ids() []string {
	var ids []string
	for _, e := range o.sent {
		ids = append(ids, strings.TrimPrefix(e.ID(), clip.ID+"/1/"))
	}
	return ids
}

var clip = ledger.Clip{ID: "0123456789abcdef0123456789abcdef", Day: "2026-11-22", Origin: findings.Origin{Bucket: "clips", Key: "a.mp4", ETag: "e"}}

func newFunction(t *testing.T, f film) (*Function, *outbox, *ledgertest.Bucket) {
	t.Helper()
	bucket, out := ledgertest.New(), &outbox{}
	l := ledger.New(bucket)
	if _, err := l.Admit(t.Context(), clip); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Open(t.Context(), clip, 1); err != nil {
		t.Fatal(err)
	}
	var c Config
	if err := function.Parse(&c, func(string) (string, bool) { return "", false }); err != nil {
		t.Fatal(err)
	}
	return &Function{Config: c, Ledger: l, Clips: f, Cutter: f, Out: out}, out, bucket
}

var run = events.OfRun{Clip: clip.ID, Run: 1}

func uploaded() event.Event { return events.Uploaded{OfRun: run}.Event("ingest") }

func plan(t *testing.T, f *Function, part int) ledger.Plan {
	t.Helper()
	var p ledger.Plan
	if err := f.Ledger.Read(t.Context(), ledger.Part(clip.ID, 1, part).Key(), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWindow(t *testing.T) {
	f, out, bucket := newFunction(t, film{segments: 6})
	for range 2 {
		if err := f.Handle(t.Context(), uploaded()); err != nil {
			t.Fatal(err)
		}
	}
	first := []string{"0/cut", "1/cut", "2/cut", "3/cut"}
	if want := slices.Concat(first, first); !slices.Equal(out.ids(), want) {
		t.Errorf("sent %v, want %v", out.ids(), want)
	}
	p := plan(t, f, 0)
	if !p.Last || len(p.Segments) != 6 || p.Segments[5].EndUS != 60*second || p.Width != 640 {
		t.Errorf("plan %+v", p)
	}
	if sides := bucket.Keys(clip.ID + "/side/"); len(sides) != 6 {
		t.Errorf("side objects %v", sides)
	}
	if left := bucket.Keys("attempts/"); len(left) > 0 {
		t.Errorf("attempts left open: %v", left)
	}
}

// A segment that was analyzed before the part with the one it makes room for was committed: split sends that one.
func TestRoomMadeBefore(t *testing.T) {
	f, out, bucket := newFunction(t, film{segments: 6})
	if err := bucket.Put(t.Context(), clip.ID+"/1/seg/00001/analyzed.quiet", nil, ""); err != nil {
		t.Fatal(err)
	}
	if err := f.Handle(t.Context(), uploaded()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"0/cut", "1/cut", "2/cut", "3/cut", "5/cut"}; !slices.Equal(out.ids(), want) {
		t.Errorf("sent %v, want %v", out.ids(), want)
	}
}

func TestParts(t *testing.T) {
	f, out, _ := newFunction(t, film{segments: 3, slow: 2 * time.Millisecond})
	f.Part = time.Millisecond
	next := uploaded()
	for part := range 3 {
		out.sent = nil
		if err := f.Handle(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		p := plan(t, f, part)
		if p.First != part || len(p.Segments) != 1 || p.Segments[0].Index != part || p.Last != (part == 2) {
			t.Errorf("part %d is %+v", part, p)
		}
		want := []string{fmt.Sprintf("%d/cut", part)}
		if part < 2 {
			want = append(want, fmt.Sprintf("plan/%d", part+1))
			next = out.sent[1]
		}
		if diff := cmp.Diff(want, out.ids()); diff != "" {
			t.Errorf("part %d sent (-want +got):\n%s", part, diff)
		}
	}
}

func TestRejections(t *testing.T) {
	for name, test := range map[string]struct {
		film   film
		reason string
	}{
		"empty":      {film{}, "no keyframes"},
		"damaged":    {film{segments: 2, fails: &Rejection{"truncated", "Upload it again."}}, "truncated"},
		"deleted":    {film{opens: ledger.ErrNotExist}, "deleted meanwhile"},
		"overwrites": {film{opens: fmt.Errorf("open: %w", store.ErrChanged)}, "overwritten meanwhile"},
	} {
		t.Run(name, func(t *testing.T) {
			f, out, bucket := newFunction(t, test.film)
			for range 2 {
				if err := f.Handle(t.Context(), uploaded()); err != nil {
					t.Fatal(err)
				}
			}
			r, err := f.Ledger.Report(t.Context(), clip.ID, 1)
			if err != nil || r.Status != findings.StatusRejected || r.Reason != test.reason || r.Hint == "" {
				t.Errorf("report %+v, %v", r, err)
			}
			if want := []string{"rejected"}; !slices.Equal(slices.Compact(out.ids()), want) {
				t.Errorf("sent %v, want %v", out.ids(), want)
			}
			if open := bucket.Keys("open/"); len(open) > 0 {
				t.Errorf("still open: %v", open)
			}
		})
	}
}

func TestTransient(t *testing.T) {
	away := errors.New("the store is away")
	f, out, bucket := newFunction(t, film{segments: 2, fails: away})
	if err := f.Handle(t.Context(), uploaded()); !errors.Is(err, away) {
		t.Errorf("%v, want what failed", err)
	}
	if len(out.sent) > 0 || len(bucket.Keys("attempts/")) > 0 {
		t.Errorf("sent %v, attempts %v", out.ids(), bucket.Keys("attempts/"))
	}
}

// A clip that kills the process three times is not read a fourth time.
func TestCrashes(t *testing.T) {
	f, _, bucket := newFunction(t, film{segments: 1})
	for i := range 3 {
		key := fmt.Sprintf("attempts/%s/1/whole/plan-00000/%d", clip.ID, i)
		if err := bucket.Put(t.Context(), key, nil, ""); err != nil {
			t.Fatal(err)
		}
	}
	bucket.Advance(time.Minute)
	if err := f.Handle(t.Context(), uploaded()); err != nil {
		t.Fatal(err)
	}
	if r, err := f.Ledger.Report(t.Context(), clip.ID, 1); err != nil || r.Reason != "crashes the reader" {
		t.Errorf("report %+v, %v", r, err)
	}
}

func TestNonsense(t *testing.T) {
	f, _, _ := newFunction(t, film{})
	if err := f.Handle(t.Context(), events.Cut{}.Event("split")); function.Status(err) != http.StatusUnprocessableEntity {
		t.Errorf("an event of another function: %v", err)
	}
}
