package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
)

// proxy has the whole of a clip encoded as browsers play it, and waits for it.
func proxy(ctx context.Context, c *console, args []string) (int, error) {
	f := newOptions(c, "proxy", "ID [options]", "Makes the whole of a clip an MP4 that browsers play; the beginning of its id will do.")
	out := f.String("out", "", "write it to this `file`; without one, say where it is in the store")
	ids, err := f.parse(args)
	if err != nil || len(ids) != 1 {
		return f.misusedOr(err, "proxy needs the id of one clip")
	}
	p, err := find(ctx, c, settings{})
	if err != nil {
		return exitFailed, err
	}
	defer p.close()
	clip, err := one(ctx, p.ledger, ids[0])
	if err != nil {
		return exitFailed, err
	}
	at := events.OfSegment{OfRun: events.OfRun{Clip: clip.ID, Run: clip.Run}}
	if _, _, err := p.ledger.Segment(ctx, clip.ID, clip.Run, 0); err != nil {
		return exitFailed, fmt.Errorf("clip %s has no segments to be encoded: %w", clip.ID, err)
	}
	if err := p.publish(ctx, events.Requested{OfSegment: at}.Event("vedette")); err != nil {
		return exitFailed, err
	}
	made, err := awaitProxy(ctx, c, p, at.OfRun)
	if err != nil {
		return exitFailed, err
	}
	if *out == "" {
		c.print(made.Video.Key)
		return exitDone, nil
	}
	return exitDone, p.fetch(ctx, made.Video.Key, *out)
}

// awaitProxy looks for the proxy until it is there or a part of it is given up, and shows how far it is.
func awaitProxy(ctx context.Context, c *console, p *place, r events.OfRun) (findings.Proxied, error) {
	for shown := -1; ; {
		var made findings.Proxied
		err := p.ledger.Read(ctx, ledger.Work{Clip: r.Clip, Run: r.Run, Segment: ledger.Whole, Step: findings.Proxy}.Key(), &made)
		if !errors.Is(err, ledger.ErrNotExist) {
			return made, err
		}
		progress, err := p.ledger.Progress(ctx, r.Clip, r.Run)
		if err != nil {
			return made, err
		}
		encoded := 0
		for _, s := range progress.Segments {
			if progress.Has(s.Index, findings.Proxy) {
				encoded++
			}
			if progress.GaveUp(s.Index, findings.Proxy) {
				return made, fmt.Errorf("segment %d of clip %s could not be encoded: its process died over it", s.Index, r.Clip)
			}
		}
		if progress.GaveUp(ledger.Whole, findings.Proxy) {
			return made, fmt.Errorf("the segments of clip %s could not be joined", r.Clip)
		}
		if encoded != shown {
			shown = encoded
			c.say("%d of %s encoded", encoded, count(len(progress.Segments), "segment"))
		}
		select {
		case <-ctx.Done():
			return made, context.Cause(ctx)
		case <-time.After(300 * time.Millisecond):
		}
	}
}
