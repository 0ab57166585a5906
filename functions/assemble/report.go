package assemble

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
)

// whole is everything that the ledger holds of a run.
type whole struct {
	clip     ledger.Clip
	run      int
	progress ledger.Progress
	decoded  map[int]findings.Decoded
	objects  map[int]findings.Objects
	numbered map[int]findings.Numbered
	encoded  map[int]findings.Encoded
}

// report tells what was found. It is a pure function of what the ledger holds.
func (w whole) report() findings.Report {
	r := findings.Report{
		Schema:   findings.SchemaReport,
		Clip:     w.clip.ID,
		Run:      w.run,
		Status:   findings.StatusAnalyzed,
		Source:   w.clip.Origin,
		Segments: []findings.ReportedSegment{},
		Tracks:   []findings.ReportedTrack{},
		Steps:    map[string]findings.Expense{},
	}
	first := w.progress.Parts[0]
	if r.Source.By == "upload" && !first.Tagged.IsZero() {
		r.Source.Captured, r.Source.By, r.Source.SureS = first.Tagged, "container", containerSure
	}
	r.Width, r.Height = first.Width, first.Height
	for _, s := range w.progress.Segments {
		told := findings.ReportedSegment{
			Start:  seconds(s.StartUS),
			End:    seconds(s.EndUS),
			Active: w.progress.States[s.Index] == ledger.Active,
		}
		for _, m := range w.decoded[s.Index].Stretches {
			told.Motion = append(told.Motion, [2]float64{seconds(m.StartUS), seconds(m.EndUS)})
		}
		if w.progress.States[s.Index] == ledger.Failed {
			told.Failed = w.progress.Dead[s.Index][0]
			r.Status, r.Reason = findings.StatusFailed, told.Failed+" of a segment was given up"
			r.Hint = "The other segments are reported. `vedette replay` tries again."
		}
		r.Segments = append(r.Segments, told)
		r.Duration = told.End
	}
	r.Tracks = w.tracks()
	w.expenses(&r)
	return r
}

// containerSure is by how many seconds the clock of a camera that writes the time into its recordings may be off: such
// clocks are set by hand or by NTP, and nobody tells which.
const containerSure = 60

// resolver gives the number that a track has in the end, of one that it had before it was confirmed.
func (w whole) resolver() func(number int) int {
	confirmed := map[int]int{}
	for _, n := range w.numbered {
		maps.Copy(confirmed, n.Confirmed)
	}
	return func(number int) int {
		if later, ok := confirmed[number]; ok {
			return later
		}
		return number
	}
}

// tracks joins the tracks of the segments by their numbers; those that were never confirmed are left out.
func (w whole) tracks() []findings.ReportedTrack {
	resolve := w.resolver()
	found := map[int]*findings.ReportedTrack{}
	best := map[int]float64{} // quality of the face that is told
	look := map[int]float64{} // score of the crop that is told
	extend := func(number int, object string, startUS, endUS int64) *findings.ReportedTrack {
		t := found[number]
		if t == nil {
			t = &findings.ReportedTrack{ID: number, Object: object, Start: math.Inf(1)}
			found[number] = t
		}
		t.Start, t.End = min(t.Start, seconds(startUS)), max(t.End, seconds(endUS))
		return t
	}
	for _, s := range w.progress.Segments {
		n := w.numbered[s.Index]
		for _, t := range w.objects[s.Index].Tracks {
			number := resolve(n.Numbers[t.ID])
			if number <= 0 || len(t.Points) == 0 {
				continue
			}
			told := extend(number, t.Object, t.Points[0].US, t.Points[len(t.Points)-1].US)
			if f := t.Face; f != nil && (told.Face == nil || f.Quality > best[number]) {
				best[number] = f.Quality
				told.Face = &findings.ReportedFace{Width: f.Width, Score: f.Score, Crop: key(f.Crop)}
			}
			if t.Crop != nil && t.Peak > look[number] {
				look[number], told.Crop = t.Peak, t.Crop.Key
			}
		}
		for _, c := range n.Carried {
			if number := resolve(c.Number); number > 0 {
				extend(number, c.Object, s.EndUS, s.EndUS)
			}
		}
	}
	list := make([]findings.ReportedTrack, 0, len(found))
	for _, t := range found {
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b findings.ReportedTrack) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// expenses adds up what the steps cost, and which models they used.
func (w whole) expenses(r *findings.Report) {
	models := map[string]findings.Model{}
	add := func(step string, m findings.Made) {
		e := r.Steps[step]
		e.Runs++
		e.CPUSeconds = round(e.CPUSeconds + m.CPUSeconds)
		e.Seconds = round(e.Seconds + m.Seconds)
		r.Steps[step] = e
		for _, model := range m.Models {
			models[model.Name] = model
		}
	}
	for _, p := range w.progress.Parts {
		add(findings.Split, p.Made)
	}
	for _, s := range w.progress.Segments { // in order, so that sums are the same whoever adds
		if d, ok := w.decoded[s.Index]; ok {
			add(findings.Decode, d.Made)
		}
		if d, ok := w.objects[s.Index]; ok {
			add(findings.Detect, d.Made)
		}
		if d, ok := w.numbered[s.Index]; ok {
			add(findings.Assemble, d.Made)
		}
		if d, ok := w.encoded[s.Index]; ok {
			add(findings.Encode, d.Made)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(models)) {
		r.Models = append(r.Models, models[name])
	}
}

func seconds(us int64) float64 { return round(float64(us) / 1e6) }
func round(s float64) float64  { return math.Round(s*1000) / 1000 }
func key(r *findings.Ref) string {
	if r == nil {
		return ""
	}
	return r.Key
}
