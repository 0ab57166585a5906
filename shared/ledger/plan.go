package ledger

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	"vedette.dev/shared/findings"
)

// Plan is one part of the plan of a run: immutable.
type Plan struct {
	Made     findings.Made `json:"made"`
	Part     int           `json:"part"`
	First    int           `json:"first"`  // index of its first segment
	Last     bool          `json:"last"`   // no part follows
	Window   int           `json:"window"` // segments in flight at a time; as in the first part, or segments would wait for ever
	Requires Requirements  `json:"requires"`
	Width    int           `json:"width"` // of the displayed picture, px
	Height   int           `json:"height"`
	Tagged   time.Time     `json:"tagged,omitzero"` // when the clip was taken, by its container
	Codec    string        `json:"codec"`           // of the video, FFmpeg's name
	Audio    string        `json:"audio,omitempty"`
	Segments []Segment     `json:"segments"` // at least one
	Resume   int64         `json:"resume"`   // where the next part begins, µs
}

// Requirements names the findings that a segment needs to be analyzed.
type Requirements struct {
	Always []string `json:"always"` // by every segment
	Staged []string `json:"staged"` // by those of which decode staged frames
}

// Segment is a span of a clip that can be decoded by itself.
type Segment struct {
	Index     int          `json:"index"`
	StartUS   int64        `json:"start_us"` // µs after the clip's first frame
	EndUS     int64        `json:"end_us"`
	Media     findings.Ref `json:"media"`
	Container string       `json:"container"` // FFmpeg's name: "mp4", "mov" or "nut"
	Header    int64        `json:"header"`    // bytes of initialisation at the front of Media (HLS's EXT-X-MAP); 0 if none
}

// Part is the work of making one part of a plan.
func Part(clip string, run, part int) Work {
	return Work{Clip: clip, Run: run, Segment: Whole, Step: fmt.Sprintf("%s%05d", planPart, part)}
}

const planPart = "plan-"

// Segment finds a segment in the plan of a run, with the part it stands in; ErrNotExist if it is not planned (yet).
func (l *Ledger) Segment(ctx context.Context, clip string, run, segment int) (Plan, Segment, error) {
	p, err := l.plan(ctx, clip, run, 0)
	if err != nil {
		return p, Segment{}, err
	}
	if _, here := p.segment(segment); !here && !p.Last {
		// A long clip has many parts: list them, and read only so many as it takes to find the one.
		if p, err = l.partOf(ctx, clip, run, segment); err != nil {
			return p, Segment{}, err
		}
	}
	s, here := p.segment(segment)
	if !here {
		return p, s, fmt.Errorf("segment %d of clip %s: %w", segment, clip, ErrNotExist)
	}
	return p, s, nil
}

func (p Plan) segment(index int) (Segment, bool) {
	if i := index - p.First; i >= 0 && i < len(p.Segments) {
		return p.Segments[i], true
	}
	return Segment{}, false
}

// partOf finds the last part of a plan that does not begin after a segment.
func (l *Ledger) partOf(ctx context.Context, clip string, run, segment int) (Plan, error) {
	parts := 0
	for _, err := range l.bucket.List(ctx, runKey(clip, run, planPart), "") {
		if err != nil {
			return Plan{}, fmt.Errorf("list the plan of clip %s: %w", clip, err)
		}
		parts++
	}
	var failed error
	after := sort.Search(parts, func(part int) bool {
		p, err := l.plan(ctx, clip, run, part)
		if err != nil {
			failed = err
		}
		return err != nil || p.First > segment
	})
	if failed != nil {
		return Plan{}, failed
	}
	return l.plan(ctx, clip, run, after-1)
}

// plans remembers parts of plans: they never change, and every step of every segment asks for one.
type plans struct {
	mu    sync.Mutex
	known map[string]Plan
}

const rememberedPlans = 256

// plan reads a part of a plan.
func (l *Ledger) plan(ctx context.Context, clip string, run, part int) (Plan, error) {
	key := Part(clip, run, part).Key()
	l.plans.mu.Lock()
	p, ok := l.plans.known[key]
	l.plans.mu.Unlock()
	if ok {
		return p, nil
	}
	if err := l.Read(ctx, key, &p); err != nil {
		return p, err
	}
	l.plans.mu.Lock()
	defer l.plans.mu.Unlock()
	if l.plans.known == nil || len(l.plans.known) >= rememberedPlans {
		l.plans.known = map[string]Plan{}
	}
	l.plans.known[key] = p
	return p, nil
}
