// Package encode makes videos of the active stretches of a segment, with what was found drawn on them; and, when somebody
// asks for it, the proxy of a clip that browsers do not play.
//
// In: segment.tracked of an active segment: what was detected in it, and the numbers that its tracks have in the clip.
// Out: segment.encoded. The video is H.264, and AAC if the clip has sound, with one encoder setting for the whole clip,
// so that assemble joins the segments without encoding them again. A track that was never confirmed is not drawn.
package encode

import (
	"context"
	"slices"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/join"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/overlay"
)

const (
	name    = "encode"
	version = "1"
)

// Config is what the environment decides.
type Config struct {
	Width   int `env:"VEDETTE_ENCODE_WIDTH" default:"1280" min:"64" max:"3840" doc:"largest width of the annotated video, px"`
	Height  int `env:"VEDETTE_ENCODE_HEIGHT" default:"720" min:"64" max:"2160" doc:"largest height of the annotated video, px; at full size encoding is dearer than all other steps together"`
	Threads int `env:"VEDETTE_THREADS" default:"1" min:"1" max:"64" doc:"threads of decoder and encoder, each"`
}

// Media opens side objects of the ledger.
type Media interface {
	Open(ctx context.Context, r findings.Ref) (ledger.Source, error)
}

// Encoder decodes a segment, draws on it and encodes it.
type Encoder interface {
	Encode(ctx context.Context, s ledger.Source, o Order) (Video, error)
}

// Order says what is wanted of a stretch of a segment.
type Order struct {
	StartUS, EndUS int64
	ClipWidth      int // of the displayed picture, px
	ClipHeight     int
	Width, Height  int  // within which the video stays, px
	Sound          bool // the clip has sound, this segment or not
	Tracks         []overlay.Track
	Plain          bool  // nothing is drawn, the time neither
	PosterUS       int64 // the time of which a still picture is wanted; none if it is not in the stretch
}

// Video is an encoded stretch.
type Video struct {
	MP4           []byte
	Width, Height int    // px
	Poster        []byte // JPEG
}

// Function is encode.
type Function struct {
	Config
	Ledger  *ledger.Ledger
	Media   Media
	Encoder Encoder
	Out     join.Emitter
	Alone   ledger.Alone
}

// Handle encodes one segment.
func (f *Function) Handle(ctx context.Context, e event.Event) error {
	if e.Type() == events.ProxyRequested {
		return f.proxy(ctx, e)
	}
	d, err := function.Data[events.Tracked](e)
	if err != nil {
		return err
	}
	if !d.Active {
		return nil // there is nothing to see
	}
	return ledger.Run(ctx, f.Ledger, ledger.Step[findings.Encoded]{
		Work:  work(d.OfSegment, findings.Encode),
		Alone: f.Alone,
		Make:  func(ctx context.Context) (findings.Encoded, error) { return f.encode(ctx, d.OfSegment) },
		Tail: func(ctx context.Context, _ findings.Encoded) error {
			return f.Out.Emit(ctx, events.Encoded{OfSegment: d.OfSegment}.Event(name))
		},
		GivenUp: func(ctx context.Context, a ledger.Abandonment) error {
			// No join: a segment is analyzed without its video.
			return f.Out.Emit(ctx, events.Abandoned{OfSegment: d.OfSegment, Step: a.Step, Reason: a.Reason}.Event(name))
		},
	})
}

// encode encodes the active stretches of a segment, with its tracks.
func (f *Function) encode(ctx context.Context, s events.OfSegment) (findings.Encoded, error) {
	stretches, err := f.stretches(ctx, s)
	if err != nil {
		return findings.Encoded{}, err
	}
	tracks, err := f.tracks(ctx, s)
	if err != nil {
		return findings.Encoded{}, err
	}
	return f.videos(ctx, s, stretches, Order{Tracks: tracks, PosterUS: telling(tracks, stretches)})
}

// videos encodes stretches of a segment, or all of it where none are given; o says what is to be drawn.
func (f *Function) videos(ctx context.Context, s events.OfSegment, stretches []findings.Stretch, o Order) (findings.Encoded, error) {
	watch := function.Start()
	plan, segment, err := f.Ledger.Segment(ctx, s.Clip, s.Run, s.Segment)
	if err != nil {
		return findings.Encoded{}, err
	}
	source, err := f.Media.Open(ctx, segment.Media)
	if err != nil {
		return findings.Encoded{}, err
	}
	defer func() { _ = source.Close() }()
	if len(stretches) == 0 {
		stretches = []findings.Stretch{{StartUS: segment.StartUS, EndUS: segment.EndUS}}
	}
	o.ClipWidth, o.ClipHeight, o.Sound = plan.Width, plan.Height, plan.Audio != ""
	o.Width, o.Height = f.Width, f.Height

	var found findings.Encoded
	for _, stretch := range stretches {
		o.StartUS, o.EndUS = stretch.StartUS, stretch.EndUS
		video, err := f.Encoder.Encode(ctx, source, o)
		if err != nil {
			return found, err
		}
		found.Width, found.Height = video.Width, video.Height
		ref, err := f.Ledger.Side(ctx, s.Clip, "mp4", "video/mp4", video.MP4)
		if err != nil {
			return found, err
		}
		found.Videos = append(found.Videos, findings.Video{Stretch: stretch, Media: ref})
		if len(video.Poster) > 0 {
			ref, err := f.Ledger.Side(ctx, s.Clip, "jpg", "image/jpeg", video.Poster)
			if err != nil {
				return found, err
			}
			found.Poster = &ref
		}
	}
	cost := watch.Cost()
	found.Made = findings.Made{
		Version:    version,
		Parameters: map[string]any{"largest": []int{f.Width, f.Height}},
		CPUSeconds: cost.CPUSeconds,
		Seconds:    cost.WallSeconds,
	}
	return found, nil
}

// stretches reads when something moved in a segment.
func (f *Function) stretches(ctx context.Context, s events.OfSegment) ([]findings.Stretch, error) {
	var decoded findings.Decoded
	err := f.Ledger.Read(ctx, work(s, findings.Decode).Key(), &decoded)
	return decoded.Stretches, err
}

// tracks reads what was found in a segment, by the numbers of the clip.
func (f *Function) tracks(ctx context.Context, s events.OfSegment) ([]overlay.Track, error) {
	var objects findings.Objects
	if err := f.Ledger.Read(ctx, work(s, findings.Detect).Key(), &objects); err != nil {
		return nil, err
	}
	var numbered findings.Numbered
	if err := f.Ledger.Read(ctx, work(s, findings.Tracks).Key(), &numbered); err != nil {
		return nil, err
	}
	var tracks []overlay.Track
	for _, t := range objects.Tracks {
		if number := numbered.Numbers[t.ID]; number > 0 {
			tracks = append(tracks, overlay.Track{Number: number, Points: t.Points})
		}
	}
	return tracks, nil
}

// telling is the time at which the stretches show most: objects, and faces above all; the earliest such.
func telling(tracks []overlay.Track, stretches []findings.Stretch) int64 {
	shows := map[int64]int{}
	for _, t := range tracks {
		for _, p := range t.Points {
			shows[p.US]++
			if p.Face != nil {
				shows[p.US]++
			}
		}
	}
	best := int64(-1)
	if len(stretches) > 0 {
		best = stretches[0].StartUS
	}
	for us, n := range shows {
		in := slices.ContainsFunc(stretches, func(s findings.Stretch) bool { return s.StartUS <= us && us < s.EndUS })
		if most := shows[best]; in && (n > most || n == most && us < best) {
			best = us
		}
	}
	return best
}

func work(s events.OfSegment, step string) ledger.Work {
	return ledger.Work{Clip: s.Clip, Run: s.Run, Segment: s.Segment, Step: step}
}
