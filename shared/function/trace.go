package function

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const scope = "vedette.dev/shared/function"

// newTracing makes the provider of this process's spans. Spans have real ids even where nobody collects them: they are
// what joins the log lines and events of a clip.
func newTracing(ctx context.Context, name string, collector string, log *slog.Logger) (*sdktrace.TracerProvider, error) {
	own, err := resource.Merge(resource.Default(), resource.NewSchemaless(
		attribute.String("service.name", name),
		attribute.String("service.namespace", "vedette"),
	))
	if err != nil {
		return nil, err
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(own)}
	if collector != "" {
		exporter, err := otlptracehttp.New(ctx) // reads OTEL_EXPORTER_OTLP_* by itself
		if err != nil {
			return nil, err
		}
		options = append(options, sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(time.Second)))
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { // process-wide: OpenTelemetry offers nothing else
			log.Warn("traces could not be exported", "error", err, "collector", collector)
		}))
	}
	return sdktrace.NewTracerProvider(options...), nil
}

// Span starts a span below the one in ctx, for a part of the work that is worth seeing by itself. The returned function ends it.
//
//	ctx, end := function.Span(ctx, "infer")
//	defer end()
func Span(ctx context.Context, name string) (context.Context, func()) {
	ctx, span := trace.SpanFromContext(ctx).TracerProvider().Tracer(scope).Start(ctx, name)
	return ctx, func() { span.End() }
}

// TraceID is the id of the trace that ctx belongs to, or "".
func TraceID(ctx context.Context) string {
	if id := trace.SpanContextFromContext(ctx).TraceID(); id.IsValid() {
		return id.String()
	}
	return ""
}

// continueTrace returns ctx inside the trace of what arrived: the event's, as CloudEvents' distributed tracing extension
// has it, because brokers drop the header; else the header's.
func continueTrace(ctx context.Context, header http.Header, e *event.Event) context.Context {
	var w3c propagation.TraceContext
	if e != nil {
		inside := w3c.Extract(ctx, extensions{e})
		if trace.SpanContextFromContext(inside).IsValid() {
			return inside
		}
	}
	return w3c.Extract(ctx, propagation.HeaderCarrier(header))
}

// passTrace writes the trace of ctx into an event's extensions.
func passTrace(ctx context.Context, e *event.Event) {
	propagation.TraceContext{}.Inject(ctx, extensions{e})
}

func endSpan(span trace.Span, err error) {
	if err != nil {
		_, outcome := classify(err)
		span.SetAttributes(attribute.String("vedette.outcome", outcome))
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

func spanAttributes(e event.Event) []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String("cloudevents.event_type", e.Type()),
		attribute.String("cloudevents.event_id", e.ID()),
		attribute.String("cloudevents.event_source", e.Source()),
	}
	for _, name := range subject {
		if value := extension(e, name); value != "" {
			list = append(list, attribute.String("vedette."+name, value))
		}
	}
	return list
}

// subject are the extensions that say what an event is about.
var subject = [...]string{"clip", "run", "segment"}

// extension is an extension as text, as it stands in a header; "" if the event has none.
func extension(e event.Event, name string) string {
	value, ok := e.Extensions()[name]
	if !ok {
		return ""
	}
	text, err := types.Format(value)
	if err != nil {
		return ""
	}
	return text
}

// extensions lets OpenTelemetry read and write traceparent and tracestate as CloudEvents extensions.
type extensions struct{ *event.Event }

func (c extensions) Get(key string) string { return extension(*c.Event, key) }
func (c extensions) Set(key, value string) { c.SetExtension(key, value) }
func (c extensions) Keys() []string {
	var keys []string
	for key := range c.Extensions() {
		keys = append(keys, key)
	}
	return keys
}

// traced adds to every log line the trace that its context belongs to.
type traced struct{ slog.Handler }

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if id := TraceID(ctx); id != "" {
		r.AddAttrs(slog.String("trace", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }
func (h traced) WithGroup(name string) slog.Handler       { return traced{h.Handler.WithGroup(name)} }
