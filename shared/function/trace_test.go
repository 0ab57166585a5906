package function

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

const (
	cameTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	cameSpan  = "00f067aa0ba902b7"
)

// An event goes through two functions with a broker between them that, like Knative's, passes on no headers but ce-*. All
// that both do is in the trace the first event brought, though nobody collects spans.
func TestTraceThroughTwoFunctions(t *testing.T) {
	var here string
	done := make(chan event.Event, 1)
	second := open(t, "detect", Config{Sink: someSink}, handling(func(ctx context.Context, e event.Event) error {
		here = TraceID(ctx)
		done <- e
		return nil
	}))
	broker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := http.Header{"Content-Type": r.Header["Content-Type"]}
		for name, value := range r.Header {
			if strings.HasPrefix(name, "Ce-") {
				header[name] = value
			}
		}
		body, _ := io.ReadAll(r.Body)
		status, _ := post(t, second.url, header, string(body))
		w.WriteHeader(status)
	}))
	defer broker.Close()
	first := open(t, "decode", Config{Sink: broker.URL}, func(_ context.Context, rt *Runtime) (Handler, error) {
		return HandlerFunc(func(ctx context.Context, _ event.Event) error {
			ctx, end := Span(ctx, "stage")
			defer end()
			return rt.Sink.Emit(ctx, sampleEvent())
		}), nil
	})

	header := sampleHeader.Clone()
	header.Set("Ce-Traceparent", "00-"+cameTrace+"-"+cameSpan+"-01")
	header.Set("Ce-Tracestate", "vendor=1")
	header.Set("Traceparent", "00-11111111111111111111111111111111-2222222222222222-01") // some proxy's: the event's own counts
	if status, text := post(t, first.url, header, "{}"); status != 204 {
		t.Fatalf("%d %q", status, text)
	}
	e := <-done
	parent := extension(e, "traceparent")
	if !strings.HasPrefix(parent, "00-"+cameTrace+"-") || strings.Contains(parent, cameSpan) || extension(e, "tracestate") != "vendor=1" {
		t.Errorf("traceparent %q, tracestate %q: want trace %s, and a span of its own", parent, extension(e, "tracestate"), cameTrace)
	}
	if here != cameTrace {
		t.Errorf("the second function is in trace %q, want %s", here, cameTrace)
	}
	first.stop()
	second.stop()
	for _, h := range []*house{first, second} {
		if !strings.Contains(h.log.String(), `"trace":"`+cameTrace+`"`) {
			t.Errorf("%s does not log the trace:\n%s", h.Name, h.log)
		}
	}
}

func TestContinueTrace(t *testing.T) {
	header := http.Header{"Traceparent": {"00-11111111111111111111111111111111-2222222222222222-01"}}
	for name, test := range map[string]struct {
		extension string
		header    http.Header
		want      string
	}{
		"event's":          {"00-" + cameTrace + "-" + cameSpan + "-01", header, cameTrace},
		"header's":         {"", header, "11111111111111111111111111111111"},
		"event's is wrong": {"00-xyz", header, "11111111111111111111111111111111"},
		"none":             {"", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := sampleEvent()
			if test.extension != "" {
				e.SetExtension("traceparent", test.extension)
			}
			if got := TraceID(continueTrace(t.Context(), test.header, &e)); got != test.want {
				t.Errorf("trace %q, want %q", got, test.want)
			}
		})
	}
	if got := TraceID(continueTrace(t.Context(), header, nil)); got != "11111111111111111111111111111111" {
		t.Errorf("without an event: trace %q, want the header's", got)
	}
}

// The spans themselves: one per event, named like the function, and below it one for what it sends.
func TestSpans(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer(scope)
	h := open(t, "decode", Config{}, handling(nil))
	h.stop()
	h.tracer = tracer
	rt := h.Runtime
	sink := newTestSink(func(*http.Request) (*http.Response, error) { return respond(403, "no"), nil })
	sink.tracer = tracer
	rt.Sink = sink
	rt.handler = HandlerFunc(func(ctx context.Context, _ event.Event) error { return sink.Emit(ctx, sampleEvent()) })
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("{}"))
	request.Header = sampleHeader.Clone()
	sink.url = someSink
	rt.routes().ServeHTTP(httptest.NewRecorder(), request)

	ended := spans.Ended()
	if len(ended) != 2 {
		t.Fatalf("%d spans, want 2", len(ended))
	}
	emit, handle := ended[0], ended[1]
	if handle.Name() != "decode" || handle.SpanKind() != trace.SpanKindConsumer ||
		emit.Name() != "dev.vedette.segment.v1.decoded" || emit.SpanKind() != trace.SpanKindProducer ||
		emit.Parent().SpanID() != handle.SpanContext().SpanID() {
		t.Errorf("spans %s %v, %s %v", handle.Name(), handle.SpanKind(), emit.Name(), emit.SpanKind())
	}
	got := map[string]string{}
	for _, a := range handle.Attributes() {
		got[string(a.Key)] = a.Value.String()
	}
	for name, want := range map[string]string{"vedette.clip": "c", "vedette.segment": "3", "vedette.outcome": "failed", "cloudevents.event_id": "c/1/3"} {
		if got[name] != want {
			t.Errorf("attribute %s is %q, want %q", name, got[name], want)
		}
	}
	if !strings.Contains(handle.Status().Description, "403") {
		t.Errorf("status %v", handle.Status())
	}
}

// With a collector configured, spans reach it, at the latest when the process stops.
func TestSpansReachCollector(t *testing.T) {
	var mu sync.Mutex
	var got string
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got += r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL) // the exporter reads it by itself
	env := environment{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "PORT": "0", "VEDETTE_LISTEN": "127.0.0.1", "K_SINK": someSink}

	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, "decode", nil, env.lookup, write, handling(func(context.Context, event.Event) error { return nil }))
		write.Close()
	}()
	var line struct{ Address string }
	if err := json.NewDecoder(read).Decode(&line); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, read) }()
	if status, text := post(t, "http://"+line.Address, sampleHeader, "{}"); status != 204 {
		t.Errorf("%d %q", status, text)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"/v1/traces", "decode", "vedette.clip", "service.namespace"} {
		if !strings.Contains(got, want) {
			t.Errorf("the collector was not told %q", want)
		}
	}
}
