package main

import (
	"context"
	"fmt"

	"vedette.dev/events"
	"vedette.dev/functions/detect/native"
	"vedette.dev/shared/function"
)

// quiet measures how many times faster than real time a clip goes by in which nothing moves, from split to the findings of
// its first frame.
func (b *bench) quiet(ctx context.Context) error {
	s, err := defaults()
	if err != nil {
		return err
	}
	networks, err := native.Load(s.detect, quietly{})
	if err != nil {
		return err
	}
	body, err := clip(ctx, b.sample, b.cache, "empty")
	if err != nil {
		return err
	}
	var first float64 // what the first look costs: detect on one frame
	took, err := race(ctx, b.rounds, func(ctx context.Context) (float64, error) {
		watch := function.Start()
		p, err := newPipe(ctx, s, body)
		if err != nil {
			return 0, err
		}
		for _, e := range p.take(events.SegmentCut) {
			found, err := p.decode(ctx, s, e)
			if err != nil {
				return 0, err
			}
			if found.Active || found.Rule != "packets" {
				return 0, fmt.Errorf("the empty clip is not quiet by its packets: active %v, rule %s, score %.2f", found.Active, found.Rule, found.Score)
			}
		}
		before := watch.Cost().CPUSeconds
		for _, e := range p.take(events.SegmentDecoded) {
			if e.Extensions()["staged"] != "true" { // as detect's Trigger filters
				continue
			}
			if err := p.detect(ctx, s, networks, e); err != nil {
				return 0, err
			}
		}
		whole := watch.Cost().CPUSeconds
		first = whole - before
		return whole, nil
	})
	if err != nil {
		return err
	}
	b.atLeast("quiet 1080p30, split, decode and first look", seconds/least(took[0]), "× real time of one core", 15)
	b.told("its first look, once a clip", 1000*first, "CPU ms")
	return nil
}
