package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/media"
	"vedette.dev/shared/vision"
)

// look shows what is found in clips, and writes pictures of it into a folder, if there is one.
func (m *measurement) look(ctx context.Context, clips []string, folder string) error {
	for _, clip := range clips {
		body, err := os.ReadFile(clip)
		if err != nil {
			return err
		}
		name := filepath.Base(clip)
		t, err := newPipe(m.settings, m.networks).process(ctx, name, body)
		if err != nil {
			return err
		}
		fmt.Println(name)
		for _, g := range t.Segments {
			fmt.Printf("  segment %d, %.2f to %.2f s: active %v (%.2f by %s), frames %d", g.Index, float64(g.StartUS)/1e6, float64(g.EndUS)/1e6, g.Active, g.Score, g.Rule, len(g.Frames))
			for _, s := range g.Stretches {
				fmt.Printf(", moves %.1f-%.1f", float64(s.StartUS)/1e6, float64(s.EndUS)/1e6)
			}
			fmt.Println()
		}
		for _, track := range t.Report.Tracks {
			fmt.Printf("  %s %d from %.1f to %.1f s", track.Object, track.ID, track.Start, track.End)
			if track.Face != nil {
				fmt.Printf(", face %d px (%.2f)", track.Face.Width, track.Face.Score)
			}
			fmt.Println()
		}
		for _, step := range []string{findings.Split, findings.Decode, findings.Detect, findings.Assemble} {
			fmt.Printf("  %s %.2f s", step, t.Report.Steps[step].CPUSeconds)
		}
		fmt.Println()
		if folder == "" {
			continue
		}
		if err := draw(ctx, body, t, filepath.Join(folder, strings.TrimSuffix(name, filepath.Ext(name)))); err != nil {
			return err
		}
	}
	return nil
}

// draw writes a picture of each frame in which something is seen.
func draw(ctx context.Context, body []byte, t told, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	seen := map[int64][]sighting{}
	for _, g := range t.Segments {
		for _, s := range g.seen {
			seen[s.us] = append(seen[s.us], s)
		}
	}
	var failed error
	err := eachFrame(ctx, body, 5, func(us int64, m vision.Image) {
		if len(seen[us]) == 0 || failed != nil {
			return
		}
		m = clone(m)
		for _, s := range seen[us] {
			box := s.box.Scale(float64(m.W), float64(m.H))
			frame(m, box, colour(s.track))
			number(m, s.track, int(box.X)+3, int(box.Y)+3, colour(s.track))
			if s.face != nil {
				frame(m, s.face.Scale(float64(m.W), float64(m.H)), [3]byte{255, 255, 255})
			}
		}
		jpeg, err := media.EncodeJPEG(media.Picture{Pix: m.Pix, W: m.W, H: m.H, Stride: m.Stride}, 85)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, fmt.Sprintf("%08.2f.jpg", float64(us)/1e6)), jpeg, 0o644)
		}
		failed = err
	})
	if err != nil {
		return err
	}
	return failed
}

// colour is that of a track.
func colour(track int) [3]byte {
	wave := func(shift float64) byte { return byte(160 + 95*math.Sin(2.4*float64(track)+shift)) }
	return [3]byte{wave(0), wave(2.1), wave(4.2)}
}

func frame(m vision.Image, b vision.Box, c [3]byte) {
	x0, y0, x1, y1 := int(b.X), int(b.Y), int(b.X+b.W), int(b.Y+b.H)
	for thick := range 2 {
		for x := x0; x <= x1; x++ {
			dot(m, x, y0+thick, c)
			dot(m, x, y1-thick, c)
		}
		for y := y0; y <= y1; y++ {
			dot(m, x0+thick, y, c)
			dot(m, x1-thick, y, c)
		}
	}
}

func dot(m vision.Image, x, y int, c [3]byte) {
	if x >= 0 && y >= 0 && x < m.W && y < m.H {
		copy(m.Row(y)[3*x:], c[:])
	}
}

// digits are 3 by 5 dots each, a row in three bits.
var digits = [10][5]byte{ //nolint:gochecknoglobals // a font
	{7, 5, 5, 5, 7}, {2, 6, 2, 2, 7}, {7, 1, 7, 4, 7}, {7, 1, 3, 1, 7}, {5, 5, 7, 1, 1},
	{7, 4, 7, 1, 7}, {7, 4, 7, 5, 7}, {7, 1, 1, 2, 2}, {7, 5, 7, 5, 7}, {7, 5, 7, 1, 7},
}

func number(m vision.Image, n, x, y int, c [3]byte) {
	const size = 3
	for i, digit := range fmt.Sprint(n) {
		for row, bits := range digits[digit-'0'] {
			for column := range 3 {
				shade := [3]byte{}
				if bits>>(2-column)&1 == 1 {
					shade = c
				}
				for d := range size * size {
					dot(m, x+(4*i+column)*size+d%size, y+row*size+d/size, shade)
				}
			}
		}
	}
}
