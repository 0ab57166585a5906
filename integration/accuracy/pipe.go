package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/functions/assemble"
	"vedette.dev/functions/decode"
	decodeffmpeg "vedette.dev/functions/decode/ffmpeg"
	"vedette.dev/functions/detect"
	"vedette.dev/functions/detect/native"
	"vedette.dev/functions/split"
	splitffmpeg "vedette.dev/functions/split/ffmpeg"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/ledger/ledgertest"
	"vedette.dev/shared/vision"
)

// pipe is the way of a clip from split to the report in one process: the functions themselves on a bucket in memory, each event
// handed on as soon as it is sent.
type pipe struct {
	bucket *ledgertest.Bucket
	clips  map[string][]byte
	waits  []event.Event
	by     map[string]func(ctx context.Context, e event.Event) error
	ledger *ledger.Ledger
}

// told is what Vedette says of a clip.
type told struct {
	Report   findings.Report
	Segments []segment
}

type segment struct {
	ledger.Segment
	findings.Decoded
	seen []sighting // what is seen in it, with the clip's track numbers
}

// sighting is an object in a frame.
type sighting struct {
	us     int64
	track  int
	object string
	box    vision.Box
	face   *vision.Box
	score  float64
}

type quietly struct{}

func (quietly) ModelLoaded(string, time.Duration)   {}
func (quietly) Inferred(string, int, time.Duration) {}

// settings are the functions' own, as their environment would have them by default.
type settings struct {
	split  split.Config
	decode decode.Config
	detect detect.Config
}

// newPipe is a pipe whose networks are loaded; without networks it ends at the gate.
func newPipe(s settings, networks *native.Networks) *pipe {
	bucket := ledgertest.New()
	p := &pipe{bucket: bucket, clips: map[string][]byte{}, ledger: ledger.New(bucket)}
	if networks == nil {
		s.split.Staged = nil
	}
	cut := &split.Function{Config: s.split, Ledger: p.ledger, Clips: p, Cutter: splitffmpeg.Cutter{}, Out: p}
	look := &decode.Function{Config: s.decode, Ledger: p.ledger, Media: sides{p}, Decoder: decodeffmpeg.Decoder{Threads: s.decode.Threads}, Out: p}
	join := &assemble.Function{Ledger: p.ledger, Media: sides{p}, Out: p}
	p.by = map[string]func(context.Context, event.Event) error{
		events.ClipUploaded:    cut.Handle,
		events.PlanContinued:   cut.Handle,
		events.SegmentCut:      look.Handle,
		events.SegmentAnalyzed: join.Handle,
	}
	if networks != nil {
		find := &detect.Function{
			Config: s.detect, Ledger: p.ledger, Media: sides{p}, Reader: networks.Pictures(),
			Persons: networks.Persons, Faces: networks.Faces, Models: networks.Models, Out: p,
		}
		p.by[events.SegmentDecoded] = func(ctx context.Context, e event.Event) error {
			if e.Extensions()["staged"] != "true" { // as its Trigger filters
				return nil
			}
			return find.Handle(ctx, e)
		}
	}
	return p
}

// Emit hands an event on.
func (p *pipe) Emit(_ context.Context, e event.Event) error {
	p.waits = append(p.waits, e)
	return nil
}

type object struct{ *bytes.Reader }

func (object) Close() error { return nil }

// Open opens a clip.
func (p *pipe) Open(_ context.Context, _, key, _ string) (ledger.Source, error) {
	return object{bytes.NewReader(p.clips[key])}, nil
}

type sides struct{ *pipe }

func (s sides) Open(ctx context.Context, r findings.Ref) (ledger.Source, error) {
	body, err := s.bucket.Get(ctx, r.Key)
	return object{bytes.NewReader(body)}, err
}

// process sends a clip on its way, and returns what is said of it.
func (p *pipe) process(ctx context.Context, name string, body []byte) (told, error) {
	p.clips[name] = body
	defer func() { // one clip at a time is held
		delete(p.clips, name)
		for _, key := range p.bucket.Keys("") {
			_ = p.bucket.Delete(ctx, key)
		}
	}()
	clip := ledger.Clip{ID: ledger.ClipID("clips", name, ""), Day: "2026-11-22", Origin: findings.Origin{Bucket: "clips", Key: name}}
	if _, err := p.ledger.Admit(ctx, clip); err != nil {
		return told{}, err
	}
	if _, err := p.ledger.Open(ctx, clip, 1); err != nil {
		return told{}, err
	}
	p.waits = []event.Event{events.Uploaded{OfRun: events.OfRun{Clip: clip.ID, Run: 1}, Bucket: "clips", Key: name}.Event("accuracy")}
	for len(p.waits) > 0 {
		e := p.waits[0]
		p.waits = p.waits[1:]
		handle := p.by[e.Type()]
		if handle == nil {
			continue
		}
		if err := handle(ctx, e); err != nil {
			return told{}, fmt.Errorf("%s: %s: %w", name, e.Type(), err)
		}
	}
	return p.read(ctx, clip.ID)
}

// read reads what the ledger holds of a clip.
func (p *pipe) read(ctx context.Context, clip string) (told, error) {
	var t told
	var err error
	if t.Report, err = p.ledger.Report(ctx, clip, 1); err != nil {
		return t, err
	}
	progress, err := p.ledger.Progress(ctx, clip, 1)
	if err != nil {
		return t, err
	}
	renamed := map[int]int{} // what a later segment confirmed
	for _, planned := range progress.Segments {
		s := segment{Segment: planned}
		work := ledger.Work{Clip: clip, Run: 1, Segment: planned.Index, Step: findings.Decode}
		if err := p.ledger.Read(ctx, work.Key(), &s.Decoded); err != nil {
			return t, err
		}
		var numbered findings.Numbered
		work.Step = findings.Tracks
		if err := p.ledger.Read(ctx, work.Key(), &numbered); err != nil {
			return t, err
		}
		maps.Copy(renamed, numbered.Confirmed)
		if s.Staged != nil && slices.Contains(progress.Steps[planned.Index], findings.Detect) {
			var found findings.Objects
			work.Step = findings.Detect
			if err := p.ledger.Read(ctx, work.Key(), &found); err != nil {
				return t, err
			}
			for _, track := range found.Tracks {
				for _, o := range track.Points {
					s.seen = append(s.seen, sighting{o.US, numbered.Numbers[track.ID], track.Object, o.Box, o.Face, o.Score})
				}
			}
		}
		t.Segments = append(t.Segments, s)
	}
	for i := range t.Segments {
		seen := t.Segments[i].seen
		for j := range seen {
			if is, ok := renamed[seen[j].track]; ok {
				seen[j].track = is
			}
		}
		// Who was never confirmed is not reported.
		t.Segments[i].seen = slices.DeleteFunc(seen, func(s sighting) bool { return s.track < 0 })
	}
	return t, nil
}
