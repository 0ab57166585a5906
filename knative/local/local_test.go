package local

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	sources "knative.dev/eventing/pkg/apis/sources/v1"

	"vedette.dev/knative"
)

// The topology under test: first takes events of type test.first, second those of test.second; last takes dead letters.
const brokerYAML = `
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default, namespace: test, annotations: {eventing.knative.dev/broker.class: MTChannelBasedBroker}}
`

func serviceYAML(name string, concurrency int) string {
	return fmt.Sprintf(`---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: %s, namespace: test}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/initial-scale: "0", autoscaling.knative.dev/max-scale: "3"}}
    spec:
      containerConcurrency: %d
      containers:
        - image: dev.local/test
          env: [{name: GREETING, value: hello}, {name: K_SINK, value: http://on.a.cluster}]
          envFrom: [{secretRef: {name: keys}}]
          resources: {requests: {memory: 1Gi}}
`, name, concurrency)
}

func triggerYAML(name, filters, deadLetter string) string {
	if deadLetter != "" {
		deadLetter = fmt.Sprintf(", deadLetterSink: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: %s, namespace: test}}", deadLetter)
	}
	subscriber := name
	if name == "many" || name == "broken" {
		subscriber = "second"
	}
	return fmt.Sprintf(`---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: %[1]s, namespace: test}
spec:
  broker: default
  filters: [%[2]s]
  subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: %[4]s, namespace: test}}
  delivery: {retry: 3, backoffPolicy: linear, backoffDelay: PT0.01S%[3]s}
`, name, filters, deadLetter, subscriber)
}

// place is a runtime under test.
type place struct {
	*Runtime
	t       *testing.T
	folder  string
	notices <-chan Notice
}

// start starts a runtime, watches it, and stops it at the end of the test.
func start(t *testing.T, change func(*Config)) *place {
	t.Helper()
	topology, err := knative.Load(fstest.MapFS{
		"kustomization.yaml": {Data: []byte("resources: [all.yaml]")},
		"all.yaml": {Data: []byte(brokerYAML + serviceYAML("first", 1) + serviceYAML("second", 10) + serviceYAML("last", 10) +
			triggerYAML("first", "{exact: {type: test.first}}", "last") +
			triggerYAML("second", "{prefix: {type: test.sec}}", "") +
			triggerYAML("many", `{cesql: "EXISTS forsecond AND forsecond > 3"}`, "") +
			triggerYAML("broken", `{cesql: "1 + 1"}`, ""))},
	})
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	c := Config{
		Topology:    topology,
		Program:     func(string) string { return program },
		Environment: append(os.Environ(), "FAKE_FOLDER="+folder),
		Secrets:     map[string]map[string]string{"keys": {"SECRET": "s3"}},
		Machine:     Machine{Cores: 2, Memory: 3 << 30},
		Idle:        time.Hour,
		Output:      func(string) io.Writer { return t.Output() },
	}
	if change != nil {
		change(&c)
	}
	r, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	notices, leave := r.feed.watch()
	t.Cleanup(leave)
	p := &place{Runtime: r, t: t, folder: folder, notices: notices}
	t.Cleanup(func() {
		p.release()
		r.Close(t.Context())
	})
	return p
}

func (p *place) publish(id, typ, do string) {
	p.t.Helper()
	e := event.New()
	e.SetID(id)
	e.SetType(typ)
	e.SetSource("/test")
	if do != "" {
		e.SetExtension("do", do)
	}
	if err := p.Publish(e); err != nil {
		p.t.Fatal(err)
	}
}

// await waits for a notice of a kind about an event or a function, and fails at once if the test cannot go on.
func (p *place) await(kind, what string) Notice {
	p.t.Helper()
	for {
		select {
		case n := <-p.notices:
			if n.Kind == kind && (n.Function == what || n.Event != nil && n.Event.ID == what) {
				return n
			}
		case <-time.After(20 * time.Second): // only a broken test waits so long
			p.t.Fatalf("no notice %q about %s; first: %q, second: %q, last: %q", kind, what, p.notes("first"), p.notes("second"), p.notes("last"))
		}
	}
}

func (p *place) notes(function string) string { return fake{function, p.folder}.notes() }

// release lets the functions go on that wait.
func (p *place) release() {
	if err := os.WriteFile(filepath.Join(p.folder, "go"), nil, 0o600); err != nil {
		p.t.Error(err)
	}
}

func TestEventsReachTheirFunctions(t *testing.T) {
	p := start(t, nil)
	p.publish("1", "test.first", "emit") // and first emits 1-emitted
	p.await(Delivered, "1-emitted")
	p.publish("2", "test.first", "reply")
	p.await(Delivered, "2-reply")
	p.publish("3", "test.third", "")
	if got, want := p.notes("first"), "started hello\nasked 1\nasked 2\n"; got != want {
		t.Errorf("first was asked %q, want %q", got, want)
	}
	if got, want := p.notes("second"), "started hello\nasked 1-emitted\nasked 2-reply\n"; got != want {
		t.Errorf("second was asked %q, want %q", got, want)
	}
	if p.notes("last") != "" {
		t.Error("last was started without need")
	}
}

func TestSettle(t *testing.T) {
	p := start(t, nil)
	p.publish("1", "test.first", "emit")
	p.Settle(t.Context())
	if got := p.notes("second"); !strings.Contains(got, "asked 1-emitted\n") {
		t.Errorf("settled before all was done; second: %q", got)
	}
	p.publish("2", "test.first", "wait")
	now, cancel := context.WithCancel(t.Context())
	cancel()
	p.Settle(now) // returns
}

func TestFiltersCompareNumbers(t *testing.T) {
	p := start(t, nil)
	for id, value := range map[string]int{"few": 3, "many": 4} {
		e := event.New()
		e.SetID(id)
		e.SetType("test.other")
		e.SetSource("/test")
		e.SetExtension("forsecond", value)
		if err := p.Publish(e); err != nil {
			t.Fatal(err)
		}
	}
	p.await(Delivered, "many")
	if strings.Contains(p.notes("second"), "few") {
		t.Error("second was asked what its Trigger does not want")
	}
}

func TestRetries(t *testing.T) {
	p := start(t, nil)
	p.publish("later", "test.first", "fail-twice")
	if n := p.await(Failed, "later"); n.Status != 503 || n.Text != "not yet" {
		t.Errorf("the failure is told as %d %q", n.Status, n.Text)
	}
	p.await(Delivered, "later")

	p.publish("crash", "test.first", "die-once")
	if n := p.await(Failed, "crash"); n.Status != 502 {
		t.Errorf("a crash is told as %d %q", n.Status, n.Text)
	}
	p.await(Delivered, "crash")
	if got := p.notes("first"); strings.Count(got, "started") != 2 {
		t.Errorf("after a crash: %q", got)
	}
}

func TestDeadLetters(t *testing.T) {
	p := start(t, nil)
	for id, c := range map[string]struct {
		attempts int
		code     string
	}{
		"refuse": {1, "422"}, // no retry helps
		"chat":   {4, "502"}, // an answer that is no event: 1 and 3 retries
	} {
		p.publish(id, "test.first", id)
		p.await(Dead, id)
		if n := strings.Count(p.notes("first"), "asked "+id+"\n"); n != c.attempts {
			t.Errorf("%s: %d attempts, want %d", id, n, c.attempts)
		}
		if want := "dead " + id + " from http://first.test.svc.cluster.local code " + c.code; !strings.Contains(p.notes("last"), want) {
			t.Errorf("last was asked %q, want %q", p.notes("last"), want)
		}
	}
	p.publish("nowhere", "test.second", "refuse")
	p.await(Lost, "nowhere")
}

// A program that cannot start fails its events, with what it said.
func TestProgramThatDoesNotStart(t *testing.T) {
	p := start(t, nil)
	if err := os.WriteFile(filepath.Join(p.folder, "broken"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.publish("1", "test.second", "")
	if n := p.await(Failed, "1"); n.Status != 502 || !strings.Contains(n.Text, "libavcodec.so.61: cannot open") {
		t.Errorf("told as %d %q", n.Status, n.Text)
	}
	if err := os.Remove(filepath.Join(p.folder, "broken")); err != nil {
		t.Fatal(err)
	}
	p.await(Delivered, "1")
}

// With containerConcurrency 1 and two cores, two requests run in two processes and the third waits.
func TestConcurrency(t *testing.T) {
	p := start(t, nil)
	for i := range 3 {
		p.publish(fmt.Sprint(i), "test.first", "wait")
	}
	p.eventually(func() bool { return strings.Count(p.notes("first"), "asked") == 2 })
	if n := strings.Count(p.notes("first"), "started"); n != 2 {
		t.Errorf("%d processes", n)
	}
	// second takes 10 at a time in its one process.
	for i := range 5 {
		p.publish(fmt.Sprint("s", i), "test.second", "wait")
	}
	p.eventually(func() bool { return strings.Count(p.notes("second"), "asked") == 5 })
	if n := strings.Count(p.notes("second"), "started"); n != 1 {
		t.Errorf("%d processes of second", n)
	}
	p.release()
	p.eventually(func() bool { return strings.Count(p.notes("first"), "done") == 3 })
	if n := strings.Count(p.notes("first"), "started"); n != 2 {
		t.Errorf("%d processes in the end", n)
	}
}

// Without memory for more, every function still has one process.
func TestMemoryLimitsProcesses(t *testing.T) {
	p := start(t, func(c *Config) { c.Machine.Memory = 0 })
	for i := range 2 {
		p.publish(fmt.Sprint(i), "test.first", "wait")
	}
	p.release()
	p.eventually(func() bool { return strings.Count(p.notes("first"), "done") == 2 })
	if n := strings.Count(p.notes("first"), "started"); n != 1 {
		t.Errorf("%d processes", n)
	}
}

func TestIdleProcessesGo(t *testing.T) {
	p := start(t, func(c *Config) { c.Idle = time.Millisecond })
	p.publish("1", "test.first", "")
	p.await(Stopped, "first")
	if got, want := p.notes("first"), "started hello\nasked 1\ndrained\n"; got != want {
		t.Errorf("first: %q, want %q", got, want)
	}
	p.publish("2", "test.first", "")
	p.await(Delivered, "2")
}

// Closing lets work under way end, takes no more, and leaves no process.
func TestClose(t *testing.T) {
	p := start(t, nil)
	p.publish("1", "test.first", "wait")
	p.eventually(func() bool { return strings.Contains(p.notes("first"), "asked 1") })
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		p.Close(t.Context())
	}()
	p.eventually(func() bool { return p.Publish(tick1()) != nil })
	p.release()
	<-closed
	if got := p.notes("first"); !strings.HasSuffix(got, "done 1\ndrained\n") {
		t.Errorf("first: %q", got)
	}
	if len(p.starter.running) != 0 {
		t.Error("a process is left")
	}
}

// Who does not end when asked is killed.
func TestCloseKills(t *testing.T) {
	p := start(t, nil)
	p.publish("1", "test.first", "wait")
	p.eventually(func() bool { return strings.Contains(p.notes("first"), "asked 1") })
	now, cancel := context.WithCancel(t.Context())
	cancel()
	p.Close(now)
	if strings.Contains(p.notes("first"), "done 1") || len(p.starter.running) != 0 {
		t.Errorf("first: %q", p.notes("first"))
	}
}

func TestIngress(t *testing.T) {
	p := start(t, nil)
	sink := p.URL + "/test/default"
	post := func(body, mediaType string) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sink, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", mediaType)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	structured := `{"specversion":"1.0","id":"s","source":"/test","type":"test.first","data":{"a":1}}`
	if status := post(structured, "application/cloudevents+json"); status != http.StatusAccepted {
		t.Errorf("a structured event: %d", status)
	}
	p.await(Delivered, "s")
	if status := post(`{"Records":[]}`, "application/json"); status != http.StatusBadRequest {
		t.Errorf("no event: %d", status)
	}
	if status := post(`{"specversion":"1.0","id":"","source":"/test","type":"test.first"}`, "application/cloudevents+json"); status != http.StatusBadRequest {
		t.Errorf("an event without id: %d", status)
	}
	big := `{"specversion":"1.0","id":"b","source":"/test","type":"test.first","data":"` + strings.Repeat("x", largestEvent) + `"}`
	if status := post(big, "application/cloudevents+json"); status != http.StatusBadRequest {
		t.Errorf("an event beyond all bounds: %d", status)
	}
	p.fill(mostWaiting)
	if status := post(structured, "application/cloudevents+json"); status != http.StatusServiceUnavailable {
		t.Errorf("one event too many: %d", status)
	}
	p.fill(-mostWaiting)
}

// A page of another site cannot make a browser on this machine send events.
func TestOtherSitesAreRefused(t *testing.T) {
	p := start(t, nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/test/default", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("status %d", answer.StatusCode)
	}
}

// A function that answers too late is as good as one that fails.
func TestTimeout(t *testing.T) {
	p := start(t, nil)
	p.services["first"].timeout = 20 * time.Millisecond
	p.publish("late", "test.first", "wait")
	if n := p.await(Failed, "late"); n.Status != http.StatusGatewayTimeout {
		t.Errorf("told as %d %q", n.Status, n.Text)
	}
}

func TestListensOnAll(t *testing.T) {
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, func(c *Config) { c.Listener = listener })
	if !strings.HasPrefix(p.URL, "http://127.0.0.1:") {
		t.Errorf("URL %s", p.URL)
	}
	p.publish("1", "test.first", "emit")
	p.await(Delivered, "1-emitted")
}

// The clock does what a PingSource does: here every other minute, in the time of the test's own.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &sources.PingSource{}
		clock.Namespace, clock.Name = "vedette", "clock"
		clock.Spec.Schedule, clock.Spec.Timezone = "*/2 * * * *", "Europe/Berlin"
		ctx, cancel := context.WithCancel(t.Context())
		var times []time.Time
		began := time.Now()
		go tick(ctx, clock, func(e event.Event) {
			if err := e.Validate(); err != nil || e.Type() != "dev.knative.sources.ping" || e.Source() != "/apis/v1/namespaces/vedette/pingsources/clock" {
				t.Errorf("%v: %v", e, err)
			}
			times = append(times, e.Time())
		})
		time.Sleep(7 * time.Minute)
		cancel()
		synctest.Wait()
		if len(times) != 3 || times[0].Sub(began) != 2*time.Minute || times[2].Sub(times[0]) != 4*time.Minute {
			t.Errorf("ticks at %v, begun at %v", times, began)
		}
	})
}

func TestPlainCall(t *testing.T) {
	p := start(t, nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/functions/second/upper", strings.NewReader("picture"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "PICTURE" {
		t.Errorf("got %d %q, %v", answer.StatusCode, body, err)
	}
}

// Whoever watches sees an event's way, and a trace follows it.
func TestFeed(t *testing.T) {
	p := start(t, nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	p.publish("1", "test.second", "nothing to do")
	var kinds []string
	for lines := bufio.NewScanner(answer.Body); lines.Scan() && len(kinds) < 3; {
		text, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		var n Notice
		if err := json.Unmarshal(text, &n); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, n.Kind)
		if n.Kind != Started && (n.Event.ID != "1" || n.Event.Extensions["do"] != "nothing to do") {
			t.Errorf("%s tells of %+v", n.Kind, n.Event)
		}
	}
	if got := fmt.Sprint(kinds); got != "[published started delivered]" {
		t.Error(got)
	}
}

func TestStartRefusesUnknownSecret(t *testing.T) {
	topology, err := knative.Load(knative.Files)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(Config{Topology: topology, Program: func(string) string { return "" }})
	if err == nil || !strings.Contains(err.Error(), "vedette-store") {
		t.Errorf("got %v", err)
	}
}

func TestNiceness(t *testing.T) {
	for milli, want := range map[int64]int{0: 0, 2000: 0, 1000: 0, 500: 3, 250: 6, 100: 10, 1: 19} {
		if got := niceness(milli); got != want {
			t.Errorf("%dm: %d, want %d", milli, got, want)
		}
	}
}

func tick1() event.Event {
	e := event.New()
	e.SetID("tick")
	e.SetType("test.nothing")
	e.SetSource("/test")
	return e
}

func (p *place) eventually(is func() bool) {
	p.t.Helper()
	for began := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 20*time.Second { // only a broken test waits so long
			p.t.Fatalf("never came true; first: %q, second: %q, last: %q", p.notes("first"), p.notes("second"), p.notes("last"))
		}
	}
}

// fill makes the broker believe that so many more events wait.
func (p *place) fill(events int) {
	p.broker.mu.Lock()
	defer p.broker.mu.Unlock()
	p.broker.waiting += events
}
