package function

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// journal collects log lines.
type journal struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.String()
}

// handled returns the lines about requests, without what differs from run to run.
func (j *journal) handled(t *testing.T) []map[string]any {
	t.Helper()
	var list []map[string]any
	for line := range strings.Lines(j.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("not a JSON line: %s", line)
		}
		if fields["msg"] != "handled" {
			continue
		}
		for _, name := range []string{"time", "seconds", "trace"} {
			if fields[name] == nil {
				t.Errorf("log line lacks %s: %s", name, line)
			}
			delete(fields, name)
		}
		list = append(list, fields)
	}
	return list
}

// house is a scaffold that serves, for a test.
type house struct {
	*Runtime
	url  string
	log  *journal
	stop func()        // tells it to stop, and waits until it has
	done chan struct{} // closed when it has stopped, for whatever reason
	err  error         // of serve, once done
}

// open starts a scaffold on the loopback interface. Zero values of config become usable.
func open(t *testing.T, name string, config Config, build Build) *house {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t, listener, name, config, build)
}

func openOn(t *testing.T, listener net.Listener, name string, config Config, build Build) *house {
	if config.Timeout == 0 {
		config.Timeout = time.Minute
	}
	if config.MaxBody == 0 {
		config.MaxBody = 1 << 20
	}
	if config.Drain == 0 {
		config.Drain = time.Minute
	}
	log := &journal{}
	provider := sdktrace.NewTracerProvider()
	h := &house{
		Runtime: newRuntime(name, config, newLog(log, "debug").With("function", name), provider.Tracer(scope), time.Now()),
		url:     "http://" + listener.Addr().String(),
		log:     log,
		done:    make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(h.done)
		h.err = h.serve(ctx, listener, build)
	}()
	h.stop = func() { cancel(); <-h.done }
	t.Cleanup(h.stop)
	return h
}

// handling builds a function of a handler.
func handling(handle HandlerFunc) Build {
	return func(context.Context, *Runtime) (Handler, error) { return handle, nil }
}

const someSink = "http://127.0.0.1:1/nobody-listens" // enough where nothing is emitted

const sample = `{"specversion":"1.0","type":"dev.vedette.segment.v1.cut","source":"/vedette/split","id":"c/1/3",
	"time":"2026-01-02T03:04:05Z","clip":"c","run":1,"segment":3,"active":"true","datacontenttype":"application/json","data":{"a":1}}`

var sampleHeader = http.Header{
	"Ce-Specversion": {"1.0"}, "Ce-Type": {"dev.vedette.segment.v1.cut"}, "Ce-Source": {"/vedette/split"}, "Ce-Id": {"c/1/3"},
	"Ce-Time": {"2026-01-02T03:04:05Z"}, "Ce-Clip": {"c"}, "Ce-Run": {"1"}, "Ce-Segment": {"3"}, "Ce-Active": {"true"}, "Content-Type": {"application/json"},
}

func post(t *testing.T, url string, header http.Header, body string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(request.Header, header)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

func get(t *testing.T, url string) (status int, text string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(b)
}

func TestEventEncodings(t *testing.T) {
	for name, test := range map[string]struct {
		header http.Header
		body   string
	}{
		"binary":     {sampleHeader, `{"a":1}`},
		"structured": {http.Header{"Content-Type": {"application/cloudevents+json; charset=utf-8"}}, sample},
	} {
		t.Run(name, func(t *testing.T) {
			var got event.Event
			h := open(t, "decode", Config{Sink: someSink}, handling(func(_ context.Context, e event.Event) error {
				got = e
				return nil
			}))
			if status, text := post(t, h.url, test.header, test.body); status != http.StatusNoContent || text != "" {
				t.Fatalf("%d %q, want an empty 204", status, text)
			}
			if got.Type() != "dev.vedette.segment.v1.cut" || got.Source() != "/vedette/split" || got.ID() != "c/1/3" || got.Time().Year() != 2026 ||
				extension(got, "clip") != "c" || extension(got, "segment") != "3" || extension(got, "active") != "true" {
				t.Errorf("attributes got lost: %v", got)
			}
			var data struct{ A int }
			if err := got.DataAs(&data); err != nil || data.A != 1 {
				t.Errorf("data %q: %v", got.Data(), err)
			}
			want := []map[string]any{{
				"level": "INFO", "msg": "handled", "function": "decode", "type": "dev.vedette.segment.v1.cut", "id": "c/1/3",
				"clip": "c", "run": "1", "segment": "3", "status": 204., "outcome": "done",
			}}
			if diff := cmp.Diff(want, h.log.handled(t)); diff != "" {
				t.Errorf("log, -want +got:\n%s", diff)
			}
		})
	}
}

func TestEventErrors(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		panics bool
		status int
		text   string
		level  string
	}{
		"any":         {err: errors.New("disk on fire"), status: 500, text: "disk on fire\n", level: "ERROR"},
		"permanent":   {err: Permanent(errors.New("no such step")), status: 422, text: "no such step\n", level: "ERROR"},
		"busy":        {err: Busy(errors.New("at work")), status: 409, text: "at work\n", level: "INFO"},
		"unavailable": {err: Hint(Unavailable(errors.New("no store")), "start it"), status: 503, text: "no store\nhint: start it\n", level: "WARN"},
		"panic":       {panics: true, status: 500, text: "panic: lost my head\n", level: "ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, "decode", Config{Sink: someSink}, handling(func(context.Context, event.Event) error {
				if test.panics {
					panic("lost my head")
				}
				return test.err
			}))
			status, text := post(t, h.url, sampleHeader, "{}")
			if status != test.status || text != test.text {
				t.Errorf("%d %q, want %d %q", status, text, test.status, test.text)
			}
			lines := h.log.handled(t)
			if len(lines) != 1 {
				t.Fatalf("%d log lines, want one: %v", len(lines), lines)
			}
			line := lines[0]
			if line["level"] != test.level || line["error"] == nil || line["clip"] != "c" {
				t.Errorf("logged %v, want level %s", line, test.level)
			}
			if stack, _ := line["stack"].(string); test.panics != strings.Contains(stack, "TestEventErrors") {
				t.Errorf("stack %q", stack)
			}
			if (line["hint"] != nil) != strings.Contains(test.text, "hint") {
				t.Errorf("hint %v", line["hint"])
			}
		})
	}
}

// What never reaches the function.
func TestRefused(t *testing.T) {
	h := open(t, "detect", Config{Sink: someSink, MaxBody: 10}, func(_ context.Context, rt *Runtime) (Handler, error) {
		rt.Plain("image/jpeg", func(_ http.ResponseWriter, r *http.Request) error {
			if _, err := io.ReadAll(r.Body); err != nil {
				return Permanent(err)
			}
			return nil
		})
		return HandlerFunc(func(context.Context, event.Event) error { t.Error("handled"); return nil }), nil
	})
	with := func(name string, value ...string) http.Header {
		header := sampleHeader.Clone()
		header[name] = value
		return header
	}
	structured := http.Header{"Content-Type": {"application/cloudevents+json"}}
	for name, test := range map[string]struct {
		header http.Header
		body   string
		status int
		text   string
	}{
		"event too large":        {sampleHeader, strings.Repeat(" ", maxEventBody+1), 413, "reference"},
		"structured too large":   {structured, strings.Repeat(" ", maxEventBody+1), 413, "reference"},
		"no specversion":         {with("Ce-Specversion"), "{}", 400, "Ce-Specversion must be 1.0"},
		"unknown specversion":    {with("Ce-Specversion", "7.0"), "{}", 400, "CloudEvent"},
		"no id":                  {with("Ce-Id"), "{}", 400, "id"},
		"no source":              {with("Ce-Source"), "{}", 400, "source"},
		"time that is none":      {with("Ce-Time", "noon"), "{}", 400, "time"},
		"structured, not JSON":   {structured, "{", 400, "CloudEvent"},
		"structured, empty":      {structured, "", 400, "CloudEvent"},
		"structured, no type":    {structured, `{"specversion":"1.0","id":"1","source":"s"}`, 400, "type"},
		"attribute without name": {with("Ce-", "x"), "{}", 400, "without a name"},
		"attribute of odd name":  {with("Ce-A-B", "x"), "{}", 400, "name"},
		"batch":                  {http.Header{"Content-Type": {"application/cloudevents-batch+json"}}, "[]", 415, "one by one"},
		"neither event nor ours": {http.Header{"Content-Type": {"text/html"}}, "<p>", 415, `detect does not take Content-Type "text/html"; it takes CloudEvents (binary or structured mode), image/jpeg`},
		"no content type":        {http.Header{"Content-Type": nil}, "?", 415, "image/jpeg"},
		"plain call too large":   {http.Header{"Content-Type": {"image/jpeg"}}, "12345678901", 413, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			status, text := post(t, h.url, test.header, test.body)
			if status != test.status || !strings.Contains(text, test.text) {
				t.Errorf("%d %q, want %d with %q", status, text, test.status, test.text)
			}
		})
	}
	if status, _ := get(t, h.url); status != http.StatusMethodNotAllowed {
		t.Errorf("GET /: %d, want 405", status)
	}
}

// Events need sink and store; plain calls and readiness do not, and do not wait for either.
func TestWithoutSinkOrStore(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", "application/json")
		_, err := io.Copy(w, r.Body)
		return err
	}
	store := errors.New("connection refused")
	var asked int
	build := func(_ context.Context, rt *Runtime) (Handler, error) {
		rt.Require("store", func(context.Context) error { asked++; return store })
		rt.Plain("image/*", echo)
		return HandlerFunc(func(context.Context, event.Event) error { return nil }), nil
	}
	expect := func(t *testing.T, h *house, wantStatus int, wantText string) {
		t.Helper()
		if status, text := post(t, h.url, sampleHeader, "{}"); status != wantStatus || !strings.Contains(text, wantText) {
			t.Errorf("event: %d %q, want %d %q", status, text, wantStatus, wantText)
		}
		if status, text := post(t, h.url, http.Header{"Content-Type": {"image/png; q=1"}}, "picture"); status != 200 || text != "picture" {
			t.Errorf("plain call: %d %q", status, text)
		}
		if status, text := get(t, h.url+"/readyz"); status != 200 {
			t.Errorf("readiness: %d %q", status, text)
		}
	}
	t.Run("no sink", func(t *testing.T) {
		expect(t, open(t, "detect", Config{}, build), 503, "K_SINK is not set\nhint: set K_SINK")
	})
	t.Run("no store, then a store", func(t *testing.T) {
		asked = 0
		h := open(t, "detect", Config{Sink: someSink}, build)
		expect(t, h, 503, "store: connection refused")
		store = nil
		expect(t, h, 204, "")
		store = errors.New("asked once too often")
		expect(t, h, 204, "") // that it was there once is enough: later failures are the handler's to report
		if asked != 2 {
			t.Errorf("store asked %d times, want 2", asked)
		}
	})
}

// Events that hang on the store do not keep a plain call from its turn, even where requests come one at a time.
func TestPlainCallDoesNotWaitForStore(t *testing.T) {
	hanging, asked := make(chan struct{}), make(chan struct{})
	h := open(t, "detect", Config{Sink: someSink, Concurrency: 1}, func(_ context.Context, rt *Runtime) (Handler, error) {
		rt.Require("store", func(context.Context) error { close(asked); <-hanging; return errors.New("gone") })
		rt.Plain("image/jpeg", func(http.ResponseWriter, *http.Request) error { return nil })
		return HandlerFunc(nil), nil
	})
	answered := make(chan int)
	go func() {
		status, _ := post(t, h.url, sampleHeader, "{}")
		answered <- status
	}()
	<-asked
	if status, text := post(t, h.url, http.Header{"Content-Type": {"image/jpeg"}}, ""); status != 204 {
		t.Errorf("plain call: %d %q", status, text)
	}
	close(hanging)
	if status := <-answered; status != 503 {
		t.Errorf("event: %d, want 503", status)
	}
}

// Two events that both want the process for themselves have it one after the other.
func TestAloneFromHandlers(t *testing.T) {
	var both sync.WaitGroup // so that both are inside before either asks to be alone
	both.Add(2)
	var inside atomic.Int32
	h := open(t, "decode", Config{Sink: someSink}, func(_ context.Context, rt *Runtime) (Handler, error) {
		return HandlerFunc(func(ctx context.Context, _ event.Event) error {
			both.Done()
			both.Wait()
			return rt.Alone(ctx, func() error {
				defer inside.Add(-1)
				if inside.Add(1) != 1 {
					return errors.New("not alone")
				}
				return nil
			})
		}), nil
	})
	answered := make(chan int)
	for range 2 {
		go func() {
			status, _ := post(t, h.url, sampleHeader, "{}")
			answered <- status
		}()
	}
	for range 2 {
		if status := <-answered; status != 204 {
			t.Errorf("%d, want 204", status)
		}
	}
}

// Whatever is posted is answered: with an event, or with a refusal.
func FuzzReadEvent(f *testing.F) {
	f.Add("application/json", "Ce-Clip", "c", "1.0", "{}")
	f.Add("application/cloudevents+json", "Ce-", "", "", sample)
	f.Add("application/cloudevents+json", "x", "", "0.3", `{"specversion":"0.3","id":"1","source":"s","type":"t","data_base64":"!"}`)
	f.Add("application/cloudevents-batch+json", "x", "", "", "[]")
	f.Fuzz(func(t *testing.T, media, name, value, version, body string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		r.Header = sampleHeader.Clone()
		r.Header.Set("Content-Type", media)
		r.Header.Set("Ce-Specversion", version)
		r.Header.Set(name, value)
		e, err := readEvent(httptest.NewRecorder(), r)
		if (e == nil) == (err == nil) {
			t.Fatalf("event %v, error %v", e, err)
		}
		if status := Status(err); err != nil && status != 400 && status != 413 && status != 415 {
			t.Errorf("%v has status %d", err, status)
		}
		if err == nil {
			spanAttributes(*e)
			continueTrace(t.Context(), r.Header, e)
		}
	})
}

// BenchmarkEvent is what the scaffold itself costs an event that is handled and sent on, two local connections included.
func BenchmarkEvent(b *testing.B) {
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer sink.Close()
	rt := newRuntime("decode", Config{Sink: sink.URL, Timeout: time.Minute}, newLog(io.Discard, "info"), sdktrace.NewTracerProvider().Tracer(scope), time.Now())
	rt.handler = HandlerFunc(func(ctx context.Context, _ event.Event) error { return rt.Sink.Emit(ctx, sampleEvent()) })
	close(rt.built)
	server := httptest.NewServer(rt.routes())
	defer server.Close()
	for b.Loop() {
		r, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, server.URL, strings.NewReader("{}"))
		maps.Copy(r.Header, sampleHeader)
		response, err := http.DefaultClient.Do(r)
		if err != nil || response.StatusCode != 204 {
			b.Fatal(response, err)
		}
		response.Body.Close()
	}
}

func TestPlainHandlerErrors(t *testing.T) {
	var fail func(w http.ResponseWriter) error
	h := open(t, "detect", Config{}, func(_ context.Context, rt *Runtime) (Handler, error) {
		rt.Plain("image/jpeg", func(w http.ResponseWriter, _ *http.Request) error { return fail(w) })
		return HandlerFunc(nil), nil
	})
	jpeg := http.Header{"Content-Type": {"image/jpeg"}}

	fail = func(http.ResponseWriter) error { return Permanent(errors.New("not a picture")) }
	if status, text := post(t, h.url, jpeg, ""); status != 422 || text != "not a picture\n" {
		t.Errorf("%d %q", status, text)
	}
	fail = func(http.ResponseWriter) error { panic("boom") }
	if status, _ := post(t, h.url, jpeg, ""); status != 500 {
		t.Errorf("panic: %d", status)
	}
	fail = func(http.ResponseWriter) error { return nil }
	if status, text := post(t, h.url, jpeg, ""); status != 204 || text != "" {
		t.Errorf("nothing to say: %d %q", status, text)
	}
	fail = func(w http.ResponseWriter) error {
		_, _ = io.WriteString(w, "[1, 2")
		_ = http.NewResponseController(w).Flush()
		return errors.New("lost in the middle")
	}
	response, err := http.Post(h.url, "image/jpeg", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("an answer that broke off looks whole: %q", text)
	}
	h.stop()
	var outcomes []any
	for _, line := range h.log.handled(t) {
		outcomes = append(outcomes, line["outcome"])
	}
	if diff := cmp.Diff([]any{"permanent", "failed", "done", "failed"}, outcomes); diff != "" {
		t.Errorf("log, -want +got:\n%s", diff)
	}
}

func TestCallerHangsUp(t *testing.T) {
	began := make(chan struct{})
	h := open(t, "decode", Config{Sink: someSink}, handling(func(ctx context.Context, _ event.Event) error {
		close(began)
		<-ctx.Done()
		return ctx.Err()
	}))
	ctx, hangUp := context.WithCancel(t.Context())
	request, _ := http.NewRequestWithContext(ctx, http.MethodPost, h.url, strings.NewReader("{}"))
	request.Header = sampleHeader.Clone()
	go func() { <-began; hangUp() }()
	if response, err := http.DefaultClient.Do(request); err == nil {
		response.Body.Close()
		t.Fatal("answered")
	}
	h.stop()
	lines := h.log.handled(t)
	if len(lines) != 1 || lines[0]["outcome"] != "cancelled" || lines[0]["status"] != 499. {
		t.Errorf("logged %v", lines)
	}
}

func TestReadiness(t *testing.T) {
	models := make(chan struct{})
	var warm = errors.New("warming up")
	h := open(t, "detect", Config{Sink: someSink}, func(_ context.Context, rt *Runtime) (Handler, error) {
		<-models
		rt.Ready("model", func(context.Context) error { return warm })
		return HandlerFunc(func(context.Context, event.Event) error { return nil }), nil
	})
	if status, text := get(t, h.url+"/healthz"); status != 200 {
		t.Errorf("alive: %d %q", status, text)
	}
	if status, text := get(t, h.url+"/readyz"); status != 503 || text != "starting\n" {
		t.Errorf("while built: %d %q", status, text)
	}
	// An event that comes too early waits; that is cheaper than a delivery once more.
	early := make(chan int)
	go func() {
		status, _ := post(t, h.url, sampleHeader, "{}")
		early <- status
	}()
	close(models)
	if status := <-early; status != 204 {
		t.Errorf("early event: %d", status)
	}
	if status, text := get(t, h.url+"/readyz"); status != 503 || text != "model: warming up\n" {
		t.Errorf("check fails: %d %q", status, text)
	}
	warm = nil
	if status, text := get(t, h.url+"/readyz"); status != 200 || text != "ready\n" {
		t.Errorf("ready: %d %q", status, text)
	}
}

func TestBuildFails(t *testing.T) {
	h := open(t, "detect", Config{}, func(context.Context, *Runtime) (Handler, error) { return nil, errors.New("model digest is wrong") })
	<-h.done
	if h.err == nil || !strings.Contains(h.err.Error(), "build detect: model digest is wrong") {
		t.Errorf("%v", h.err)
	}
}

func TestMetrics(t *testing.T) {
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	defer sink.Close()
	h := open(t, "detect", Config{Sink: sink.URL}, func(_ context.Context, rt *Runtime) (Handler, error) {
		persons := rt.Metrics.Counter("persons_total", "Persons found.", "certainty")
		batch := rt.Metrics.Gauge("batch", "Pictures in a batch.")
		read := rt.Metrics.Seconds("read_seconds", "Reading a segment.")
		rt.Metrics.ModelLoaded("yunet", 2*time.Second)
		return HandlerFunc(func(ctx context.Context, e event.Event) error {
			persons(2, "high")
			batch(8)
			read(time.Millisecond)
			rt.Metrics.Inferred("yunet", 8, time.Second)
			return rt.Sink.Emit(ctx, e)
		}), nil
	})
	post(t, h.url, sampleHeader, "{}")
	post(t, h.url, http.Header{"Ce-Type": {"x"}}, "{}")
	_, text := get(t, h.url+"/metrics")
	for _, want := range []string{
		`vedette_requests_total{function="detect",outcome="done",type="dev.vedette.segment.v1.cut"} 1`,
		`vedette_requests_total{function="detect",outcome="refused",type="malformed"} 1`,
		`vedette_handling_seconds_count{function="detect",type="dev.vedette.segment.v1.cut"} 1`,
		`vedette_delivery_seconds_count{function="detect",type="dev.vedette.segment.v1.cut"} 1`,
		`vedette_turn_wait_seconds_count{function="detect"} 1`,
		`vedette_requests_in_flight{function="detect"} 0`,
		`vedette_emitted_total{function="detect",outcome="done",type="dev.vedette.segment.v1.cut"} 1`,
		`vedette_model_load_seconds{function="detect",model="yunet"} 2`,
		`vedette_inference_seconds_sum{function="detect",model="yunet"} 1`,
		`vedette_inference_pictures_total{function="detect",model="yunet"} 8`,
		`vedette_persons_total{certainty="high",function="detect"} 2`,
		`vedette_batch{function="detect"} 8`,
		`vedette_read_seconds_count{function="detect"} 1`,
		`vedette_cold_start_seconds{function="detect"} `,
		`vedette_first_event_seconds{function="detect"} `,
		`process_resident_memory_bytes `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestProcessAge(t *testing.T) {
	const fields = " S 1 1 1 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 "
	for name, test := range map[string]struct {
		stat, uptime string
		want         time.Duration
		ok           bool
	}{
		"ordinary":           {"7 (detect)" + fields + "1250 9 9", "15.25 3.0", 2750 * time.Millisecond, true},
		"name with brackets": {"7 (a) b (c)" + fields + "100 9 9", "1.5 0", 500 * time.Millisecond, true},
		"nothing":            {"", "", 0, false},
		"cut short":          {"7 (detect) S 1", "15.25 3.0", 0, false},
		"no start":           {"7 (detect)" + fields + "0 9 9", "15.25 3.0", 0, false},
		"from the future":    {"7 (detect)" + fields + "1600 9 9", "15.25 3.0", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := parseAge(test.stat, test.uptime)
			if ok != test.ok || !cmp.Equal(got, test.want, cmpopts.EquateApprox(0, float64(time.Millisecond))) {
				t.Errorf("%v %v, want %v %v", got, ok, test.want, test.ok)
			}
		})
	}
}

func TestStopwatch(t *testing.T) {
	watch := Start()
	for began := CPU(); CPU() == began; { // until the kernel counts some more
	}
	first := watch.Cost()
	if first.CPUSeconds <= 0 || first.WallSeconds <= 0 {
		t.Errorf("spent %+v", first)
	}
	if second := watch.Cost(); second.CPUSeconds < first.CPUSeconds || second.WallSeconds < first.WallSeconds {
		t.Errorf("%+v after %+v", second, first)
	}
	text, err := json.Marshal(Cost{CPUSeconds: 1.5, WallSeconds: 2})
	if err != nil || string(text) != `{"cpu_seconds":1.5,"wall_seconds":2}` {
		t.Errorf("%s %v", text, err)
	}
}
