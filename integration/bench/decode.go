package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"vedette.dev/events"
	"vedette.dev/shared/function"
	"vedette.dev/shared/media"
)

// decode compares decoding, sampling and converting with a bare loop, and tells what staging and the gate add.
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

	var bareTaken, taken int
	o := media.DecodeOptions{
		Span: &segment.Span, Rate: s.decode.Rate, Format: media.YUVJ420,
		MaxWidth: s.decode.Width, MaxHeight: s.decode.Height, Threads: s.decode.Threads,
	}
	took, err := race(ctx, b.rounds,
		func(ctx context.Context) (float64, error) {
			var answer struct {
				CPU   float64
				Taken int
			}
			err := bare(ctx, &answer, loop, file, strconv.FormatFloat(s.decode.Rate, 'g', -1, 64))
			bareTaken = answer.Taken
			return answer.CPU, err
		},
		func(ctx context.Context) (seconds float64, err error) {
			taken, seconds, err = sampled(ctx, cut, o, nil)
			return seconds, err
		},
		func(ctx context.Context) (float64, error) {
			var stage media.Stage
			defer stage.Close()
			_, seconds, err := sampled(ctx, cut, o, &stage)
			return seconds, err
		},
		func(ctx context.Context) (float64, error) {
			fork := p.fork()
			watch := function.Start()
			found, err := fork.decode(ctx, s, first)
			if err == nil && !found.Active {
				err = errors.New("the clip of a street is told to be quiet")
			}
			return watch.Cost().CPUSeconds, err
		})
	if err != nil {
		return err
	}
	if taken != bareTaken {
		return fmt.Errorf("Vedette took %d frames and the bare loop %d: they do not do the same", taken, bareTaken)
	}
	floor, ours, staged, whole := took[0], took[1], took[2], took[3]
	length := float64(segment.End-segment.Start) / 1e6
	b.atLeast("decode without staging, bare FFmpeg to ours", least(floor)/least(ours), "CPU ratio", .95)
	b.told("decode without staging", 1000*least(ours)/(length*rate), "CPU ms a frame")
	b.told("staging", 1000*(least(staged)-least(ours))/float64(taken), "CPU ms a staged frame")
	b.told("decode as a function, gate and staging included", least(whole)/length, "CPU s a second of clip")
	b.told("the gate in it", (least(whole)-least(staged))/length, "CPU s a second of clip")
	return nil
}

// sampled goes through the frames that are sampled of a segment, and stages them if there is a stage.
func sampled(ctx context.Context, segment []byte, o media.DecodeOptions, stage *media.Stage) (frames int, seconds float64, err error) {
	watch := function.Start()
	d, err := media.Decode(ctx, bytes.NewReader(segment), o)
	if err != nil {
		return 0, 0, err
	}
	defer d.Close()
	for ; ; frames++ {
		f, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && stage != nil {
			err = stage.Add(f)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	if stage != nil {
		_, _, err = stage.Finish()
	}
	return frames, watch.Cost().CPUSeconds, err
}
