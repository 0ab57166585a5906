package assemble

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/ledger"
)

// proxy joins the segments of a proxy, which encode has made all.
func (f *Function) proxy(ctx context.Context, e event.Event) error {
	d, err := function.Data[events.Proxied](e)
	if err != nil {
		return err
	}
	return ledger.Run(ctx, f.Ledger, ledger.Step[findings.Proxied]{
		Work:  ledger.Work{Clip: d.Clip, Run: d.Run, Segment: ledger.Whole, Step: findings.Proxy},
		Alone: f.Alone,
		Make:  func(ctx context.Context) (findings.Proxied, error) { return f.joinProxy(ctx, d.OfRun) },
		Tail: func(ctx context.Context, made findings.Proxied) error {
			return f.Out.Emit(ctx, events.Proxied{OfRun: d.OfRun, Video: made.Video.Key}.Completed(name))
		},
		GivenUp: func(ctx context.Context, a ledger.Abandonment) error {
			whole := events.OfSegment{OfRun: d.OfRun, Segment: ledger.Whole}
			return f.Out.Emit(ctx, events.Abandoned{OfSegment: whole, Step: a.Step, Reason: a.Reason}.Event(name))
		},
	})
}

func (f *Function) joinProxy(ctx context.Context, r events.OfRun) (findings.Proxied, error) {
	watch := function.Start()
	progress, err := f.Ledger.Progress(ctx, r.Clip, r.Run)
	if err != nil {
		return findings.Proxied{}, err
	}
	var parts []findings.Ref
	for _, s := range progress.Segments {
		var encoded findings.Encoded
		work := ledger.Work{Clip: r.Clip, Run: r.Run, Segment: s.Index, Step: findings.Proxy}
		if err := f.Ledger.Read(ctx, work.Key(), &encoded); err != nil {
			return findings.Proxied{}, err
		}
		for _, v := range encoded.Videos {
			parts = append(parts, v.Media)
		}
	}
	ref, err := f.join(ctx, r.Clip, parts)
	cost := watch.Cost()
	return findings.Proxied{
		Made:  findings.Made{Version: version, CPUSeconds: cost.CPUSeconds, Seconds: cost.WallSeconds},
		Video: ref,
	}, err
}
