// Package decode judges by its gate whether anything moves in a segment, and stages the frames that somebody must look at.
//
// In: segment.cut. Out: segment.decoded, active or quiet. Of an active segment so many frames a second are staged, on a
// grid that does not depend on where the clip was cut, as a playable Matroska of JPEGs, with their exact times beside it.
// Of a clip's first segment one frame is staged in any case, so that somebody who stands still from the start is found.
//
// A segment of which no frame can be decoded is given up, and the clip is reported without it; a clip that has no other
// segments is rejected.
package decode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/join"
	"vedette.dev/shared/ledger"
)

const (
	name    = "decode"
	version = "1"
)

// Config is what the environment decides.
type Config struct {
	Rate    float64 `env:"VEDETTE_SAMPLE_RATE" default:"5" min:"0.2" max:"30" doc:"frames a second that are looked at in an active segment"`
	Width   int     `env:"VEDETTE_SAMPLE_WIDTH" default:"1920" min:"64" max:"7680" doc:"largest width of a staged frame, px"`
	Height  int     `env:"VEDETTE_SAMPLE_HEIGHT" default:"1080" min:"64" max:"4320" doc:"largest height of a staged frame, px"`
	Threads int     `env:"VEDETTE_THREADS" default:"1" min:"1" max:"64" doc:"threads of the decoder"`
}

// Media opens side objects of the ledger.
type Media interface {
	Open(ctx context.Context, r findings.Ref) (ledger.Source, error)
}

// Decoder opens the video of a segment. It and what it opens say by an [*Undecodable] that the video is at fault.
type Decoder interface {
	Open(ctx context.Context, s ledger.Source, startUS, endUS int64) (Clip, error)
}

// Undecodable says that not one frame of a segment can be decoded: trying again will not help.
type Undecodable struct{ Why error }

func (u *Undecodable) Error() string { return fmt.Sprintf("%s: %v", undecodable, u.Why) }

func (u *Undecodable) Unwrap() error { return u.Why }

// Clip is the video of a segment: what the gate judges, and what frames are sampled from.
type Clip interface {
	Video
	// Sample goes through rate frames a second, on the clip's grid, in at most this size; all frames where rate is 0.
	Sample(ctx context.Context, rate float64, width, height int) (Samples, error)
	Close() error
}

// Samples yields the sampled frames as small pictures, and stages them.
type Samples interface {
	Pictures
	// Stage stages the frame that Next has shown last.
	Stage() error
	// Finish ends the staging.
	Finish() (Staged, error)
}

// Staged are staged frames.
type Staged struct {
	Times    []int64 // µs
	Width    int     // of each frame, px
	Height   int
	Matroska []byte
	Broken   int // frames that could not be decoded
}

// Function is decode.
type Function struct {
	Config
	Ledger  *ledger.Ledger
	Media   Media
	Decoder Decoder
	Out     join.Emitter
	Alone   ledger.Alone
}

// Handle decodes one segment.
func (f *Function) Handle(ctx context.Context, e event.Event) error {
	d, err := function.Data[events.Cut](e)
	if err != nil {
		return err
	}
	work := ledger.Work{Clip: d.Clip, Run: d.Run, Segment: d.Segment, Step: findings.Decode}
	givenUp := func(ctx context.Context, a ledger.Abandonment) error { return f.givenUp(ctx, d.OfSegment, a) }
	err = ledger.Run(ctx, f.Ledger, ledger.Step[findings.Decoded]{
		Work:  work,
		Alone: f.Alone,
		Make:  func(ctx context.Context) (findings.Decoded, error) { return f.decode(ctx, d.OfSegment) },
		Tail: func(ctx context.Context, found findings.Decoded) error {
			decoded := events.Decoded{OfSegment: d.OfSegment, Active: found.Active, Frames: len(found.Frames)}
			if err := f.Out.Emit(ctx, decoded.Event(name)); err != nil {
				return err
			}
			return join.Segment(ctx, f.Ledger, f.Out, name, d.OfSegment)
		},
		GivenUp: givenUp,
	})
	if _, bad := errors.AsType[*Undecodable](err); !bad || ctx.Err() != nil {
		return err
	}
	a, err := f.Ledger.GiveUp(ctx, work, undecodable)
	if err != nil {
		return err
	}
	return givenUp(ctx, a)
}

// undecodable is the reason, of segments and clips, that not one frame can be decoded.
const undecodable = "undecodable"

// givenUp joins a segment without what it shows, unless no segment of the clip shows anything.
func (f *Function) givenUp(ctx context.Context, s events.OfSegment, a ledger.Abandonment) error {
	if a.Reason == undecodable {
		switch all, err := f.allUndecodable(ctx, s.OfRun); {
		case err != nil:
			return err
		case all:
			return join.Reject(ctx, f.Ledger, f.Out, name, s.OfRun, undecodable,
				"Not one picture of the clip can be decoded: it is damaged or encrypted. Check whether a player shows it, and upload it again.")
		}
	}
	return join.GivenUp(ctx, f.Ledger, f.Out, name, s, a)
}

// allUndecodable says whether no segment of a clip can be decoded. Whoever gives up the last one sees all.
func (f *Function) allUndecodable(ctx context.Context, r events.OfRun) (bool, error) {
	p, err := f.Ledger.Progress(ctx, r.Clip, r.Run)
	if err != nil || !p.Planned {
		return false, err
	}
	for _, s := range p.Segments {
		if slices.Contains(p.Steps[s.Index], findings.Decode) || !slices.Contains(p.Dead[s.Index], findings.Decode) {
			return false, nil
		}
	}
	for _, s := range p.Segments {
		a, err := f.Ledger.Dead(ctx, ledger.Work{Clip: r.Clip, Run: r.Run, Segment: s.Index, Step: findings.Decode})
		if err != nil || a.Reason != undecodable {
			return false, err
		}
	}
	return true, nil
}

func (f *Function) decode(ctx context.Context, s events.OfSegment) (findings.Decoded, error) {
	watch := function.Start()
	_, segment, err := f.Ledger.Segment(ctx, s.Clip, s.Run, s.Segment)
	if err != nil {
		return findings.Decoded{}, err
	}
	source, err := f.Media.Open(ctx, segment.Media)
	if err != nil {
		return findings.Decoded{}, err
	}
	defer source.Close()
	clip, err := f.Decoder.Open(ctx, source, segment.StartUS, segment.EndUS)
	if err != nil {
		return findings.Decoded{}, err
	}
	defer clip.Close()

	found := findings.Decoded{Rule: byPackets}
	found.Width, found.Height = clip.Size()
	var sure bool
	if found.Score, sure, err = still(ctx, clip, segment.StartUS, segment.EndUS); err != nil {
		return found, fmt.Errorf("look for motion: %w", err)
	}
	var staged Staged
	if !sure {
		var m motion
		if staged, err = f.sample(ctx, clip, f.Rate, &m); err != nil {
			return found, fmt.Errorf("sample frames: %w", err)
		}
		found.Rule, found.Score = byPictures, m.score()
		found.Stretches = m.stretches(segment.StartUS, segment.EndUS)
		found.Active = len(found.Stretches) > 0
		found.Broken = staged.Broken
	}
	if !found.Active {
		staged = Staged{}
		if s.Segment == 0 {
			if staged, err = f.first(ctx, clip); err != nil {
				return found, fmt.Errorf("take the first frame: %w", err)
			}
		}
	}
	if len(staged.Times) > 0 {
		ref, err := f.Ledger.Side(ctx, s.Clip, "mkv", "video/x-matroska", staged.Matroska)
		if err != nil {
			return found, err
		}
		found.Frames, found.Staged = staged.Times, &ref
		found.StagedWidth, found.StagedHeight = staged.Width, staged.Height
	}
	cost := watch.Cost()
	found.Made = findings.Made{
		Version:    version,
		Parameters: map[string]any{"frames_per_second": f.Rate, "largest": []int{f.Width, f.Height}},
		CPUSeconds: cost.CPUSeconds,
		Seconds:    cost.WallSeconds,
	}
	return found, nil
}

// The rules by which the gate decides.
const (
	byPackets  = "packets"
	byPictures = "pictures"
)

// sample stages the sampled frames, and shows them to m.
func (f *Function) sample(ctx context.Context, clip Clip, rate float64, m *motion) (Staged, error) {
	samples, err := clip.Sample(ctx, rate, f.Width, f.Height)
	if err != nil {
		return Staged{}, err
	}
	defer samples.Close()
	for {
		p, err := samples.Next()
		if errors.Is(err, io.EOF) {
			return samples.Finish()
		}
		if err != nil {
			return Staged{}, err
		}
		m.see(p)
		if err := samples.Stage(); err != nil {
			return Staged{}, err
		}
	}
}

// first stages the first frame that can be decoded.
func (f *Function) first(ctx context.Context, clip Clip) (Staged, error) {
	samples, err := clip.Sample(ctx, 0, f.Width, f.Height)
	if err != nil {
		return Staged{}, err
	}
	defer samples.Close()
	if _, err := samples.Next(); errors.Is(err, io.EOF) {
		return Staged{}, nil
	} else if err != nil {
		return Staged{}, err
	}
	if err := samples.Stage(); err != nil {
		return Staged{}, err
	}
	return samples.Finish()
}
