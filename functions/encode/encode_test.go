package encode

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/ledger/ledgertest"
	"vedette.dev/shared/overlay"
	"vedette.dev/shared/vision"
)

// outbox takes events.
type outbox struct{ events []event.Event }

func (o *outbox) Emit(_ context.Context, e event.Event) error {
	o.events = append(o.events, e)
	return nil
}

func (o *outbox) types() (types []string) {
	for _, e := range o.events {
		types = append(types, strings.TrimPrefix(e.Type(), "dev.vedette."))
	}
	return types
}

// studio opens any side object and encodes by writing down what was ordered.
type studio struct {
	orders []Order
	opened map[string]int // not closed yet
	fails  error
}

type named struct {
	key    string
	opened map[string]int
}

func (n named) ReadAt([]byte, int64) (int, error) { return 0, nil }
func (n named) Size() int64                       { return 0 }
func (n named) Close() error                      { n.opened[n.key]--; return nil }

func (s *studio) Open(_ context.Context, r findings.Ref) (ledger.Source, error) {
	s.opened[r.Key]++
	return named{r.Key, s.opened}, nil
}

func (s *studio) Encode(_ context.Context, source ledger.Source, o Order) (Video, error) {
	s.orders = append(s.orders, o)
	return Video{
		MP4: []byte("video of " + source.(named).key), Width: 1280, Height: 720, Poster: []byte("poster"),
	}, s.fails
}

const (
	clip  = "0123456789abcdef0123456789abcdef"
	media = clip + "/side/1.mp4"
)

var at = events.OfSegment{OfRun: events.OfRun{Clip: clip, Run: 1, Camera: "door"}, Segment: 1}

// bench is an active segment of a clip, tracked and ready to be encoded.
type bench struct {
	*Function
	t      *testing.T
	bucket *ledgertest.Bucket
	studio *studio
	out    *outbox
}

func newBench(t *testing.T) bench {
	t.Helper()
	b := bench{t: t, bucket: ledgertest.New(), studio: &studio{opened: map[string]int{}}, out: &outbox{}}
	b.Function = &Function{
		Config: Config{Width: 1280, Height: 720},
		Ledger: ledger.New(b.bucket), Media: b.studio, Encoder: b.studio, Out: b.out,
	}
	commit(b, ledger.Part(clip, 1, 0), ledger.Plan{
		Last: true, Width: 1920, Height: 1080, Audio: "aac",
		Segments: []ledger.Segment{
			{Index: 0, EndUS: 10_000_000},
			{Index: 1, StartUS: 10_000_000, EndUS: 21_000_000, Media: findings.Ref{Key: media}},
		},
	})
	commit(b, work(at, findings.Decode), findings.Decoded{Active: true, Stretches: []findings.Stretch{
		{StartUS: 10_000_000, EndUS: 12_000_000}, {StartUS: 15_000_000, EndUS: 21_000_000},
	}})
	commit(b, work(at, findings.Detect), findings.Objects{Tracks: []findings.Track{
		{ID: 1, Object: findings.Person, Points: points(10_200_000, 10_400_000)},
		{ID: 2, Object: findings.Person, Points: points(10_400_000, 10_600_000)},
		{ID: 3, Object: findings.Person, Points: points(10_800_000)},
	}})
	commit(b, work(at, findings.Tracks), findings.Numbered{Numbers: map[int]int{1: 7, 2: 3, 3: -1}})
	return b
}

func points(times ...int64) (list []findings.Observation) {
	for _, us := range times {
		list = append(list, findings.Observation{US: us, Box: vision.Box{X: .1, Y: .1, W: .1, H: .3}, Score: .5})
	}
	return list
}

func commit[T any](b bench, w ledger.Work, doc T) {
	b.t.Helper()
	_, err := ledger.Commit(b.t.Context(), b.Ledger, w.Key(), doc)
	b.must(err)
}

func (b bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b bench) tracked() error {
	return b.Handle(b.t.Context(), events.Tracked{OfSegment: at, Active: true}.Event("assemble"))
}

func TestEncode(t *testing.T) {
	b := newBench(t)
	b.must(b.tracked())

	want := []Order{{
		StartUS: 10_000_000, EndUS: 12_000_000, ClipWidth: 1920, ClipHeight: 1080, Width: 1280, Height: 720, Sound: true,
		Tracks: []overlay.Track{ // by the clip's numbers, the unconfirmed one left out
			{Number: 7, Points: points(10_200_000, 10_400_000)},
			{Number: 3, Points: points(10_400_000, 10_600_000)},
		},
		PosterUS: 10_400_000, // where both are seen
	}}
	then := want[0]
	then.StartUS, then.EndUS = 15_000_000, 21_000_000
	want = append(want, then)
	if diff := cmp.Diff(want, b.studio.orders); diff != "" {
		t.Errorf("ordered: %s", diff)
	}
	var found findings.Encoded
	b.must(b.Ledger.Read(t.Context(), work(at, findings.Encode).Key(), &found))
	if len(found.Videos) != 2 || found.Videos[1].StartUS != 15_000_000 {
		t.Fatalf("videos %+v, want one of each stretch", found.Videos)
	}
	video, err := b.Ledger.Fetch(t.Context(), found.Videos[0].Media)
	b.must(err)
	if string(video) != "video of "+media || found.Videos[0].Media.Type != "video/mp4" {
		t.Errorf("the video is %q, %s", video, found.Videos[0].Media.Type)
	}
	if found.Poster == nil || found.Poster.Type != "image/jpeg" {
		t.Errorf("poster %+v", found.Poster)
	}
	if found.Width != 1280 || found.Height != 720 || found.Made.Version != version {
		t.Errorf("committed %+v", found)
	}
	if diff := cmp.Diff([]string{"segment.v1.encoded"}, b.out.types()); diff != "" {
		t.Errorf("sent: %s", diff)
	}
	if b.studio.opened[media] != 0 {
		t.Error("the segment was left open")
	}
}

// TestEncodeOnce: an event that comes again finds the result there, and is passed on again.
func TestEncodeOnce(t *testing.T) {
	b := newBench(t)
	b.must(b.tracked())
	b.must(b.tracked())
	if len(b.studio.orders) != 2 || len(b.out.events) != 2 || b.out.events[0].ID() != b.out.events[1].ID() {
		t.Errorf("encoded %d times, sent %v", len(b.studio.orders), b.out.types())
	}
}

func TestQuietSegmentIsNotEncoded(t *testing.T) {
	b := newBench(t)
	b.must(b.Handle(t.Context(), events.Tracked{OfSegment: at}.Event("assemble")))
	if len(b.studio.orders)+len(b.out.events) != 0 {
		t.Errorf("encoded %d times, sent %v", len(b.studio.orders), b.out.types())
	}
}

func TestProxy(t *testing.T) {
	b := newBench(t)
	ask := events.Requested{OfSegment: events.OfSegment{OfRun: at.OfRun}}.Event("vedette")
	b.must(b.Handle(t.Context(), ask))
	b.must(b.Handle(t.Context(), b.out.events[0])) // the next segment, which it asks itself for
	want := []Order{
		{EndUS: 10_000_000, ClipWidth: 1920, ClipHeight: 1080, Width: 1280, Height: 720, Sound: true, Plain: true, PosterUS: -1},
		{StartUS: 10_000_000, EndUS: 21_000_000, ClipWidth: 1920, ClipHeight: 1080, Width: 1280, Height: 720, Sound: true, Plain: true, PosterUS: -1},
	}
	if diff := cmp.Diff(want, b.studio.orders); diff != "" {
		t.Errorf("ordered: %s", diff)
	}
	if diff := cmp.Diff([]string{"proxy.v1.requested", "proxy.v1.encoded"}, b.out.types()); diff != "" {
		t.Errorf("sent: %s", diff)
	}
	b.must(b.Handle(t.Context(), ask))
	if len(b.studio.orders) != 2 || len(b.out.events) != 3 {
		t.Errorf("asked again: encoded %d times, sent %v", len(b.studio.orders), b.out.types())
	}
}

func TestFailureLeavesNothing(t *testing.T) {
	b := newBench(t)
	b.studio.fails = errors.New("out of memory")
	if err := b.tracked(); !errors.Is(err, b.studio.fails) {
		t.Errorf("%v", err)
	}
	if keys := b.bucket.Keys("attempts/"); len(keys) != 0 {
		t.Errorf("the attempt stays open: %v", keys)
	}
	if b.studio.opened[media] != 0 || len(b.out.events) != 0 {
		t.Errorf("left open %v, sent %v", b.studio.opened, b.out.types())
	}
	b.studio.fails = nil
	b.must(b.tracked())
}

func TestGivenUp(t *testing.T) {
	b := newBench(t)
	_, err := b.Ledger.GiveUp(t.Context(), work(at, findings.Encode), "it dies")
	b.must(err)
	b.must(b.tracked())
	if diff := cmp.Diff([]string{"step.v1.abandoned"}, b.out.types()); diff != "" || len(b.studio.orders) != 0 {
		t.Errorf("encoded %d times, sent: %s", len(b.studio.orders), diff)
	}
}

func TestUnreadableEvent(t *testing.T) {
	b := newBench(t)
	e := event.New()
	e.SetType(events.SegmentTracked)
	if err := e.SetData("application/json", []byte(`"what?"`)); err != nil {
		t.Fatal(err)
	}
	if err := b.Handle(t.Context(), e); function.Status(err) != 422 {
		t.Errorf("%v", err)
	}
}

func TestTellingMoment(t *testing.T) {
	face := points(14_000_000)
	face[0].Face = &vision.Box{X: .1, Y: .1, W: .02, H: .02}
	tests := map[string]struct {
		tracks []overlay.Track
		want   int64
	}{
		"nobody":           {nil, 10_000_000},
		"the first of two": {[]overlay.Track{{Points: points(11_000_000, 12_000_000)}}, 11_000_000},
		"most objects":     {[]overlay.Track{{Points: points(11_000_000, 12_000_000)}, {Points: points(12_000_000)}}, 12_000_000},
		"a face":           {[]overlay.Track{{Points: points(11_000_000)}, {Points: face}}, 14_000_000},
		"in a pause":       {[]overlay.Track{{Points: points(13_500_000)}}, 10_000_000},
		"elsewhere":        {[]overlay.Track{{Points: points(1_000_000, 25_000_000)}}, 10_000_000},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := telling(test.tracks, []findings.Stretch{{StartUS: 10_000_000, EndUS: 13_000_000}, {StartUS: 14_000_000, EndUS: 20_000_000}}); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	var c Config
	if err := function.Parse(&c, func(string) (string, bool) { return "", false }); err != nil {
		t.Fatal(err)
	}
	if want := (Config{Width: 1280, Height: 720, Threads: 1}); c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
}
