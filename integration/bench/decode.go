package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"vedette.dev/events"
	"vedette.dev/shared/function"
	"vedette.dev/shared/media"
)

// decode compares decoding, sampling and converting with a bare loop, and tells what staging adds. The bare loop decodes
// every frame, and ours may leave out those that nobody needs: so the comparison is made once more where all are needed.
func (b *bench) decode(ctx context.Context) error {
	s, err := defaults()
	if err != nil {
		return err
	}
	body, err := clip(ctx, b.sample, b.cache, "street")
	if err != nil {
		return err
	}
	cutter, err := media.Cut(ctx, bytes.NewReader(body), media.CutOptions{})
	if err != nil {
		return err
	}
	defer cutter.Close()
	segment, err := cutter.Next()
	if err != nil {
		return err
	}
	defer segment.Close()
	cut, err := segment.Bytes()
	if err != nil {
		return err
	}
	file := filepath.Join(b.temp, "segment.mp4")
	if err := os.WriteFile(file, cut, 0o644); err != nil {
		return err
	}
	loop, err := b.compile(ctx, "decode")
	if err != nil {
		return err
	}
	p, err := newPipe(ctx, s, body)
	if err != nil {
		return err
	}
	first := p.take(events.SegmentCut)[0]

	o := media.DecodeOptions{
		Span: &segment.Span, Rate: s.decode.Rate, Format: media.YUVJ420,
		MaxWidth: s.decode.Width, MaxHeight: s.decode.Height, Threads: s.decode.Threads,
	}
	every := o
	every.Rate = 2 * rate // nothing can be left out
	took, err := race(ctx, b.rounds,
		func(ctx context.Context) (float64, error) {
			return bareDecode(ctx, loop, file, o.Rate, frames(segment, o))
		},
		func(ctx context.Context) (float64, error) { return sampled(ctx, cut, o, nil, frames(segment, o)) },
		func(ctx context.Context) (float64, error) {
			var stage media.Stage
			defer stage.Close()
			return sampled(ctx, cut, o, &stage, frames(segment, o))
		},
		func(ctx context.Context) (float64, error) {
			fork := p.fork()
			watch := function.Start()
			found, err := fork.decode(ctx, s, first)
			if err == nil && !found.Active {
				err = errors.New("the clip of a street is told to be quiet")
			}
			return watch.Cost().CPUSeconds, err
		},
		func(ctx context.Context) (float64, error) {
			return bareDecode(ctx, loop, file, every.Rate, frames(segment, every))
		},
		func(ctx context.Context) (float64, error) {
			return sampled(ctx, cut, every, nil, frames(segment, every))
		})
	if err != nil {
		return err
	}
	floor, ours, staged, whole := least(took[0]), least(took[1]), least(took[2]), least(took[3])
	length := float64(segment.End-segment.Start) / 1e6
	b.atLeast("decode without staging, bare FFmpeg to ours", floor/ours, "CPU ratio", .95)
	b.atLeast("the same with every frame sampled", least(took[4])/least(took[5]), "CPU ratio", .95)
	b.told("decode without staging", ours/length, "CPU s a second of clip")
	b.told("staging", 1000*(staged-ours)/float64(frames(segment, o)), "CPU ms a staged frame")
	b.told("decode as a function, gate and staging included", whole/length, "CPU s a second of clip")
	return nil
}

// frames is how many are sampled of a segment.
func frames(s *media.Segment, o media.DecodeOptions) int {
	return int(math.Round(float64(s.End-s.Start) / 1e6 * min(o.Rate, rate)))
}

// bareDecode is what the bare loop spends on a file.
func bareDecode(ctx context.Context, loop, file string, rate float64, frames int) (float64, error) {
	var answer struct {
		CPU   float64
		Taken int
	}
	err := bare(ctx, &answer, loop, file, strconv.FormatFloat(rate, 'g', -1, 64))
	if err == nil && answer.Taken != frames {
		err = fmt.Errorf("the bare loop took %d frames instead of %d: it does not do the same", answer.Taken, frames)
	}
	return answer.CPU, err
}

// sampled is what it costs to go through the frames that are sampled of a segment, and to stage them if there is a stage.
func sampled(ctx context.Context, segment []byte, o media.DecodeOptions, stage *media.Stage, frames int) (float64, error) {
	watch := function.Start()
	d, err := media.Decode(ctx, bytes.NewReader(segment), o)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	n := 0
	for ; ; n++ {
		f, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && stage != nil {
			err = stage.Add(f)
		}
		if err != nil {
			return 0, err
		}
	}
	if n != frames {
		return 0, fmt.Errorf("%d frames were sampled instead of %d", n, frames)
	}
	if stage != nil {
		_, _, err = stage.Finish()
	}
	return watch.Cost().CPUSeconds, err
}
