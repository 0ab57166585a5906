package local

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/robfig/cron/v3"
	sources "knative.dev/eventing/pkg/apis/sources/v1"
)

// tick does what a PingSource does on a cluster, until ctx ends.
func tick(ctx context.Context, clock *sources.PingSource, publish func(event.Event)) {
	spec := clock.Spec.Schedule
	if zone := clock.Spec.Timezone; zone != "" {
		spec = "CRON_TZ=" + zone + " " + spec
	}
	schedule, err := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse(spec)
	if err != nil {
		return // cannot be: Knative's validation parsed it the same way
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(schedule.Next(time.Now()))):
			publish(ping(clock, time.Now()))
		}
	}
}

func ping(clock *sources.PingSource, at time.Time) event.Event {
	e := event.New()
	e.SetType(sources.PingSourceEventType)
	e.SetSource(sources.PingSourceSource(clock.Namespace, clock.Name))
	e.SetID(rand.Text())
	e.SetTime(at)
	return e
}
