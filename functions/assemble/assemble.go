// Package assemble makes one answer of what was found in the segments of a clip.
//
// In: segment.analyzed, segment.encoded and step.abandoned. Out: segment.tracked as soon as a segment and all before it
// are analyzed, so that its tracks have their numbers in the clip; clip.analyzed with the report as soon as all are; and
// clip.completed when the video is there as well, or given up: a dead encode costs only the video.
//
// Whatever the event, assemble does all that the ledger allows at that time. It holds nothing back in memory, and what it
// writes is a pure function of what is in the ledger, so two of it at work at once write the same.
package assemble

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/join"
	"vedette.dev/shared/ledger"
)

const (
	name    = "assemble"
	version = "1"
)

// Media opens side objects of the ledger.
type Media interface {
	Open(ctx context.Context, r findings.Ref) (ledger.Source, error)
}

// Joiner joins encoded segments into one MP4, a file at path, that can be played while it loads.
type Joiner interface {
	Join(ctx context.Context, path string, segments []ledger.Source) error
}

// Function is assemble.
type Function struct {
	Ledger *ledger.Ledger
	Media  Media
	Joiner Joiner
	Out    join.Emitter
	Alone  ledger.Alone
}

// Handle goes on with a run as far as the ledger allows.
func (f *Function) Handle(ctx context.Context, e event.Event) error {
	if e.Type() == events.ProxyEncoded {
		return f.proxy(ctx, e)
	}
	at, err := function.Data[events.OfSegment](e)
	if err != nil {
		return err
	}
	progress, err := f.Ledger.Progress(ctx, at.Clip, at.Run)
	if err != nil {
		return err
	}
	if slices.Contains(progress.Answers, findings.StatusRejected) || len(progress.Parts) == 0 {
		return nil // a part of it could not be read: that was the answer
	}
	a := assembly{Function: f, at: at}
	if e.Type() != events.SegmentAnalyzed {
		a.at.Segment = len(progress.Segments) // no segment is newly numbered by this event
	}
	a.whole.progress, a.whole.run = progress, at.Run
	if a.clip, err = f.Ledger.Clip(ctx, at.Clip); err != nil {
		return err
	}
	return a.advance(ctx)
}

// assembly is the work on one run.
type assembly struct {
	*Function
	at events.OfSegment
	whole
}

func (a *assembly) advance(ctx context.Context) error {
	numbered, err := a.number(ctx)
	if err != nil || !a.progress.Whole() || numbered < len(a.progress.Segments) {
		return err
	}
	report, err := a.analyzed(ctx)
	if err != nil {
		return err
	}
	if err := a.Out.Emit(ctx, join.Reported(a.at.OfRun, report, findings.StatusAnalyzed).Analyzed(name)); err != nil {
		return err
	}
	for _, s := range a.progress.Segments {
		if a.progress.States[s.Index] == ledger.Active &&
			!a.progress.Has(s.Index, findings.Encode) && !a.progress.GaveUp(s.Index, findings.Encode) {
			return nil // its encoding wakes assemble again
		}
	}
	return a.complete(ctx)
}

// number extends the chain of numbered segments as far as they are analyzed, and returns its length.
func (a *assembly) number(ctx context.Context) (int, error) {
	before := chain{}
	n := 0
	for ; n < len(a.progress.Segments); n++ {
		s := a.progress.Segments[n]
		state := a.progress.States[n]
		work := ledger.Work{Clip: a.at.Clip, Run: a.run, Segment: n, Step: findings.Tracks}
		if a.progress.Has(n, findings.Tracks) {
			// Only the end of what is numbered already matters here.
			if !a.progress.Has(n+1, findings.Tracks) {
				if err := a.Ledger.Read(ctx, work.Key(), &before.Numbered); err != nil {
					return n, err
				}
			}
		} else {
			if state == ledger.Open {
				return n, nil
			}
			watch := function.Start()
			found, err := a.objectsOf(ctx, n)
			if err != nil {
				return n, err
			}
			now := before.next(s, state, found)
			cost := watch.Cost()
			now.Made = findings.Made{Version: version, CPUSeconds: cost.CPUSeconds, Seconds: cost.WallSeconds}
			if before.Numbered, err = ledger.Commit(ctx, a.Ledger, work.Key(), now); err != nil {
				return n, err
			}
		}
		// What this event caused is sent, again if need be: the segment itself, and those after it that waited for it.
		if n >= a.at.Segment && !a.progress.Has(n, findings.Encode) && !a.progress.GaveUp(n, findings.Encode) {
			tracked := events.Tracked{
				OfSegment: events.OfSegment{OfRun: a.at.OfRun, Segment: n},
				Active:    state == ledger.Active,
			}
			if err := a.Out.Emit(ctx, tracked.Event(name)); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// objectsOf reads what was detected in a segment; nil where nobody needed to look, or detection was given up.
func (a *assembly) objectsOf(ctx context.Context, segment int) (*findings.Objects, error) {
	if !a.progress.Has(segment, findings.Detect) {
		return nil, nil
	}
	var o findings.Objects
	return &o, a.Ledger.Read(ctx, ledger.Work{Clip: a.at.Clip, Run: a.run, Segment: segment, Step: findings.Detect}.Key(), &o)
}

// analyzed is the report as it was committed when every segment was analyzed: now, or by an event before. The findings
// themselves are read only once for it, not with every segment that is encoded.
func (a *assembly) analyzed(ctx context.Context) (report findings.Report, err error) {
	key := ledger.RunKey(a.clip.ID, a.run, findings.StatusAnalyzed+".json")
	if slices.Contains(a.progress.Answers, findings.StatusAnalyzed) {
		err = a.Ledger.Read(ctx, key, &report)
		return report, err
	}
	if err := a.load(ctx); err != nil {
		return report, err
	}
	return ledger.Commit(ctx, a.Ledger, key, a.report())
}

// load reads every finding of the run, once.
func (a *assembly) load(ctx context.Context) error {
	if a.decoded != nil {
		return nil
	}
	a.decoded, a.objects = map[int]findings.Decoded{}, map[int]findings.Objects{}
	a.numbered, a.encoded = map[int]findings.Numbered{}, map[int]findings.Encoded{}
	for _, s := range a.progress.Segments {
		err := errors.Join(
			read(ctx, a, s.Index, findings.Decode, a.decoded),
			read(ctx, a, s.Index, findings.Detect, a.objects),
			read(ctx, a, s.Index, findings.Tracks, a.numbered),
			read(ctx, a, s.Index, findings.Encode, a.encoded))
		if err != nil {
			return err
		}
	}
	return nil
}

func read[T any](ctx context.Context, a *assembly, segment int, step string, into map[int]T) error {
	var doc T
	err := a.Ledger.Read(ctx, ledger.Work{Clip: a.clip.ID, Run: a.run, Segment: segment, Step: step}.Key(), &doc)
	if errors.Is(err, ledger.ErrNotExist) {
		return nil
	}
	into[segment] = doc
	return err
}

// complete adds what there is to look at, and closes the run.
func (a *assembly) complete(ctx context.Context) error {
	return ledger.Run(ctx, a.Ledger, ledger.Step[findings.Report]{
		Work:  ledger.Work{Clip: a.clip.ID, Run: a.run, Segment: ledger.Whole, Step: findings.StatusCompleted},
		Alone: a.Alone,
		Make:  func(ctx context.Context) (findings.Report, error) { return a.completed(ctx, "") },
		Tail:  a.finish,
		GivenUp: func(ctx context.Context, gone ledger.Abandonment) error {
			// Only the joining can have been the cause: the rest is no native code.
			r, err := a.completed(ctx, "no video: joining it, "+gone.Reason)
			if err != nil {
				return err
			}
			r, err = ledger.Commit(ctx, a.Ledger, ledger.RunKey(a.clip.ID, a.run, findings.StatusCompleted+".json"), r)
			if err != nil {
				return err
			}
			return a.finish(ctx, r)
		},
	})
}

func (a *assembly) finish(ctx context.Context, r findings.Report) error {
	if err := a.Out.Emit(ctx, join.Reported(a.at.OfRun, r, findings.StatusCompleted).Completed(name)); err != nil {
		return err
	}
	return a.Ledger.Close(ctx, a.clip, a.run)
}

// completed is the report with its media. With a reason for none, the video is left out.
func (a *assembly) completed(ctx context.Context, noVideo string) (findings.Report, error) {
	watch := function.Start()
	if err := a.load(ctx); err != nil {
		return findings.Report{}, err
	}
	r := a.report()
	if r.Status == findings.StatusAnalyzed {
		r.Status = findings.StatusCompleted
	}
	m := &findings.Media{Note: noVideo}
	r.Media = m
	var err error
	if m.Findings, err = a.timed(ctx, r); err != nil {
		return r, err
	}
	if text, ok := playlist(a.progress); ok {
		m.Original = ledger.RunKey(a.clip.ID, a.run, "original.m3u8")
		if err := a.Ledger.Place(ctx, m.Original, "application/vnd.apple.mpegurl", []byte(text)); err != nil {
			return r, err
		}
	} else {
		codecs := a.progress.Parts[0].Codec
		if audio := a.progress.Parts[0].Audio; audio != "" {
			codecs += " with " + audio
		}
		m.Note = note(m.Note, fmt.Sprintf("browsers do not play the original (%s): `vedette proxy` makes one that they play", codecs))
	}
	if noVideo == "" {
		if err := a.video(ctx, m); err != nil {
			return r, err
		}
	}
	cost := watch.Cost()
	e := r.Steps[findings.Assemble]
	e.CPUSeconds, e.Seconds = round(e.CPUSeconds+cost.CPUSeconds), round(e.Seconds+cost.WallSeconds)
	r.Steps[findings.Assemble] = e
	return r, nil
}

// video joins the encoded segments, if there are any.
func (a *assembly) video(ctx context.Context, m *findings.Media) error {
	var parts []findings.Ref
	at := int64(0)
	missing := 0
	for _, s := range a.progress.Segments {
		if a.progress.States[s.Index] != ledger.Active {
			continue
		}
		e, ok := a.encoded[s.Index]
		if !ok {
			missing++
			continue
		}
		for _, v := range e.Videos {
			parts = append(parts, v.Media)
			m.Spans = append(m.Spans, findings.Span{At: seconds(at), Start: seconds(v.StartUS), End: seconds(v.EndUS)})
			at += v.EndUS - v.StartUS
		}
		if e.Poster != nil {
			m.Thumbnails = append(m.Thumbnails, e.Poster.Key)
		}
	}
	if missing > 0 {
		m.Note = note(m.Note, fmt.Sprintf("%d active segments could not be encoded and are missing in the video", missing))
	}
	if len(parts) == 0 {
		return nil
	}
	ref, err := a.join(ctx, a.clip.ID, parts)
	m.Annotated = ref.Key
	return err
}

// join joins videos into a side object. It goes by way of a file: an MP4's index comes to its front when all is written,
// and a long video is larger than memory.
func (f *Function) join(ctx context.Context, clip string, videos []findings.Ref) (findings.Ref, error) {
	var parts []ledger.Source
	defer func() {
		for _, p := range parts {
			_ = p.Close()
		}
	}()
	for _, v := range videos {
		p, err := f.Media.Open(ctx, v)
		if err != nil {
			return findings.Ref{}, fmt.Errorf("open a video to be joined: %w", err)
		}
		parts = append(parts, p)
	}
	dir, err := os.MkdirTemp("", "join")
	if err != nil {
		return findings.Ref{}, fmt.Errorf("a folder to join in: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "joined.mp4")
	if err := f.Joiner.Join(ctx, path, parts); err != nil {
		return findings.Ref{}, fmt.Errorf("join %d videos: %w", len(parts), err)
	}
	joined, err := os.Open(path)
	if err != nil {
		return findings.Ref{}, fmt.Errorf("open the joined video: %w", err)
	}
	defer func() { _ = joined.Close() }()
	return f.Ledger.SideStream(ctx, clip, "mp4", "video/mp4", joined)
}

// timed stores the findings by time, for players: each track of the clip with where it was when.
func (a *assembly) timed(ctx context.Context, r findings.Report) (string, error) {
	type point struct {
		US   int64 `json:"us"`
		Box  any   `json:"box"`
		Face any   `json:"face,omitempty"`
	}
	type track struct {
		ID     int     `json:"id"`
		Object string  `json:"object"`
		Points []point `json:"points"`
	}
	tracks := []track{}
	at := map[int]int{}
	for _, t := range r.Tracks {
		at[t.ID] = len(tracks)
		tracks = append(tracks, track{ID: t.ID, Object: t.Object})
	}
	resolve := a.resolver()
	for _, s := range a.progress.Segments {
		for _, t := range a.objects[s.Index].Tracks {
			i, told := at[resolve(a.numbered[s.Index].Numbers[t.ID])]
			if !told {
				continue
			}
			for _, p := range t.Points {
				told := point{US: p.US, Box: p.Box}
				if p.Face != nil {
					told.Face = p.Face
				}
				tracks[i].Points = append(tracks[i].Points, told)
			}
		}
	}
	body, err := json.Marshal(map[string]any{"clip": r.Clip, "run": r.Run, "tracks": tracks})
	if err != nil {
		return "", fmt.Errorf("write the timed findings: %w", err)
	}
	ref, err := a.Ledger.Side(ctx, a.clip.ID, "json", "application/json", body)
	return ref.Key, err
}

func note(notes, more string) string {
	if notes == "" {
		return more
	}
	return notes + "; " + more
}
