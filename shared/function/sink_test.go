package function

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// roundTrip is a sink that needs no network.
type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func respond(status int, text string) *http.Response {
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status, " ", http.StatusText(status)), Body: io.NopCloser(strings.NewReader(text))}
}

func newTestSink(f roundTrip) *sink {
	s := newSink("http://broker/default", sdktrace.NewTracerProvider().Tracer(scope), newMetrics("test"))
	s.client.Transport = f
	return s
}

func sampleEvent() event.Event {
	e := event.New()
	e.SetType("dev.vedette.segment.v1.decoded")
	e.SetSource("/vedette/decode")
	e.SetID("c/1/3")
	e.SetSubject("c")
	e.SetExtension("clip", "c")
	e.SetExtension("segment", 3)
	if err := e.SetData("application/json", map[string]int{"a": 1}); err != nil {
		panic(err)
	}
	return e
}

func TestEmit(t *testing.T) {
	var got http.Header
	var body string
	s := newTestSink(func(r *http.Request) (*http.Response, error) {
		b, _ := io.ReadAll(r.Body)
		got, body = r.Header, string(b)
		return respond(202, ""), nil
	})
	e := sampleEvent()
	if err := s.Emit(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Ce-Time", "Ce-Traceparent", "Traceparent"} {
		if got.Get(name) == "" {
			t.Errorf("no %s", name)
		}
		got.Del(name)
	}
	want := http.Header{
		"Content-Type": {"application/json"}, "Ce-Specversion": {"1.0"}, "Ce-Type": {"dev.vedette.segment.v1.decoded"},
		"Ce-Source": {"/vedette/decode"}, "Ce-Id": {"c/1/3"}, "Ce-Subject": {"c"}, "Ce-Clip": {"c"}, "Ce-Segment": {"3"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("header, -want +got:\n%s", diff)
	}
	if body != `{"a":1}` {
		t.Errorf("body %q", body)
	}
	if len(e.Extensions()) != 2 || !e.Time().IsZero() {
		t.Errorf("the caller's event was changed: %v", e)
	}
}

func TestEmitTries(t *testing.T) {
	refused := errors.New("connection refused")
	for name, test := range map[string]struct {
		answers []any // statuses and errors; the last stays
		tries   int
		took    time.Duration
		status  int    // of the resulting error
		text    string // in it
	}{
		"accepted":                {[]any{200}, 1, 0, 204, ""},
		"no connection, at first": {[]any{refused, 202}, 2, 200 * time.Millisecond, 204, ""},
		"full for a moment":       {[]any{429, 503, 202}, 3, time.Second, 204, ""},
		"no connection at all":    {[]any{refused}, 3, time.Second, 503, "connection refused"},
		"broken":                  {[]any{500}, 3, time.Second, 503, "500 Internal Server Error: because"},
		"not there":               {[]any{404}, 3, time.Second, 503, "404"},
		"not allowed":             {[]any{403}, 1, 0, 500, "403 Forbidden: because"},
		"elsewhere":               {[]any{302}, 1, 0, 500, "302"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tries int
				s := newTestSink(func(*http.Request) (*http.Response, error) {
					answer := test.answers[min(tries, len(test.answers)-1)]
					tries++
					if err, ok := answer.(error); ok {
						return nil, err
					}
					return respond(answer.(int), "because\nof reasons"), nil
				})
				began := time.Now()
				err := s.Emit(t.Context(), sampleEvent())
				if tries != test.tries || time.Since(began) != test.took {
					t.Errorf("%d tries in %v, want %d in %v", tries, time.Since(began), test.tries, test.took)
				}
				if Status(err) != test.status || err != nil && !strings.Contains(err.Error(), test.text) {
					t.Errorf("%v, of status %d; want %d with %q", err, Status(err), test.status, test.text)
				}
			})
		})
	}
}

func TestEmitHangingSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSink(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		if err := s.Emit(t.Context(), sampleEvent()); Status(err) != http.StatusServiceUnavailable {
			t.Errorf("%v, of status %d, want 503", err, Status(err))
		}
		began := time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errTimeout)
		defer cancel()
		if err := s.Emit(ctx, sampleEvent()); err == nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v, want an error after a second", err, time.Since(began))
		}
	})
}

func TestEmitWaitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSink(func(*http.Request) (*http.Response, error) { return respond(503, ""), nil })
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errStopping)
		defer cancel()
		if err := s.Emit(ctx, sampleEvent()); !errors.Is(err, errStopping) || !strings.Contains(err.Error(), "503") {
			t.Errorf("%v", err)
		}
	})
}

func TestEmitUnsendable(t *testing.T) {
	for name, change := range map[string]func(e *event.Event){
		"no id":               func(e *event.Event) { e.SetID("") },
		"too large":           func(e *event.Event) { _ = e.SetData("text/plain", strings.Repeat("x", maxEvent)) },
		"control character":   func(e *event.Event) { e.SetExtension("camera", "front\r\nCe-Type: x") },
		"newline in subject":  func(e *event.Event) { e.SetSubject("a\nb") },
		"extensions too long": func(e *event.Event) { e.SetExtension("camera", strings.Repeat("x", maxEvent)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestSink(func(*http.Request) (*http.Response, error) { t.Error("sent"); return respond(202, ""), nil })
			e := sampleEvent()
			change(&e)
			if err := s.Emit(t.Context(), e); Status(err) != http.StatusUnprocessableEntity {
				t.Errorf("%v, of status %d, want 422", err, Status(err))
			}
		})
	}
}

func TestEmitWithoutSink(t *testing.T) {
	s := newSink("", sdktrace.NewTracerProvider().Tracer(scope), newMetrics("test"))
	if err := s.Emit(t.Context(), sampleEvent()); Status(err) != http.StatusServiceUnavailable || HintOf(err) == "" {
		t.Errorf("%v, of status %d, want 503 with a hint", err, Status(err))
	}
}
