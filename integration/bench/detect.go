package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/functions/detect/native"
	"vedette.dev/models"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/vision"
)

// detect compares detect on one staged segment with a bare loop that decodes and scales the same frames and gives them to
// the same networks in the batches that are best for it.
func (b *bench) detect(ctx context.Context) error {
	s, err := defaults()
	if err != nil {
		return err
	}
	networks, err := native.Load(s.detect, quietly{})
	if err != nil {
		return err
	}
	p, found, decoded, err := b.staged(ctx, s)
	if err != nil {
		return err
	}
	loop, err := b.bareDetect(ctx, s, networks, p, found)
	if err != nil {
		return err
	}
	best, err := loop.tune(ctx)
	if err != nil {
		return err
	}
	ours := func(ctx context.Context) (float64, error) {
		fork := p.fork()
		watch := function.Start()
		err := fork.detect(ctx, s, networks, decoded)
		return watch.Cost().CPUSeconds, err
	}
	if _, err := ours(ctx); err != nil { // once to warm up, as the bare loop does
		return err
	}
	frames := 0
	var inference []float64
	took, err := race(ctx, b.rounds, func(ctx context.Context) (float64, error) {
		a, err := loop.run(ctx, best)
		frames = a.Frames
		inference = append(inference, a.Persons+a.Faces)
		return a.CPU, err
	}, ours)
	if err != nil {
		return err
	}
	if frames != len(found.Frames) {
		return fmt.Errorf("the bare loop saw %d of %d frames: it does not do the same", frames, len(found.Frames))
	}
	b.atMost("detect, ours to bare ONNX Runtime", least(took[1])/least(took[0]), "CPU ratio", 1.15)
	b.told("detect", 1000*least(took[1])/float64(frames), "CPU ms a frame")
	b.told("bare ONNX Runtime with decoding and scaling", 1000*least(took[0])/float64(frames), "CPU ms a frame")
	b.told("inference alone in it", 1000*least(inference)/float64(frames), "CPU ms a frame")
	b.told("its best batch for persons", float64(best.persons), "pictures")
	b.told("its best batch for faces", float64(best.faces), "pictures")
	return nil
}

// staged is a pipe in which a segment of the street waits for detect.
func (b *bench) staged(ctx context.Context, s settings) (*pipe, findings.Decoded, event.Event, error) {
	body, err := clip(ctx, b.sample, b.cache, "street")
	if err != nil {
		return nil, findings.Decoded{}, event.Event{}, err
	}
	p, err := newPipe(ctx, s, body)
	if err != nil {
		return nil, findings.Decoded{}, event.Event{}, err
	}
	found, err := p.decode(ctx, s, p.take(events.SegmentCut)[1])
	if err == nil && found.Staged == nil {
		err = errors.New("nothing was staged of the clip of a street")
	}
	if err != nil {
		return nil, found, event.Event{}, err
	}
	return p, found, p.take(events.SegmentDecoded)[0], nil
}

// bareLoop is the program bare/detect.c and what it is called with.
type bareLoop struct {
	program, library, staged, threads string
	persons, faces                    []string
}

type batches struct{ persons, faces int }

// spent is what the loop says of itself, in CPU seconds.
type spent struct {
	CPU, Persons, Faces float64
	Frames              int
}

func (b *bench) bareDetect(ctx context.Context, s settings, n native.Networks, p *pipe, found findings.Decoded) (bareLoop, error) {
	l := bareLoop{library: b.library, staged: filepath.Join(b.temp, "staged.mkv"), threads: strconv.Itoa(s.detect.Threads)}
	header, err := onnxHeader(ctx)
	if err != nil {
		return l, err
	}
	if l.program, err = b.compile(ctx, "detect", "-I"+header); err != nil {
		return l, err
	}
	body, err := p.bucket.Get(ctx, found.Staged.Key)
	if err != nil {
		return l, err
	}
	if err := os.WriteFile(l.staged, body, 0o644); err != nil {
		return l, err
	}
	network := func(weights []byte, model models.Model, err error, box vision.Letterbox) ([]string, error) {
		if err != nil {
			return nil, err
		}
		file := filepath.Join(b.temp, model.File)
		list := []string{file}
		for _, n := range []int{box.W, box.H, box.PictureW, box.PictureH} {
			list = append(list, strconv.Itoa(n))
		}
		return list, os.WriteFile(file, weights, 0o644)
	}
	weights, model, err := models.Persons()
	if l.persons, err = network(weights, model, err, n.Persons.Letterbox(found.StagedWidth, found.StagedHeight)); err != nil {
		return l, err
	}
	weights, model, err = models.Faces()
	l.faces, err = network(weights, model, err, n.Faces.Letterbox(found.StagedWidth, found.StagedHeight))
	return l, err
}

func (l bareLoop) run(ctx context.Context, n batches) (spent, error) {
	arguments := append([]string{l.staged, l.threads}, l.persons...)
	arguments = append(arguments, strconv.Itoa(n.persons))
	arguments = append(arguments, l.faces...)
	arguments = append(arguments, strconv.Itoa(n.faces))
	var a spent
	return a, bare(ctx, &a, l.program, append([]string{l.library}, arguments...)...)
}

// tune finds the batch of each network at which it costs least.
func (l bareLoop) tune(ctx context.Context) (batches, error) {
	var best batches
	var persons, faces float64
	for _, n := range []int{1, 2, 4, 8} {
		var p, f []float64
		for range 2 {
			a, err := l.run(ctx, batches{n, n})
			if err != nil {
				return best, err
			}
			p, f = append(p, a.Persons), append(f, a.Faces)
		}
		if least := min(p[0], p[1]); best.persons == 0 || least < persons {
			best.persons, persons = n, least
		}
		if least := min(f[0], f[1]); best.faces == 0 || least < faces {
			best.faces, faces = n, least
		}
	}
	return best, nil
}
