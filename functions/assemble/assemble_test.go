package assemble

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/ledger/ledgertest"
)

// outbox takes events.
type outbox struct {
	events []event.Event
	broken int // fails that many times first
}

func (o *outbox) Emit(_ context.Context, e event.Event) error {
	if o.broken > 0 {
		o.broken--
		return errors.New("the broker is away")
	}
	o.events = append(o.events, e)
	return nil
}

// kinds counts events by type, each id once.
func (o *outbox) kinds() map[string]int {
	ids, count := map[string]bool{}, map[string]int{}
	for _, e := range o.events {
		if !ids[e.ID()] {
			ids[e.ID()] = true
			count[strings.TrimPrefix(e.Type(), "dev.vedette.")]++
		}
	}
	return count
}

// videos opens any side object and joins by writing down what it was given.
type videos struct{ fails error }

type named struct{ key string }

func (n named) ReadAt([]byte, int64) (int, error) { return 0, nil }
func (n named) Size() int64                       { return 0 }
func (n named) Close() error                      { return nil }

func (videos) Open(_ context.Context, r findings.Ref) (ledger.Source, error) {
	return named{r.Key}, nil
}

func (v videos) Join(_ context.Context, path string, segments []ledger.Source) error {
	var all []string
	for _, s := range segments {
		all = append(all, s.(named).key)
	}
	return errors.Join(v.fails, os.WriteFile(path, []byte(strings.Join(all, " ")), 0o600))
}

const clip = "0123456789abcdef0123456789abcdef"

// bench is a run in a ledger, ready to be assembled.
type bench struct {
	*Function
	t      *testing.T
	bucket *ledgertest.Bucket
	out    *outbox
	run    events.OfRun
}

func newBench(t *testing.T, segments ...bool) bench {
	t.Helper()
	b := bench{t: t, bucket: ledgertest.New(), out: &outbox{}, run: events.OfRun{Clip: clip, Run: 1}}
	l := ledger.New(b.bucket)
	b.Function = &Function{Ledger: l, Media: videos{}, Joiner: videos{}, Out: b.out}
	c, err := l.Admit(t.Context(), ledger.Clip{ID: clip, Day: "2026-11-22", Origin: findings.Origin{Bucket: "clips", Key: "a.mp4", By: "upload"}})
	b.must(err)
	_, err = l.Open(t.Context(), c, 1)
	b.must(err)
	p := ledger.Plan{
		Last: true, Window: 4, Width: 1920, Height: 1080, Codec: "h264",
		Requires: ledger.Requirements{Always: []string{findings.Decode}, Staged: []string{findings.Detect}},
	}
	for i := range segments {
		p.Segments = append(p.Segments, ledger.Segment{
			Index: i, StartUS: int64(i) * 10 * second, EndUS: int64(i+1) * 10 * second,
			Media: findings.Ref{Key: fmt.Sprintf("%s/side/%d.mp4", clip, i), Size: 1000}, Container: "mp4", Header: 100,
		})
	}
	_, err = ledger.Commit(t.Context(), l, ledger.Part(clip, 1, 0).Key(), p)
	b.must(err)
	for i, active := range segments {
		d := findings.Decoded{Active: active}
		if active {
			d.Staged = &findings.Ref{}
			commit(b, i, findings.Detect, segmentOf(t, int64(i)*10*second, int64(i+1)*10*second,
				walk{0, 1000 * second, .1, .01, .8}))
		}
		commit(b, i, findings.Decode, d)
		_, err := l.Conclude(t.Context(), clip, 1, i)
		b.must(err)
	}
	return b
}

func commit[T any](b bench, segment int, step string, doc T) {
	b.t.Helper()
	_, err := ledger.Commit(b.t.Context(), b.Ledger, ledger.Work{Clip: clip, Run: 1, Segment: segment, Step: step}.Key(), doc)
	b.must(err)
}

func (b bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b bench) at(segment int) events.OfSegment {
	return events.OfSegment{OfRun: b.run, Segment: segment}
}

func (b bench) analyzed(segment int) error {
	return b.Handle(b.t.Context(), events.Analyzed{OfSegment: b.at(segment)}.Event("decode"))
}

func (b bench) encode(segment int) error {
	commit(b, segment, findings.Encode, findings.Encoded{Videos: []findings.Video{{
		Stretch: findings.Stretch{StartUS: int64(segment) * 10 * second, EndUS: int64(segment+1) * 10 * second},
		Media:   findings.Ref{Key: fmt.Sprint("v", segment)},
	}}})
	return b.Handle(b.t.Context(), events.Encoded{OfSegment: b.at(segment)}.Event("encode"))
}

func (b bench) report() findings.Report {
	b.t.Helper()
	r, err := b.Ledger.Report(b.t.Context(), clip, 1)
	b.must(err)
	return r
}

func TestWholeRun(t *testing.T) {
	b := newBench(t, true, false, true)
	for _, i := range rand.Perm(3) { // in any order
		b.must(b.analyzed(i))
	}
	if got := b.report(); got.Status != findings.StatusAnalyzed {
		t.Errorf("status %q before the video is there, want analyzed", got.Status)
	}
	b.must(b.encode(2))
	b.must(b.encode(0))
	want := map[string]int{"segment.v1.tracked": 3, "clip.v1.analyzed": 1, "clip.v1.completed": 1}
	if diff := cmp.Diff(want, b.out.kinds()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}

	r := b.report()
	if r.Status != findings.StatusCompleted || r.Duration != 30 || len(r.Segments) != 3 || r.Segments[1].Active {
		t.Errorf("report %+v", r)
	}
	if len(r.Tracks) != 1 || r.Tracks[0].Start != 0 || r.Tracks[0].End != 29.8 {
		t.Errorf("tracks %+v, want one from 0 to 29.8 s", r.Tracks)
	}
	joined, err := b.Ledger.Fetch(t.Context(), findings.Ref{Key: r.Media.Annotated})
	b.must(err)
	if string(joined) != "v0 v2" {
		t.Errorf("video of %q, want that of the active segments in order", joined)
	}
	if diff := cmp.Diff([]findings.Span{{At: 0, Start: 0, End: 10}, {At: 10, Start: 20, End: 30}}, r.Media.Spans); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	if open := b.bucket.Keys("open/"); len(open) > 0 {
		t.Errorf("still open: %v", open)
	}
	if done, err := b.Ledger.Done(t.Context(), clip, 1); !done || err != nil {
		t.Errorf("done %t, %v", done, err)
	}
}

// Delivered again after any failure to emit, the events end in the same answer.
func TestBrokerAway(t *testing.T) {
	for fails := range 8 {
		b := newBench(t, true, true)
		b.out.broken = fails
		deliver := func(f func() error) {
			for range fails + 1 {
				if f() == nil {
					return
				}
			}
			t.Errorf("with %d failures: still failing", fails)
		}
		deliver(func() error { return b.analyzed(1) })
		deliver(func() error { return b.analyzed(0) })
		deliver(func() error { return b.encode(0) })
		deliver(func() error { return b.encode(1) })
		want := map[string]int{"segment.v1.tracked": 2, "clip.v1.analyzed": 1, "clip.v1.completed": 1}
		if diff := cmp.Diff(want, b.out.kinds()); diff != "" {
			t.Errorf("with %d failures, events (-want +got):\n%s", fails, diff)
		}
	}
}

func TestDeadEncodeCostsOnlyTheVideo(t *testing.T) {
	b := newBench(t, true, true)
	b.must(b.analyzed(0))
	b.must(b.analyzed(1))
	b.must(b.encode(0))
	a, err := b.Ledger.GiveUp(t.Context(), ledger.Work{Clip: clip, Run: 1, Segment: 1, Step: findings.Encode}, "it crashes")
	b.must(err)
	b.must(b.Handle(t.Context(), events.Abandoned{OfSegment: b.at(1), Step: a.Step, Reason: a.Reason}.Event("encode")))
	r := b.report()
	if r.Status != findings.StatusCompleted || len(r.Tracks) != 1 || !strings.Contains(r.Media.Note, "1 active segments could not be encoded") {
		t.Errorf("report %+v, media %+v", r, r.Media)
	}
}

func TestFailedSegment(t *testing.T) {
	b := newBench(t, true)
	key := ledger.Work{Clip: clip, Run: 1, Segment: 0, Step: findings.Detect}.Key()
	b.must(b.bucket.Delete(t.Context(), key))
	b.must(b.bucket.Delete(t.Context(), clip+"/1/seg/00000/analyzed.active"))
	_, err := b.Ledger.GiveUp(t.Context(), ledger.Work{Clip: clip, Run: 1, Segment: 0, Step: findings.Detect}, "it crashes")
	b.must(err)
	_, err = b.Ledger.Conclude(t.Context(), clip, 1, 0)
	b.must(err)
	b.must(b.analyzed(0))
	if r := b.report(); r.Status != findings.StatusFailed || r.Segments[0].Failed != findings.Detect || r.Hint == "" {
		t.Errorf("report %+v, want failed by detect, and a hint", r)
	}
}

func TestProxy(t *testing.T) {
	b := newBench(t, true, false)
	for i := range 2 {
		commit(b, i, findings.Proxy, findings.Encoded{Videos: []findings.Video{{Media: findings.Ref{Key: fmt.Sprint("p", i)}}}})
	}
	encoded := events.Proxied{OfRun: b.run}.Encoded("encode")
	b.must(b.Handle(t.Context(), encoded))
	b.must(b.Handle(t.Context(), encoded))
	var made findings.Proxied
	b.must(b.Ledger.Read(t.Context(), ledger.RunKey(clip, 1, "proxy.json"), &made))
	joined, err := b.Ledger.Fetch(t.Context(), made.Video)
	b.must(err)
	if string(joined) != "p0 p1" {
		t.Errorf("proxy of %q", joined)
	}
	if diff := cmp.Diff(map[string]int{"proxy.v1.completed": 1}, b.out.kinds()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestPlaylist(t *testing.T) {
	p := ledger.Progress{
		Parts: []ledger.Plan{{Codec: "h264", Audio: "aac"}},
		Segments: []ledger.Segment{
			{StartUS: 0, EndUS: 10_400_000, Container: "mp4", Header: 700, Media: findings.Ref{Key: "c/side/a.mp4", Size: 5000}},
			{StartUS: 10_400_000, EndUS: 20_000_000, Container: "mp4", Header: 710, Media: findings.Ref{Key: "c/side/b.mp4", Size: 6000}},
		},
	}
	want := `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-TARGETDURATION:11
#EXT-X-MAP:URI="../side/a.mp4",BYTERANGE="700@0"
#EXTINF:10.400000,
#EXT-X-BYTERANGE:4300@700
../side/a.mp4
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="../side/b.mp4",BYTERANGE="710@0"
#EXTINF:9.600000,
#EXT-X-BYTERANGE:5290@710
../side/b.mp4
#EXT-X-ENDLIST
`
	got, ok := playlist(p)
	if !ok || got != want {
		t.Errorf("%t, (-want +got):\n%s", ok, cmp.Diff(want, got))
	}
	for codec, audio := range map[string]string{"hevc": "", "h264": "pcm_mulaw"} {
		p.Parts[0].Codec, p.Parts[0].Audio = codec, audio
		if _, ok := playlist(p); ok {
			t.Errorf("a playlist of %s with %q, which browsers do not play", codec, audio)
		}
	}
}
