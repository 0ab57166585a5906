package encode

import (
	"context"
	"errors"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/ledger"
)

// proxy encodes one segment of a proxy, whole and with nothing drawn on it, and asks for the next: one segment at a time,
// so that a long clip for a patient viewer takes no processor from those that are analyzed.
func (f *Function) proxy(ctx context.Context, e event.Event) error {
	d, err := function.Data[events.Requested](e)
	if err != nil {
		return err
	}
	return ledger.Run(ctx, f.Ledger, ledger.Step[findings.Encoded]{
		Work:  work(d.OfSegment, findings.Proxy),
		Alone: f.Alone,
		Make: func(ctx context.Context) (findings.Encoded, error) {
			return f.videos(ctx, d.OfSegment, nil, Order{Plain: true, PosterUS: -1})
		},
		Tail: func(ctx context.Context, _ findings.Encoded) error {
			next := d
			next.Segment++
			_, _, err := f.Ledger.Segment(ctx, d.Clip, d.Run, next.Segment)
			switch {
			case errors.Is(err, ledger.ErrNotExist):
				return f.Out.Emit(ctx, events.Proxied{OfRun: d.OfRun}.Encoded(name))
			case err != nil:
				return err
			}
			return f.Out.Emit(ctx, next.Event(name))
		},
		GivenUp: func(ctx context.Context, a ledger.Abandonment) error {
			return f.Out.Emit(ctx, events.Abandoned{OfSegment: d.OfSegment, Step: a.Step, Reason: a.Reason}.Event(name))
		},
	})
}
