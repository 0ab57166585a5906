package reconcile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"vedette.dev/events"
	"vedette.dev/functions/assemble"
	"vedette.dev/functions/decode"
	"vedette.dev/functions/detect"
	"vedette.dev/functions/encode"
	"vedette.dev/functions/ingest"
	"vedette.dev/functions/reconcile"
	"vedette.dev/functions/split"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/ledger/ledgertest"
	"vedette.dev/shared/store"
	"vedette.dev/shared/vision"
	"vedette.dev/shared/vision/face"
)

// The functions themselves, from ingest to reconcile, with everything native made up: whatever happens to events and
// processes on the way of a clip, its report is the same.

// scene is what a made-up clip shows, a letter for each segment of a second: m, somebody moves; q, nothing does.
const scene = "qmqm"

const clipKey = "door/2026-11-22T10-20-30Z.mp4"

// pipeline is all functions as processes that see the same buckets.
type pipeline struct {
	ledgertest.Cluster
	clips *ledgertest.Bucket
	ticks int
}

func newPipeline() *pipeline {
	p := &pipeline{clips: ledgertest.New()}
	if err := p.clips.Put(context.Background(), clipKey, []byte(scene), "video/mp4"); err != nil {
		panic(err) // nothing goes wrong in memory
	}
	p.Bucket, p.Parallel, p.Handle, p.Rest = ledgertest.New(), 3, p.handle, p.tick
	return p
}

func (p *pipeline) etag() string {
	for e := range p.clips.List(context.Background(), clipKey, "") {
		return e.ETag
	}
	return ""
}

// upload is how the store tells of the clip.
func (p *pipeline) upload() event.Event {
	return events.Stored{Bucket: "clips", Key: clipKey, ETag: p.etag(), Size: int64(len(scene)), At: p.clips.Now()}.Event("store")
}

func (p *pipeline) tick(ctx context.Context, b ledger.Bucket, out ledgertest.Emitter) error {
	if p.ticks++; p.ticks > 40 {
		return nil
	}
	p.Bucket.Advance(30 * time.Minute)
	p.clips.Advance(30 * time.Minute)
	return p.reconcile(ctx, b, out, events.Ticked("clock", p.Bucket.Now()))
}

func (p *pipeline) reconcile(ctx context.Context, b ledger.Bucket, out ledgertest.Emitter, e event.Event) error {
	f := &reconcile.Function{
		Config: reconcile.Config{Overdue: 10 * time.Minute, Page: 100},
		Bucket: "clips", Clips: clips{p.clips}, Ledger: ledger.New(b), Out: out, Log: slog.New(slog.DiscardHandler),
	}
	return f.Handle(ctx, e)
}

// handle does what the Triggers do, and handles the event in a process of its own.
func (p *pipeline) handle(ctx context.Context, b ledger.Bucket, out ledgertest.Emitter, e event.Event) error {
	l := ledger.New(b)
	n := native{l}
	alone := func(_ context.Context, do func() error) error { return do() }
	is := func(extension string) bool { return e.Extensions()[extension] == "true" }
	switch typ := e.Type(); {
	case strings.HasPrefix(typ, events.ObjectCreated):
		f := &ingest.Function{Bucket: "clips", Ledger: l, Objects: uploads{clips{p.clips}}, Out: out, Log: slog.New(slog.DiscardHandler)}
		return f.Handle(ctx, e)
	case typ == events.ClipUploaded, typ == events.PlanContinued:
		// So short a time for a part that each has one segment.
		config := split.Config{Length: time.Second, Window: 2, Part: 1, Always: []string{findings.Decode}, Staged: []string{findings.Detect}}
		f := &split.Function{Config: config, Ledger: l, Clips: uploads{clips{p.clips}}, Cutter: n, Out: out, Alone: alone}
		return f.Handle(ctx, e)
	case typ == events.SegmentCut:
		f := &decode.Function{Config: decode.Config{Rate: 5, Width: 160, Height: 90}, Ledger: l, Media: n, Decoder: decoder{n}, Out: out, Alone: alone}
		return f.Handle(ctx, e)
	case typ == events.SegmentDecoded && is("staged"):
		f := &detect.Function{
			Config: detect.Config{Batch: 2, FaceArea: 1 << 14, FaceWidth: 20}, Ledger: l, Media: n, Reader: n, Persons: persons{}, Faces: faces{},
			Out: out, Alone: alone,
		}
		return f.Handle(ctx, e)
	case typ == events.SegmentTracked && is("active"):
		f := &encode.Function{Ledger: l, Media: n, Encoder: n, Out: out, Alone: alone}
		return f.Handle(ctx, e)
	case typ == events.SegmentAnalyzed, typ == events.SegmentEncoded, typ == events.StepAbandoned:
		f := &assemble.Function{Ledger: l, Media: n, Joiner: n, Out: out, Alone: alone}
		return f.Handle(ctx, e)
	case typ == events.ClipCompleted:
		return p.reconcile(ctx, b, out, e)
	}
	return nil
}

// clips is the bucket of clips, as reconcile sees it.
type clips struct{ *ledgertest.Bucket }

func (c clips) Stat(ctx context.Context, key string) (store.Info, error) {
	for e, err := range c.List(ctx, key, "") {
		return store.Info{Entry: e}, err
	}
	return store.Info{}, ledger.ErrNotExist
}

// uploads are the same, as ingest and split see them.
type uploads struct{ clips }

func (u uploads) Stat(ctx context.Context, _, key string) (store.Info, error) {
	return u.clips.Stat(ctx, key)
}

func (u uploads) Open(ctx context.Context, _, key, etag string) (ledger.Source, error) {
	i, err := u.clips.Stat(ctx, key)
	if err == nil && i.ETag != etag {
		err = store.ErrChanged
	}
	if err != nil {
		return nil, err
	}
	b, err := u.Get(ctx, key)
	return source{bytes.NewReader(b)}, err
}

type source struct{ *bytes.Reader }

func (source) Close() error { return nil }

func text(s ledger.Source) string {
	b := make([]byte, s.Size())
	_, _ = s.ReadAt(b, 0)
	return string(b)
}

// native is what FFmpeg and the networks would do.
type native struct{ ledger *ledger.Ledger }

func (n native) Open(ctx context.Context, r findings.Ref) (ledger.Source, error) {
	b, err := n.ledger.Fetch(ctx, r)
	return source{bytes.NewReader(b)}, err
}

type cuts struct {
	scene string
	next  int
}

func (native) Cut(_ context.Context, clip ledger.Source, fromUS int64, _ time.Duration) (split.Cuts, error) {
	return &cuts{text(clip), int(fromUS / 1e6)}, nil
}

func (*cuts) About() split.About { return split.About{Width: 160, Height: 90, Codec: "h264"} }
func (*cuts) Close() error       { return nil }
func (c *cuts) Next() (split.Cut, error) {
	i := c.next
	if i == len(c.scene) {
		return split.Cut{}, io.EOF
	}
	c.next++
	time.Sleep(time.Nanosecond) // a part is full once any time has passed
	body := source{bytes.NewReader(fmt.Appendf(nil, "%c%d", c.scene[i], i))}
	return split.Cut{StartUS: int64(i) * 1e6, EndUS: int64(i+1) * 1e6, Container: "mov", Header: 1, Body: body}, nil
}

// decoder opens the video of a segment.
type decoder struct{ native }

type video struct {
	moves bool
	from  int64
	at    int64
	times []int64
}

func (d decoder) Open(_ context.Context, s ledger.Source, startUS, _ int64) (decode.Clip, error) {
	return &video{moves: text(s)[0] == 'm', from: startUS}, nil
}

func (*video) Size() (width, height int)                              { return 160, 90 }
func (*video) Close() error                                           { return nil }
func (*video) Packets(context.Context) ([]decode.Packet, error)       { return nil, nil }
func (v *video) Look(context.Context, int64) (decode.Pictures, error) { return v.again(), nil }
func (v *video) again() *video                                        { return &video{moves: v.moves, from: v.from} }
func (v *video) Sample(context.Context, float64, int, int) (decode.Samples, error) {
	return v.again(), nil
}

func (v *video) Next() (decode.Picture, error) {
	if v.at == 1e6 {
		return decode.Picture{}, io.EOF
	}
	p := decode.Picture{US: v.from + v.at, Width: 160, Height: 90, Pix: bytes.Repeat([]byte{100}, 160*90)}
	if v.moves {
		left := int(v.at / 200_000 * 20)
		for y := 20; y < 70; y++ {
			for x := left; x < left+20; x++ {
				p.Pix[y*160+x] = 220
			}
		}
	}
	v.at += 200_000
	return p, nil
}

func (v *video) Stage() error {
	v.times = append(v.times, v.from+v.at-200_000)
	return nil
}

func (v *video) Finish() (decode.Staged, error) {
	return decode.Staged{Times: v.times, Width: 160, Height: 90, Matroska: fmt.Append(nil, v.times)}, nil
}

// frames are staged ones.
type frames []int64

type frame int64

func (native) Frames(_ context.Context, _ ledger.Source, d findings.Decoded) (detect.Frames, error) {
	f := frames(d.Frames)
	return &f, nil
}

func (native) JPEG(m vision.Image) ([]byte, error) { return fmt.Append(nil, m.W, m.H), nil }

func (*frames) Close() error { return nil }
func (f *frames) Next() (detect.Frame, error) {
	if len(*f) == 0 {
		return nil, io.EOF
	}
	us := (*f)[0]
	*f = (*f)[1:]
	return frame(us), nil
}

func (f frame) US() int64                               { return int64(f) }
func (frame) ForPersons() vision.Image                  { return vision.NewImage(16, 9) }
func (frame) ForFaces() vision.Image                    { return vision.NewImage(16, 9) }
func (frame) Cut(vision.Box, int) (vision.Image, error) { return vision.NewImage(4, 8), nil }
func (frame) Close() error                              { return nil }

type persons struct{}

// Detect finds the same person in every picture.
func (persons) Detect(_ context.Context, pictures []vision.Image) ([][]vision.Detection, error) {
	found := make([][]vision.Detection, len(pictures))
	for i := range found {
		found[i] = []vision.Detection{{Box: vision.Box{X: .4, Y: .2, W: .1, H: .5}, Score: .9}}
	}
	return found, nil
}

type faces struct{}

func (faces) Detect(_ context.Context, pictures []vision.Image) ([][]face.Face, error) {
	return make([][]face.Face, len(pictures)), nil
}

func (faces) Verify(context.Context, vision.Image, []face.Face) ([]float64, error) { return nil, nil }

func (native) Encode(_ context.Context, s ledger.Source, o encode.Order) (encode.Video, error) {
	return encode.Video{MP4: fmt.Appendf(nil, "%s with %d tracks;", text(s), len(o.Tracks)), Width: 160, Height: 90, Poster: []byte(text(s))}, nil
}

func (native) Join(_ context.Context, path string, segments []ledger.Source) error {
	var joined []byte
	for _, s := range segments {
		joined = append(joined, text(s)...)
	}
	return os.WriteFile(path, joined, 0o600)
}

// outcome is what is left: every object by its key, results without what they cost.
func (p *pipeline) outcome() map[string]string {
	left := map[string]string{}
	for _, key := range p.Bucket.Keys("") {
		switch dir, _, _ := strings.Cut(key, "/"); dir {
		case "attempts", "reconcile", "clock":
			continue
		}
		body, _ := p.Bucket.Get(context.Background(), key)
		left[key] = string(body)
		var doc map[string]any
		if strings.HasSuffix(key, ".json") && json.Unmarshal(body, &doc) == nil {
			delete(doc, "made")
			delete(doc, "steps")
			left[key] = fmt.Sprint(doc)
		}
	}
	return left
}

func (p *pipeline) check(want map[string]string) error {
	if got := p.outcome(); !maps.Equal(want, got) {
		return fmt.Errorf("what is left differs (-want +got):\n%s", cmp.Diff(want, got))
	}
	if !slices.ContainsFunc(p.Emitted, func(e event.Event) bool { return e.Type() == events.ClipCompleted }) {
		return errors.New("nobody was told that the clip is completed")
	}
	return nil
}

// undisturbed plays a clip on which nothing goes wrong, and returns what is left.
func undisturbed(t *testing.T) map[string]string {
	t.Helper()
	p := newPipeline()
	if err := errors.Join(append(p.Failed, p.Run(0, p.upload()))...); err != nil {
		t.Fatal(err)
	}
	return p.outcome()
}

// seeds is how many orders to try: VEDETTE_SEEDS multiplies them, and has every operation tried instead of some.
func seeds(few uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv("VEDETTE_SEEDS"), 10, 32); err == nil {
		return few * n
	}
	return few
}

func TestPipeline(t *testing.T) {
	t.Parallel()
	want := undisturbed(t)
	id := ledger.ClipID("clips", clipKey, newPipeline().etag())
	for _, key := range []string{id + "/1/completed.json", id + "/1/seg/00003/encode.json", "done/" + id + "-1"} {
		if _, there := want[key]; !there {
			t.Errorf("%s is missing", key)
		}
	}
	// One who moves, stands still and moves again is one person, seen in every segment.
	if report := want[id+"/1/completed.json"]; strings.Count(report, "object:person") != 1 || !strings.Contains(report, "start:0") {
		t.Errorf("report %s", report)
	}
	for seed := range seeds(20) {
		p := newPipeline()
		err := p.Run(seed, p.upload())
		if err = errors.Join(append(p.Failed, err, p.check(want))...); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestPipelineKilledAnywhere(t *testing.T) {
	t.Parallel()
	want := undisturbed(t)
	stride := 4 // package ledger tries every operation of its model; with the functions themselves, some do
	if seeds(1) > 1 {
		stride = 1
	}
	for seed := range seeds(1) {
		for at := 0; ; at += stride {
			fate := ledgertest.Fate(1 + at%3)
			p := newPipeline()
			p.Kill = func(n int, _ ledgertest.Op) ledgertest.Fate {
				if n == at {
					return fate
				}
				return ledgertest.Spare
			}
			err := p.Run(seed, p.upload())
			if err = errors.Join(err, p.check(want)); err != nil {
				t.Fatalf("seed %d, fate %d at operation %d: %v", seed, fate, at, err)
			}
			if at >= p.Operations {
				break
			}
		}
	}
}

func TestPipelineInDisorder(t *testing.T) {
	t.Parallel()
	want := undisturbed(t)
	for seed := range seeds(25) {
		p := newPipeline()
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same for the same seed
		p.Lose = func(int) bool { return random.IntN(10) == 0 }
		p.Double = func(int) bool { return random.IntN(5) == 0 && len(p.Emitted) < 1000 }
		kills := 0
		p.Kill = func(int, ledgertest.Op) ledgertest.Fate {
			if random.IntN(100) > 0 || kills == 2 {
				return ledgertest.Spare
			}
			kills++
			return ledgertest.Fate(1 + random.IntN(3))
		}
		err := p.Run(seed, p.upload())
		if err = errors.Join(err, p.check(want)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
