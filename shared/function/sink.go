package function

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Emitter sends an event on. When Emit returns nil the sink has taken the event. Otherwise it may have or not: the same
// event, with the same id, is to be sent again, which is what the delivery of the event in hand once more does.
type Emitter interface {
	Emit(ctx context.Context, e event.Event) error
}

const (
	// maxEvent is what every broker carries.
	maxEvent = 64 << 10
	// One emission is up to three posts. The work that led to it may have cost minutes, so a broker that restarts or is
	// full for a moment should not throw it away; for more than a moment there is the delivery of the event in hand.
	emitTries = 3
	emitWait  = 200 * time.Millisecond // before the second; four times that before the third
	// A broker answers on acceptance, so one that takes longer is hanging.
	emitTimeout = 15 * time.Second
)

// sink posts events to K_SINK in binary mode.
type sink struct {
	url     string
	client  *http.Client
	tracer  trace.Tracer
	metrics *Metrics
}

func newSink(url string, tracer trace.Tracer, metrics *Metrics) *sink {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16 // it is one host that a function talks to
	return &sink{
		url: url,
		client: &http.Client{
			Transport:     transport,
			Timeout:       emitTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // would turn POST into GET
		},
		tracer:  tracer,
		metrics: metrics,
	}
}

func (s *sink) Emit(ctx context.Context, e event.Event) (err error) {
	ctx, span := s.tracer.Start(ctx, e.Type(), trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(spanAttributes(e)...))
	defer func() {
		_, outcome := classify(err)
		s.metrics.emitted.WithLabelValues(e.Type(), outcome).Inc()
		endSpan(span, err)
	}()

	e = e.Clone()
	if e.Time().IsZero() {
		e.SetTime(time.Now())
	}
	passTrace(ctx, &e)
	if err := sendable(e); err != nil {
		return Permanent(fmt.Errorf("event %s %s: %w", e.Type(), e.ID(), err))
	}
	if err := s.ready(); err != nil {
		return err
	}
	wait := emitWait
	for try := 1; ; try++ {
		again, err := s.post(ctx, e)
		switch {
		case err == nil:
			return nil
		case !again:
			return fmt.Errorf("emit %s %s: %w", e.Type(), e.ID(), err)
		case try == emitTries:
			return Unavailable(fmt.Errorf("emit %s %s, %d tries: %w", e.Type(), e.ID(), try, err))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("emit %s %s: %w, after %w", e.Type(), e.ID(), context.Cause(ctx), err)
		case <-time.After(wait):
			wait *= 4
		}
	}
}

// ready says whether there is a sink at all.
func (s *sink) ready() error {
	if s.url == "" {
		return Hint(Unavailable(errors.New("no sink: K_SINK is not set")), "set K_SINK to the URL of the broker")
	}
	return nil
}

// post sends the event once, and says whether a failure may pass by itself.
func (s *sink) post(ctx context.Context, e event.Event) (again bool, err error) {
	request, err := cehttp.NewHTTPRequestFromEvent(ctx, s.url, e)
	if err != nil {
		return false, err
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(request.Header))
	response, err := s.client.Do(request)
	if err != nil {
		return ctx.Err() == nil, err
	}
	defer response.Body.Close()
	// Read to the end, so that the connection is used again.
	said, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if response.StatusCode/100 == 2 {
		return false, nil
	}
	err = fmt.Errorf("the sink %s answered %s: %s", s.url, response.Status, firstLine(said))
	switch response.StatusCode {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true, err
	}
	return response.StatusCode >= 500, err
}

// sendable says why an event cannot travel, before a broker says it less clearly.
func sendable(e event.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	size := len(e.Data())
	texts := map[string]string{"id": e.ID(), "source": e.Source(), "type": e.Type(), "subject": e.Subject()}
	for name := range e.Extensions() {
		texts[name] = extension(e, name)
	}
	for name, text := range texts {
		size += len(name) + len(text)
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("attribute %s holds a control character, which no HTTP header carries: %q", name, text)
		}
	}
	if size > maxEvent {
		return fmt.Errorf("%d bytes; an event has at most %d: put the data into the store and a reference into the event", size, maxEvent)
	}
	return nil
}

func firstLine(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return line
}
