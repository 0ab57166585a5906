package function

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// maxEventBody is more than an event of ours can be: a batch of S3 records, in structured mode.
const maxEventBody = 1 << 20

// arrival is what an event has to arrive in whole; it is one small message.
const arrival = 30 * time.Second

// routes is everything that the process answers.
func (rt *Runtime) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", rt.post)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", rt.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(rt.Metrics.registry, promhttp.HandlerOpts{}))
	return mux
}

func (rt *Runtime) readyz(w http.ResponseWriter, r *http.Request) {
	if err := rt.ready(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

func (rt *Runtime) post(w http.ResponseWriter, r *http.Request) {
	if claimsEvent(r.Header) {
		rt.event(w, r)
	} else {
		rt.call(w, r)
	}
}

// claimsEvent says whether a request means to be a CloudEvent, well-formed or not.
func claimsEvent(h http.Header) bool {
	return strings.HasPrefix(h.Get("Content-Type"), "application/cloudevents") ||
		h.Get("Ce-Specversion") != "" || h.Get("Ce-Id") != "" || h.Get("Ce-Type") != ""
}

// event answers one delivery of an event. The body is read first, all of it: only then does net/http notice a caller who
// hangs up.
func (rt *Runtime) event(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(began.Add(arrival)) // net/http's own connections all can
	e, err := readEvent(w, r)
	if err == nil { // all is read; from now on net/http reads only to notice that the caller hangs up
		_ = connection.SetReadDeadline(time.Time{})
	}
	ctx := continueTrace(r.Context(), r.Header, e)
	ctx, span := rt.tracer.Start(ctx, rt.Name, trace.WithSpanKind(trace.SpanKindConsumer))
	kind := "malformed"
	var about []any
	if err == nil {
		kind = e.Type()
		span.SetAttributes(spanAttributes(*e)...)
		about = append(about, "type", e.Type(), "id", e.ID())
		for _, name := range subject {
			if value := extension(*e, name); value != "" {
				about = append(about, name, value)
			}
		}
		if wait := began.Sub(e.Time()); !e.Time().IsZero() && wait >= 0 {
			rt.Metrics.delivery.WithLabelValues(kind).Observe(wait.Seconds())
		}
		err = rt.attempt(ctx, rt.Available, func(ctx context.Context) error { return rt.handler.Handle(ctx, *e) })
		rt.firstEvent.Do(func() { rt.Metrics.first.Set(processAge(rt.began).Seconds()) })
	}
	answer(w, err)
	endSpan(span, err)
	rt.note(ctx, kind, began, err, about)
}

// call answers a plain HTTP call.
func (rt *Runtime) call(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	ctx := continueTrace(r.Context(), r.Header, nil)
	ctx, span := rt.tracer.Start(ctx, rt.Name, trace.WithSpanKind(trace.SpanKindServer))
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	span.SetAttributes(attribute.String("http.request.header.content-type", media))
	kind := "unsupported"
	out := &once{ResponseWriter: w}
	// For a caller who stalls; later than the context, or net/http would take its own deadline for a caller who hung up.
	_ = http.NewResponseController(w).SetReadDeadline(began.Add(rt.config.Timeout + closing))
	var do PlainHandler
	err := rt.attempt(ctx, func(context.Context) error {
		pattern := ""
		if do, pattern = rt.plainFor(media); do == nil {
			return rt.unsupported(r.Header.Get("Content-Type"))
		}
		kind = pattern
		return nil
	}, func(ctx context.Context) error {
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, rt.config.MaxBody)
		return do(out, r)
	})
	switch {
	case err == nil && out.began: // the handler's own answer
	case out.began: // too late for a status: let the caller see that the answer is broken off
		defer panic(http.ErrAbortHandler)
	default:
		answer(out, err)
	}
	endSpan(span, err)
	rt.note(ctx, kind, began, err, nil)
}

// readEvent reads an event in binary or structured mode.
func readEvent(w http.ResponseWriter, r *http.Request) (*event.Event, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEventBody))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, refuse(http.StatusRequestEntityTooLarge,
			"the event is larger than %d bytes: put the data into the store and a reference into the event", tooLarge.Limit)
	}
	if err != nil {
		return nil, refuse(http.StatusRequestTimeout, "the event did not arrive in whole: %w", err) // the next delivery may
	}
	if _, nameless := r.Header["Ce-"]; nameless { // the SDK would panic
		return nil, refuse(http.StatusBadRequest, "not a CloudEvent: a header Ce- without a name")
	}
	message := cehttp.NewMessage(r.Header, io.NopCloser(strings.NewReader(string(body))))
	switch message.ReadEncoding() {
	case binding.EncodingBatch:
		return nil, refuse(http.StatusUnsupportedMediaType, "a batch of events: send them one by one, in binary or structured mode")
	case binding.EncodingUnknown:
		return nil, refuse(http.StatusBadRequest,
			"not a CloudEvent: the header Ce-Specversion must be 1.0 (binary mode), or "+
				"the Content-Type application/cloudevents+json (structured mode)")
	}
	e, err := binding.ToEvent(r.Context(), message)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "not a CloudEvent: %w", err)
	}
	if err := e.Validate(); err != nil {
		return nil, refuse(http.StatusBadRequest, "not a valid CloudEvent: %w", err)
	}
	return e, nil
}

// attempt runs the work of one request under the rules of the house: once the function is built, at its turn, within its
// time, and with its panics caught. It asks whether there is any point before the turn, so that events which hang on an
// absent store keep nobody waiting.
func (rt *Runtime) attempt(ctx context.Context, ask, do func(context.Context) error) (err error) {
	rt.Metrics.underway.Inc()
	defer rt.Metrics.underway.Dec()
	ctx, cancel := context.WithTimeoutCause(ctx, rt.config.Timeout, errTimeout)
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = &interruption{cause: context.Cause(ctx), err: err}
		}
	}()

	defer func() {
		if value := recover(); value != nil {
			err = &crash{value: value, stack: debug.Stack()}
		}
	}()

	select {
	case <-rt.built:
	case <-ctx.Done():
		return errors.New("waiting for the function to be built")
	}
	if err := ask(ctx); err != nil {
		return err
	}
	asked := time.Now()
	ctx, place, err := rt.gate.enter(ctx)
	rt.Metrics.turn.Observe(time.Since(asked).Seconds())
	if err != nil {
		return errors.New("waiting for its turn")
	}
	defer place.leave()
	return do(ctx)
}

// answer writes the answer to an error, or the empty one to success: Knative takes a 2xx with a body for a broken reply,
// and delivers again.
func answer(w http.ResponseWriter, err error) {
	if err == nil {
		w.WriteHeader(Status(nil))
		return
	}
	text := err.Error()
	if hint := HintOf(err); hint != "" {
		text += "\nhint: " + hint
	}
	http.Error(w, text, Status(err))
}

// note is the one place where what came of a request is counted and logged.
func (rt *Runtime) note(ctx context.Context, kind string, began time.Time, err error, about []any) {
	status, outcome := classify(err)
	took := time.Since(began).Seconds()
	rt.Metrics.requests.WithLabelValues(kind, outcome).Inc()
	rt.Metrics.handling.WithLabelValues(kind).Observe(took)

	level := slog.LevelInfo
	args := slices.Concat(about, []any{"status", status, "outcome", outcome, "seconds", took})
	if err != nil {
		args = append(args, "error", err)
		if hint := HintOf(err); hint != "" {
			args = append(args, "hint", hint)
		}
		if c, ok := errors.AsType[*crash](err); ok {
			args = append(args, "stack", string(c.stack))
		}
		switch outcome {
		case "failed", "permanent", "timeout":
			level = slog.LevelError
		case "busy": // as it should be
		default:
			level = slog.LevelWarn
		}
	}
	rt.Log.Log(ctx, level, "handled", args...)
}

// once knows whether the answer has begun.
type once struct {
	http.ResponseWriter
	began bool
}

func (w *once) WriteHeader(status int) {
	w.began = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *once) Write(b []byte) (int, error) {
	w.began = true
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *once) Unwrap() http.ResponseWriter { return w.ResponseWriter }
