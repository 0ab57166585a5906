package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/functions/decode"
	decodeffmpeg "vedette.dev/functions/decode/ffmpeg"
	"vedette.dev/functions/detect"
	"vedette.dev/functions/detect/native"
	"vedette.dev/functions/split"
	splitffmpeg "vedette.dev/functions/split/ffmpeg"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/ledger/ledgertest"
)

// pipe is functions in this process, on a bucket in memory, one called after the other: what they cost without what lies
// between them.
type pipe struct {
	bucket *ledgertest.Bucket
	clip   []byte
	sent   []event.Event
}

// settings are the functions' own, as their environment would have them by default.
type settings struct {
	split  split.Config
	decode decode.Config
	detect detect.Config
}

func defaults() (settings, error) {
	var s settings
	for _, config := range []any{&s.split, &s.decode, &s.detect} {
		err := function.Parse(config, func(name string) (string, bool) {
			switch name {
			case "VEDETTE_ONNXRUNTIME": // is this machine's
				return os.LookupEnv(name)
			case "VEDETTE_WINDOW": // there is nobody to let the later segments in
				return "64", true
			case "VEDETTE_DEVICE":
				return "cpu", true
			}
			return "", false
		})
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// Emit keeps an event.
func (p *pipe) Emit(_ context.Context, e event.Event) error {
	p.sent = append(p.sent, e)
	return nil
}

// take takes the events of a type out of those that were sent.
func (p *pipe) take(kind string) []event.Event {
	var taken []event.Event
	p.sent = slices.DeleteFunc(p.sent, func(e event.Event) bool {
		if e.Type() == kind {
			taken = append(taken, e)
		}
		return e.Type() == kind
	})
	return taken
}

// fork is the same pipe once more, so that what is done with one is not done for the other.
func (p *pipe) fork() *pipe { return &pipe{bucket: p.bucket.Clone(), clip: p.clip} }

type object struct{ *bytes.Reader }

func (object) Close() error { return nil }

// Open opens the clip.
func (p *pipe) Open(context.Context, string, string, string) (ledger.Source, error) {
	return object{bytes.NewReader(p.clip)}, nil
}

type sides struct{ *pipe }

func (s sides) Open(ctx context.Context, r findings.Ref) (ledger.Source, error) {
	body, err := s.bucket.Get(ctx, r.Key)
	return object{bytes.NewReader(body)}, err
}

// newPipe is a pipe with a clip, split: what it sent are the cut segments.
func newPipe(ctx context.Context, s settings, clip []byte) (*pipe, error) {
	p := &pipe{bucket: ledgertest.New(), clip: clip}
	l := ledger.New(p.bucket)
	c := ledger.Clip{ID: ledger.ClipID("clips", "bench", ""), Day: "2026-11-22", Origin: findings.Origin{Bucket: "clips", Key: "bench"}}
	if _, err := l.Admit(ctx, c); err != nil {
		return nil, err
	}
	if _, err := l.Open(ctx, c, 1); err != nil {
		return nil, err
	}
	f := &split.Function{Config: s.split, Ledger: l, Clips: p, Cutter: splitffmpeg.Cutter{}, Out: p}
	uploaded := events.Uploaded{OfRun: events.OfRun{Clip: c.ID, Run: 1}, Bucket: "clips", Key: "bench"}
	return p, f.Handle(ctx, uploaded.Event("bench"))
}

// decode gives decode a cut segment, and returns what it found.
func (p *pipe) decode(ctx context.Context, s settings, e event.Event) (findings.Decoded, error) {
	l := ledger.New(p.bucket)
	f := &decode.Function{Config: s.decode, Ledger: l, Media: sides{p}, Decoder: decodeffmpeg.Decoder{Threads: s.decode.Threads}, Out: p}
	var found findings.Decoded
	if err := f.Handle(ctx, e); err != nil {
		return found, err
	}
	var d events.Cut
	if err := e.DataAs(&d); err != nil {
		return found, err
	}
	work := ledger.Work{Clip: d.Clip, Run: d.Run, Segment: d.Segment, Step: findings.Decode}
	if err := l.Read(ctx, work.Key(), &found); err != nil {
		return found, fmt.Errorf("decode committed nothing: %w", err)
	}
	return found, nil
}

// detect gives detect a decoded segment.
func (p *pipe) detect(ctx context.Context, s settings, n native.Networks, e event.Event) error {
	f := &detect.Function{
		Config: s.detect, Ledger: ledger.New(p.bucket), Media: sides{p}, Reader: n.Pictures(),
		Persons: n.Persons, Faces: n.Faces, Models: n.Models, Out: p,
	}
	if err := f.Handle(ctx, e); err != nil {
		return err
	}
	if len(p.take(events.ObjectsDetected)) == 0 {
		return fmt.Errorf("detect sent no %s", events.ObjectsDetected)
	}
	return nil
}

// quietly is told what networks cost, and tells nobody.
type quietly struct{}

func (quietly) ModelLoaded(string, time.Duration)   {}
func (quietly) Inferred(string, int, time.Duration) {}
