package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"vedette.dev/functions/detect/native"
	"vedette.dev/shared/findings"
)

// row is one line of the table.
type row struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Goal  string  `json:"goal"` // "" where there is none
	OK    bool    `json:"ok"`
}

func atLeast(name string, value, goal float64, unit string) row {
	return row{name, value, unit, fmt.Sprintf("≥ %v", goal), value >= goal}
}

func atMost(name string, value, goal float64, unit string) row {
	return row{name, value, unit, fmt.Sprintf("≤ %v", goal), value <= goal}
}

func just(name string, value float64, unit string) row { return row{name, value, unit, "", true} }

// measurement is what the suites need.
type measurement struct {
	settings
	footage
	portraits []portrait
	networks  *native.Networks
	scale     float64 // how much is filmed: 1 is the default
	seed      uint64
	spent     expense
	progress  func(format string, args ...any)
}

// expense is what was spent on how many frames.
type expense struct {
	frames                        int
	seconds, decodeCPU, detectCPU float64
	quietSeconds, quietCPU        float64
}

func (m *measurement) times(n int) int { return max(1, int(math.Round(float64(n)*m.scale))) }

// show films a scene and has it processed.
func (m *measurement) show(ctx context.Context, s scene, networks *native.Networks) (told, error) {
	body, err := s.film()
	if err != nil {
		return told{}, err
	}
	t, err := newPipe(m.settings, networks).process(ctx, s.name+".mp4", body)
	if err != nil {
		return t, err
	}
	for _, g := range t.Segments {
		seconds := float64(g.EndUS-g.StartUS) / 1e6
		m.spent.seconds += seconds
		if g.Rule == "packets" && g.Staged == nil {
			m.spent.quietSeconds += seconds
			m.spent.quietCPU += g.Made.CPUSeconds
		}
		if g.Staged != nil && networks != nil {
			m.spent.frames += len(g.Frames)
		}
	}
	m.spent.detectCPU += t.Report.Steps[findings.Detect].CPUSeconds
	m.spent.decodeCPU += t.Report.Steps[findings.Decode].CPUSeconds
	m.progress("%s: %d segments, %d tracks", s.name, len(t.Segments), len(t.Report.Tracks))
	return t, nil
}

// cast is for scenes of that size; every suite has people and places of its own.
func (m *measurement) cast(suite uint64, width, height int) *cast {
	return &cast{footage: m.footage, r: rand.New(rand.NewPCG(m.seed, suite)), width: width, height: height}
}

// What an encoder does by default, and what it does where a rate is set.
var encoders = []map[string]string{ //nolint:gochecknoglobals // a table
	{"crf": "23"},
	{"crf": "28", "bf": "0"},
	{"b": "1500k", "maxrate": "1500k", "bufsize": "3000k"},
}

// smallest is the height, as a part of the picture's, from which persons are to be found with the default network size.
const smallest = 1. / 7

// visits are scenes of one visitor each, with quiet between them.
func (m *measurement) visits(distance int) []scene {
	const slot, visits = 40., 4
	c := m.cast(uint64(100+distance), 960, 540)
	var scenes []scene
	for i := range m.times(4) {
		s := scene{
			name: fmt.Sprintf("gate, keyframes %d s apart, %d", distance, i), width: c.width, height: c.height, rate: 10, gop: 10 * distance,
			options: encoders[i%len(encoders)], seconds: slot * visits, ground: c.place(c.r, c.width, c.height),
			noise: []float64{2, 1, 4, 0}[i%4], seed: m.seed + uint64(i),
		}
		for v := range visits {
			tall := math.Exp(math.Log(.1) + c.r.Float64()*math.Log(4)) // a tenth of the picture's height to two fifths
			s.actors = append(s.actors, c.walks(tall, slot*float64(v)+2+4*c.r.Float64(), float64(c.r.IntN(2)*3)))
		}
		scenes = append(scenes, s)
	}
	return scenes
}

// gate asks the gate alone.
func (m *measurement) gate(ctx context.Context) ([]row, error) {
	var rows []row
	for _, distance := range []int{1, 2, 10} {
		seen, all := 0, 0
		quiet, skipped, cheaply := 0., 0., 0.
		for _, s := range m.visits(distance) {
			t, err := m.show(ctx, s, nil)
			if err != nil {
				return nil, err
			}
			for _, a := range s.actors {
				all++
				if missed := unseen(a, s, t); missed <= 1 {
					seen++
				} else {
					m.progress("%s: who came at %.1f s, %.0f px high, was missed for %.1f s", s.name, a.from, a.box(a.from).H, missed)
				}
			}
			for _, g := range t.Segments {
				if !empty(s, g) {
					continue
				}
				seconds := float64(g.EndUS-g.StartUS) / 1e6
				quiet += seconds
				if !g.Active {
					skipped += seconds
				} else {
					m.progress("%s: segment %d is active: %.2f by %s", s.name, g.Index, g.Score, g.Rule)
				}
				if g.Rule == "packets" {
					cheaply += seconds
				}
			}
		}
		name := fmt.Sprintf("gate, keyframes %d s apart: ", distance)
		rows = append(rows,
			atLeast(name+fmt.Sprintf("tracks of %d seen", all), ratio(seen, all), .99, "share"),
			atLeast(name+fmt.Sprintf("%.0f s of quiet skipped", quiet), skipped/max(quiet, 1e-9), .9, "share"),
			just(name+"of quiet by packets alone", cheaply/max(quiet, 1e-9), "share"))
	}
	return rows, nil
}

// unseen is for how many seconds somebody walked in segments that were taken for quiet.
func unseen(a *actor, s scene, t told) float64 {
	missed := 0.
	const step = .1
	for at := a.from; at < min(a.to, s.seconds); at += step {
		box := a.box(at)
		if inside := box.Clip(float64(s.width), float64(s.height)); inside.Area() < .5*box.Area() || !a.moving(at) {
			continue
		}
		for _, g := range t.Segments {
			if us := int64(at * 1e6); us >= g.StartUS && us < g.EndUS && !g.Active {
				missed += step
			}
		}
	}
	return missed
}

// empty says whether nobody is there in a segment.
func empty(s scene, g segment) bool {
	for _, a := range s.actors {
		if a.to > float64(g.StartUS)/1e6 && a.from < float64(g.EndUS)/1e6 {
			return false
		}
	}
	return true
}

// empties shows places in which nothing is but a camera's noise and light that drifts.
func (m *measurement) empties(ctx context.Context) ([]row, error) {
	c := m.cast(200, 1280, 720)
	later, segments, tracks := 0, 0, 0
	hours := 0.
	for i := range m.times(6) {
		s := scene{
			name: fmt.Sprintf("empty %d", i), width: c.width, height: c.height, rate: 10, gop: []int{10, 20, 100}[i%3],
			options: encoders[i/3%len(encoders)], seconds: 60, ground: c.place(c.r, c.width, c.height),
			noise: []float64{0, 2, 4, 8}[i%4], seed: m.seed + uint64(i),
		}
		if i%2 == 1 {
			s.light = func(at float64) float64 { return 1 + .15*math.Sin(at/15) }
		}
		t, err := m.show(ctx, s, m.networks)
		if err != nil {
			return nil, err
		}
		hours += s.seconds / 3600
		tracks += len(t.Report.Tracks)
		for _, g := range t.Segments {
			if g.Index == 0 {
				continue
			}
			segments++
			if g.Active {
				later++
				m.progress("%s: segment %d is active: %.2f by %s", s.name, g.Index, g.Score, g.Rule)
			}
		}
	}
	return []row{
		atMost(fmt.Sprintf("empty places: active segments after the first, of %d", segments), float64(later), 0, ""),
		atMost(fmt.Sprintf("empty places: tracks in %.1f min, an hour", 60*hours), float64(tracks)/hours, 1, "1/h"),
	}, nil
}

// cars shows places in which only cars move.
func (m *measurement) cars(ctx context.Context) ([]row, error) {
	c := m.cast(300, 1280, 720)
	tracks, hours := 0, 0.
	for i := range m.times(3) {
		s := scene{
			name: fmt.Sprintf("cars %d", i), width: c.width, height: c.height, rate: 10, gop: 20,
			options: encoders[i%len(encoders)], seconds: 100, ground: c.place(c.r, c.width, c.height), noise: 2, seed: m.seed + uint64(i),
		}
		for range 3 {
			s.actors = append(s.actors, c.drives(.12+.3*c.r.Float64(), 0, s.seconds))
		}
		t, err := m.show(ctx, s, m.networks)
		if err != nil {
			return nil, err
		}
		for _, track := range t.Report.Tracks {
			m.progress("%s: %s %d from %.1f to %.1f s", s.name, track.Object, track.ID, track.Start, track.End)
		}
		tracks += len(t.Report.Tracks)
		hours += s.seconds / 3600
	}
	return []row{atMost(fmt.Sprintf("cars only: tracks in %.1f min, an hour", 60*hours), float64(tracks)/hours, 1, "1/h")}, nil
}

// persons shows people who walk, stand, and pass in front of one another.
func (m *measurement) persons(ctx context.Context) ([]row, error) {
	c := m.cast(400, 1280, 720)
	bounds := []float64{1. / 14, 1. / 10, 1. / 7, 1. / 5, 1. / 3, 1}
	var total score
	bySize := make([]score, len(bounds)-1)
	tracks := 0
	for i := range m.times(6) {
		s := scene{
			name: fmt.Sprintf("persons %d", i), width: c.width, height: c.height, rate: 10, gop: 20,
			options: encoders[i%len(encoders)], seconds: 40, ground: c.place(c.r, c.width, c.height), noise: 2, seed: m.seed + uint64(i),
		}
		for n := range 6 {
			tall := math.Exp(math.Log(bounds[0]) + c.r.Float64()*math.Log(.5/bounds[0]))
			s.actors = append(s.actors, c.walks(tall, float64(n)*4*c.r.Float64(), float64(c.r.IntN(2)*4)))
		}
		t, err := m.show(ctx, s, m.networks)
		if err != nil {
			return nil, err
		}
		labels := s.labels()
		var seen []sighting
		for _, g := range t.Segments {
			for _, o := range g.seen {
				if o.object == findings.Person {
					seen = append(seen, o)
				}
			}
		}
		total.add(compare(labels, seen, func(l label) bool { return l.hidden < .25 && l.tall >= smallest }))
		for b := range bySize {
			bySize[b].add(compare(labels, seen, func(l label) bool { return l.hidden < .25 && l.tall >= bounds[b] && l.tall < bounds[b+1] }))
		}
		tracks += len(t.Report.Tracks)
	}
	rows := []row{
		atLeast("persons from 1/7 of the height: recall", total.recall(), .95, "share"),
		just("persons from 1/7 of the height: precision", total.precision(), "share"),
		just("persons from 1/7 of the height: IDF1", total.idf1(), "share"),
		just(fmt.Sprintf("persons: switches of number, of %d people in %d tracks", c.next, tracks), float64(total.switches), ""),
	}
	for b := range bySize {
		rows = append(rows, just(fmt.Sprintf("persons from 1/%.0f to 1/%.0f: recall of %d", 1/bounds[b], 1/bounds[b+1], bySize[b].labels), bySize[b].recall(), "share"))
	}
	return rows, nil
}

// faces shows heads and shoulders at all sizes.
func (m *measurement) faces(ctx context.Context) ([]row, error) {
	var rows []row
	var large score
	c := m.cast(500, 1920, 1080)
	input := m.networks.Faces.Letterbox(c.width, c.height)
	byInput := float64(c.width) / float64(input.PictureW)
	const atOnce = 6
	for _, px := range []float64{16, 20, 24, 30, 40, 60} {
		var all score
		for from := 0; from < m.times(len(m.portraits)) && from < len(m.portraits); from += atOnce {
			s := scene{
				name: fmt.Sprintf("faces of %.0f px, %d", px, from/atOnce), width: c.width, height: c.height, rate: 5, gop: 10,
				options: encoders[from/atOnce%len(encoders)], seconds: 10, ground: c.place(c.r, c.width, c.height), noise: 2, seed: m.seed,
			}
			for i, p := range m.portraits[from:min(from+atOnce, len(m.portraits))] {
				x, y := 320+640*float64(i%3), 480+520*float64(i/3)
				s.actors = append(s.actors, c.shows(p, px*byInput, x, y, 0, s.seconds))
			}
			t, err := m.show(ctx, s, m.networks)
			if err != nil {
				return nil, err
			}
			all.add(compare(s.labels(), facesOf(t), func(l label) bool { return l.hidden < .25 }))
		}
		rows = append(rows, just(fmt.Sprintf("faces of %.0f px at the input: recall of %d", px, all.labels), all.recall(), "share"))
		if px >= 30 {
			large.add(all)
		}
	}
	return append(rows,
		atLeast("faces from 30 px at the input: recall", large.recall(), .95, "share"),
		just("faces from 30 px at the input: precision", large.precision(), "share")), nil
}

// facesOf is where faces are seen.
func facesOf(t told) []sighting {
	var seen []sighting
	for _, g := range t.Segments {
		for _, o := range g.seen {
			switch {
			case o.object == findings.FaceOf:
				seen = append(seen, o)
			case o.face != nil:
				o.box = *o.face
				seen = append(seen, o)
			}
		}
	}
	return seen
}
