// Package split cuts an uploaded clip into segments that can be decoded by themselves, and plans what each requires.
//
// In: clip.uploaded, and plan.continued from itself. Out: segment.cut for the segments that fit into the clip's window,
// plan.continued while the clip goes on, or clip.rejected with a reason and a hint if the clip cannot be processed.
//
// The plan is committed in parts, each at most so much work, so that a clip of any length stays within the time of a
// request. The clip is read by ranges, under If-Match, and is never whole in memory or on disk. The rest of the window is
// opened by whoever analyzes a segment (package join); where that happened before the part was committed, split sends
// the segment itself.
package split

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/join"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/store"
)

const (
	name    = "split"
	version = "1"
)

// Config is what the environment decides.
type Config struct {
	Length time.Duration `env:"VEDETTE_SEGMENT" default:"10s" min:"1s" max:"60s" doc:"a segment ends at the first keyframe after this"`
	Window int           `env:"VEDETTE_WINDOW" default:"4" min:"1" max:"64" doc:"segments of one clip in flight at a time"`
	Part   time.Duration `env:"VEDETTE_PART" default:"60s" min:"1s" max:"200s" doc:"longest that one part of a plan is worked at"`
	Always []string      `env:"VEDETTE_REQUIRES" default:"decode" doc:"findings that every segment requires"`
	Staged []string      `env:"VEDETTE_REQUIRES_STAGED" default:"detect" doc:"findings required of a segment of which frames are staged"`
}

// Clips opens what was uploaded. Opening and reading fail with ledger.ErrNotExist when the clip is gone, and with
// store.ErrChanged when it is no longer the one with this ETag.
type Clips interface {
	Open(ctx context.Context, bucket, key, etag string) (ledger.Source, error)
}

// Cutter cuts a clip from a time on.
type Cutter interface {
	Cut(ctx context.Context, clip ledger.Source, fromUS int64, length time.Duration) (Cuts, error)
}

// Cuts are the segments of a clip, in order.
type Cuts interface {
	About() About
	Next() (Cut, error) // io.EOF after the last; a *Rejection if the clip is at fault
	Close() error
}

// About is what the plan says of a clip.
type About struct {
	Width, Height int    // of the displayed picture, px
	Codec, Audio  string // FFmpeg's names; Audio is empty without sound
	Tagged        time.Time
}

// Cut is a segment as it comes from the clip.
type Cut struct {
	StartUS, EndUS int64
	Container      string        // FFmpeg's name of it
	Header         int64         // bytes before the first fragment, 0 if it is not MP4
	Body           ledger.Source // to be closed by who takes the cut
}

// Rejection says that a clip is at fault, not the work on it.
type Rejection struct {
	Reason string
	Hint   string
}

func (r *Rejection) Error() string { return "clip rejected: " + r.Reason }

// Function is split.
type Function struct {
	Config
	Ledger *ledger.Ledger
	Clips  Clips
	Cutter Cutter
	Out    join.Emitter
	Alone  ledger.Alone
}

// Handle plans the next part of a clip.
func (f *Function) Handle(ctx context.Context, e event.Event) error {
	var run events.OfRun
	part := 0
	switch e.Type() {
	case events.ClipUploaded:
		d, err := function.Data[events.Uploaded](e)
		if err != nil {
			return err
		}
		run = d.OfRun
	case events.PlanContinued:
		d, err := function.Data[events.Continued](e)
		if err != nil {
			return err
		}
		run, part = d.OfRun, d.Part
	default:
		return function.Permanent(fmt.Errorf("split takes no %s: check its Triggers", e.Type()))
	}

	err := ledger.Run(ctx, f.Ledger, ledger.Step[ledger.Plan]{
		Work:  ledger.Part(run.Clip, run.Run, part),
		Alone: f.Alone,
		Make:  func(ctx context.Context) (ledger.Plan, error) { return f.plan(ctx, run, part) },
		Tail:  func(ctx context.Context, p ledger.Plan) error { return f.send(ctx, run, p) },
		GivenUp: func(_ context.Context, a ledger.Abandonment) error {
			return &Rejection{"crashes the reader", "Reading it: " + a.Reason + ". Re-encode the clip, or replay it after an update."}
		},
	})
	if r, ok := errors.AsType[*Rejection](err); ok {
		return join.Reject(ctx, f.Ledger, f.Out, name, run, r.Reason, r.Hint)
	}
	return err
}

// plan makes one part of the plan: it cuts until the clip ends or the time for a part is over.
func (f *Function) plan(ctx context.Context, run events.OfRun, part int) (ledger.Plan, error) {
	watch := function.Start()
	p := ledger.Plan{
		Part:     part,
		Window:   f.Window,
		Requires: ledger.Requirements{Always: f.Always, Staged: f.Staged},
	}
	if part > 0 {
		var before ledger.Plan
		if err := f.Ledger.Read(ctx, ledger.Part(run.Clip, run.Run, part-1).Key(), &before); err != nil {
			return p, err
		}
		p.Resume = before.Resume
		p.First = before.First + len(before.Segments)
		p.Window, p.Requires = before.Window, before.Requires // one clip, one rule
	}
	clip, err := f.Ledger.Clip(ctx, run.Clip)
	if err != nil {
		return p, err
	}
	source, err := f.Clips.Open(ctx, clip.Origin.Bucket, clip.Origin.Key, clip.Origin.ETag)
	if err != nil {
		return p, blame(err)
	}
	defer source.Close()
	cuts, err := f.Cutter.Cut(ctx, original{source}, p.Resume, f.Length)
	if err != nil {
		return p, err
	}
	defer cuts.Close()

	about := cuts.About()
	p.Width, p.Height, p.Codec, p.Audio, p.Tagged = about.Width, about.Height, about.Codec, about.Audio, about.Tagged
	for {
		cut, err := cuts.Next()
		if errors.Is(err, io.EOF) {
			p.Last = true
			break
		}
		if err != nil {
			return p, err
		}
		// A part ends before a segment, not after one, so that no part is empty: whether the clip goes on is known.
		if len(p.Segments) > 0 && time.Duration(watch.Cost().WallSeconds*float64(time.Second)) > f.Part {
			_ = cut.Body.Close() // the next part cuts it again
			break
		}
		segment, err := f.store(ctx, run.Clip, p.First+len(p.Segments), cut)
		if err != nil {
			return p, err
		}
		p.Segments = append(p.Segments, segment)
		p.Resume = cut.EndUS
	}
	if len(p.Segments) == 0 {
		return p, &Rejection{"no keyframes", "Nothing in the clip can be decoded by itself. Check how the camera records."}
	}
	cost := watch.Cost()
	p.Made = findings.Made{
		Version:    version,
		Parameters: map[string]any{"segment_seconds": f.Length.Seconds()},
		CPUSeconds: cost.CPUSeconds,
		Seconds:    cost.WallSeconds,
	}
	return p, nil
}

// original is a clip while it is read.
type original struct{ ledger.Source }

func (o original) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.Source.ReadAt(p, off)
	return n, blame(err)
}

// blame says of errors of the store whether it is the clip that is no longer what it was.
func blame(err error) error {
	switch {
	case errors.Is(err, ledger.ErrNotExist):
		return &Rejection{"deleted meanwhile", "The clip was deleted before it was processed. Upload it again."}
	case errors.Is(err, store.ErrChanged):
		return &Rejection{"overwritten meanwhile", "Another clip was uploaded to the same key, and is processed by itself."}
	default:
		return err
	}
}

// mediaTypes of what segments are kept in; the endings are the names of the containers.
var mediaTypes = map[string]string{ //nolint:gochecknoglobals // a constant, but for the language
	"mp4": "video/mp4", "mov": "video/quicktime", "nut": "video/x-nut",
}

func (f *Function) store(ctx context.Context, clip string, index int, cut Cut) (ledger.Segment, error) {
	defer func() { _ = cut.Body.Close() }()
	body := io.NewSectionReader(cut.Body, 0, cut.Body.Size())
	ref, err := f.Ledger.SideStream(ctx, clip, cut.Container, mediaTypes[cut.Container], body)
	if err != nil {
		return ledger.Segment{}, err
	}
	return ledger.Segment{
		Index:     index,
		StartUS:   cut.StartUS,
		EndUS:     cut.EndUS,
		Media:     ref,
		Container: cut.Container,
		Header:    cut.Header,
	}, nil
}

// send sends the segments of a part that are in the clip's window now, and asks for the next part.
func (f *Function) send(ctx context.Context, run events.OfRun, p ledger.Plan) error {
	progress, err := f.Ledger.Progress(ctx, run.Clip, run.Run)
	if err != nil {
		return err
	}
	for _, s := range p.Segments {
		if !progress.Enters(s.Index) {
			continue
		}
		if err := f.Out.Emit(ctx, join.Cut(run, s).Event(name)); err != nil {
			return err
		}
	}
	if p.Last {
		return nil
	}
	return f.Out.Emit(ctx, events.Continued{OfRun: run, Part: p.Part + 1}.Event(name))
}
