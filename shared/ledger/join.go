package ledger

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"vedette.dev/shared/findings"
)

// State is how far an analyzed segment came.
type State string

// The states of a segment; Open until every required finding is there.
const (
	Open   State = ""
	Active State = "active"
	Quiet  State = "quiet"
	Failed State = "failed" // a required step was given up
)

const marker = "analyzed."

// Conclusion is what the join of a segment found.
type Conclusion struct {
	State State
	// Next is the segment that may be sent now that this one has left the window; nil if there is none (yet).
	Next *Segment
}

// Conclude is the join of a segment, to be called after a finding was committed or given up. If every finding that the
// segment requires is there it marks the segment as analyzed. It is safe to repeat, and of several that call it together
// at least one sees the whole.
func (l *Ledger) Conclude(ctx context.Context, clip string, run, segment int) (Conclusion, error) {
	plan, s, err := l.Segment(ctx, clip, run, segment)
	if err != nil {
		return Conclusion{}, err
	}
	state, err := l.join(ctx, plan, clip, run, s.Index)
	if err != nil || state == Open {
		return Conclusion{}, err
	}
	key := segmentKey(clip, run, segment, marker+string(state))
	if err := l.bucket.Put(ctx, key, nil, "application/octet-stream"); err != nil {
		return Conclusion{}, fmt.Errorf("mark segment %d of clip %s as analyzed: %w", segment, clip, err)
	}
	// Looking for the next segment comes after the marker: if its part of the plan is committed only now, split sees
	// the marker and sends the segment itself.
	c := Conclusion{State: state}
	c.Next, err = l.after(ctx, plan, clip, run, segment)
	return c, err
}

// after finds the segment that a concluded one lets into the window, unless that is there already.
func (l *Ledger) after(ctx context.Context, plan Plan, clip string, run, segment int) (*Segment, error) {
	_, next, err := l.Segment(ctx, clip, run, segment+plan.Window)
	if errors.Is(err, ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none, yet or at all
	}
	if err != nil {
		return nil, err
	}
	decode := Work{clip, run, next.Index, findings.Decode}
	switch _, err := l.bucket.Get(ctx, decode.Key()); {
	case err == nil:
		return nil, nil //nolint:nilnil // it has been let in
	case errors.Is(err, ErrNotExist):
		return &next, nil
	default:
		return nil, fmt.Errorf("look for %v: %w", decode, err)
	}
}

// join says in which state the findings leave a segment.
func (l *Ledger) join(ctx context.Context, plan Plan, clip string, run, segment int) (State, error) {
	committed := map[string]bool{}
	prefix := segmentKey(clip, run, segment, "") + "/"
	for entry, err := range l.bucket.List(ctx, prefix, "") {
		if err != nil {
			return Open, fmt.Errorf("list the findings of segment %d of clip %s: %w", segment, clip, err)
		}
		committed[strings.TrimSuffix(path.Base(entry.Key), ".json")] = true
	}
	required := plan.Requires.Always
	var decoded findings.Decoded
	if committed[findings.Decode] {
		if err := l.Read(ctx, Work{clip, run, segment, findings.Decode}.Key(), &decoded); err != nil {
			return Open, err
		}
		if decoded.Staged != nil {
			required = slices.Concat(required, plan.Requires.Staged)
		}
	}
	failed := false
	for _, step := range required {
		if committed[step] {
			continue
		}
		_, err := l.Dead(ctx, Work{clip, run, segment, step})
		if errors.Is(err, ErrNotExist) {
			return Open, nil
		}
		if err != nil {
			return Open, err
		}
		failed = true
	}
	switch {
	case failed:
		return Failed, nil
	case decoded.Active:
		return Active, nil
	default:
		return Quiet, nil
	}
}

// Progress is how far a run came, by one listing.
type Progress struct {
	Parts    []Plan           // of the plan, in order
	Planned  bool             // the last part is there
	Segments []Segment        // of all parts, in order
	States   map[int]State    // of the segments that are analyzed
	Steps    map[int][]string // results that are there, by segment
	Dead     map[int][]string // steps given up, by segment; Whole for the run's
	Answers  []string         // rejected, analyzed, completed: those that are there

	written map[string]time.Time
}

// Progress reads how far a run came.
func (l *Ledger) Progress(ctx context.Context, clip string, run int) (Progress, error) {
	p := Progress{
		States: map[int]State{}, Steps: map[int][]string{}, Dead: map[int][]string{},
		written: map[string]time.Time{},
	}
	prefix := runKey(clip, run) + "/"
	for entry, err := range l.bucket.List(ctx, prefix, "") {
		if err != nil {
			return p, fmt.Errorf("list run %d of clip %s: %w", run, clip, err)
		}
		if err := p.add(strings.TrimPrefix(entry.Key, prefix), entry.Modified); err != nil {
			return p, fmt.Errorf("%s does not belong into the ledger: remove it", entry.Key)
		}
	}
	for part := range p.Steps[Whole] {
		plan, err := l.plan(ctx, clip, run, part)
		if err != nil {
			return p, err
		}
		p.Parts = append(p.Parts, plan)
		p.Segments = append(p.Segments, plan.Segments...)
		p.Planned = p.Planned || plan.Last
	}
	return p, nil
}

// add notes an object of the run by its name.
func (p *Progress) add(name string, written time.Time) error {
	p.written[name] = written
	name, isDocument := strings.CutSuffix(name, ".json")
	parts := strings.Split(name, "/")
	if len(parts) == 1 {
		switch {
		case !isDocument: // a playlist
		case strings.HasPrefix(name, planPart):
			p.Steps[Whole] = append(p.Steps[Whole], name)
		case slices.Contains(answers(), name):
			p.Answers = append(p.Answers, name)
		}
		return nil
	}
	if len(parts) != 3 {
		return errors.New("too deep or too shallow")
	}
	segment, step := Whole, parts[2]
	if parts[1] != index(Whole) {
		var err error
		if segment, err = strconv.Atoi(parts[1]); err != nil {
			return err
		}
	}
	switch state, marked := strings.CutPrefix(step, marker); {
	case parts[0] == "dead":
		p.Dead[segment] = append(p.Dead[segment], step)
	case marked && p.States[segment] != Active && p.States[segment] != Quiet:
		// A finding may come after its step was given up: then what was found counts.
		p.States[segment] = State(state)
	case isDocument:
		p.Steps[segment] = append(p.Steps[segment], step)
	}
	return nil
}

// Written is when a step's result was written, by the store's clock; the zero time if it is not there. For Whole the
// steps are the parts of the plan and the answers.
func (p Progress) Written(segment int, step string) time.Time {
	if segment == Whole {
		return p.written[step+".json"]
	}
	return p.written[segments+"/"+index(segment)+"/"+step+".json"]
}

// Concluded is when a segment was marked as analyzed, by the store's clock; the zero time if it is not.
func (p Progress) Concluded(segment int) time.Time {
	return p.written[segments+"/"+index(segment)+"/"+marker+string(p.States[segment])]
}

// Whole reports whether every segment is planned and analyzed.
func (p Progress) Whole() bool { return p.Planned && len(p.States) == len(p.Segments) }

// Enters reports whether a planned segment is to be sent now: the window has come to it, and it is not decoded yet.
func (p Progress) Enters(segment int) bool {
	window := p.PartOf(segment).Window
	return !p.Has(segment, findings.Decode) && (segment < window || p.States[segment-window] != Open)
}

// PartOf is the part of the plan in which a segment is planned.
func (p Progress) PartOf(segment int) Plan {
	for _, part := range p.Parts {
		if _, here := part.segment(segment); here {
			return part
		}
	}
	return Plan{}
}

// Has reports whether a segment's step has its result.
func (p Progress) Has(segment int, step string) bool { return slices.Contains(p.Steps[segment], step) }

// GaveUp reports whether a segment's step is among the dead.
func (p Progress) GaveUp(segment int, step string) bool {
	return slices.Contains(p.Dead[segment], step)
}
