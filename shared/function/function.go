// Package function is the scaffold on which every function stands: it turns CloudEvents over HTTP into calls of one Go
// method, and what that returns into an HTTP status.
//
// A function is a program of its own. Its main is wiring:
//
//	func main() {
//		var cfg detect.Config
//		function.Main("detect", &cfg, func(ctx context.Context, rt *function.Runtime) (function.Handler, error) {
//			st := store.New(cfg.Store)
//			rt.Require("store", st.Check)
//			d, err := detect.New(cfg, ledger.New(st), rt.Sink)
//			if err != nil {
//				return nil, err
//			}
//			rt.Plain("image/jpeg", d.ServePicture)
//			return d, nil
//		})
//	}
//
// # What enters
//
// POST / takes a CloudEvent in binary or structured mode, and, where the function asked for the media type with
// [Runtime.Plain], a plain HTTP call. GET /healthz says that the process lives, /readyz that the function is built
// (models loaded) and its checks pass, /metrics is for Prometheus. The port is open before the function is built: what
// comes meanwhile waits.
//
// All configuration is in the environment ([Parse]), read and checked before anything listens; all that is wrong is
// said at once. The program started with any argument, such as --help, prints its variables.
//
// # What leaves
//
// Events, by [Runtime.Sink], to K_SINK. The answer to an event is a status alone: 204 when it is handled. An error becomes a
// status in one place, [Status], which follows Knative's table of what is delivered again:
//
//	422  Permanent: makes no sense, whoever tries               not delivered again (dead-letter sink)
//	400, 413, 415  no CloudEvent, too large, not for us         not delivered again
//	408  the event did not arrive in whole                      delivered again
//	409  Busy: somebody else is at it                           delivered again
//	503  Unavailable: store or sink away; or stopping           delivered again
//	504  not finished in time                                   delivered again
//	500  any other error, and every panic                       delivered again
//
// Where the store ([Runtime.Require]) or the sink is away, an event is answered 503 before it is handled. Plain calls and
// readiness depend on neither. Knative passes the text of an error on to the dead-letter sink.
//
// # What is guaranteed
//
// The handler's context ends when the caller hangs up, when VEDETTE_TIMEOUT is over, and when the process must stop;
// once it has ended no error counts as permanent. After SIGTERM nothing new is taken; requests under way have
// VEDETTE_DRAIN to finish, then their contexts end and they have a moment more to close what they opened (with
// [context.WithoutCancel]); then the process exits with 0. A panic takes down its request only. A native crash takes down
// the process: the event is delivered again, and [Runtime.Alone] keeps an event that is suspected of it away from others.
//
// Every event is a span named like the function, in the trace that the event brought in its traceparent extension (or
// header), and every event that is emitted carries that on: one clip, one trace. Every request is one log line, with the
// trace's id.
package function

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/trace"
)

// Handler does a function's work.
type Handler interface {
	// Handle handles one event. It may be called for several events at a time, and for one event several times.
	Handle(ctx context.Context, e event.Event) error
}

// HandlerFunc is a Handler that is a function.
type HandlerFunc func(ctx context.Context, e event.Event) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, e event.Event) error { return f(ctx, e) }

// Data reads what an event says. One that does not say it makes no sense, however often it comes: the error is permanent.
func Data[T any](e event.Event) (T, error) {
	var d T
	if err := e.DataAs(&d); err != nil {
		return d, Permanent(fmt.Errorf("data of %s: %w", e.Type(), err))
	}
	return d, nil
}

// PlainHandler answers a plain HTTP call: it writes the whole answer, or returns an error before it has written any.
type PlainHandler func(w http.ResponseWriter, r *http.Request) error

// Build makes the function: it loads models, opens what is needed, and says with rt what else is served or required.
// It must not wait for store or sink.
type Build func(ctx context.Context, rt *Runtime) (Handler, error)

// Runtime is what the scaffold offers to a function.
type Runtime struct {
	Name    string
	Log     *slog.Logger // JSON lines; adds the trace's id where it is given a context
	Sink    Emitter
	Metrics *Metrics

	config Config
	tracer trace.Tracer
	gate   *gate
	began  time.Time

	// Written while the function is built, read once built is closed.
	built    chan struct{}
	handler  Handler
	plain    map[string]PlainHandler
	required []*requirement
	checks   []check

	stopping   atomic.Bool
	firstEvent sync.Once
}

const (
	// requireTimeout bounds a requirement's check: a store that hangs is as good as none.
	requireTimeout = 10 * time.Second
	// closing is what requests have after they were cancelled.
	closing = 5 * time.Second
	// flushing is what the last spans have to reach their collector.
	flushing = 3 * time.Second
)

// Main is the main function of a function: it returns when the process may exit, or ends it with 1.
func Main(name string, config any, build Build) {
	if len(os.Args) > 1 {
		describe(os.Stdout, name, config)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop) // a second signal kills
	if err := Run(ctx, name, config, os.LookupEnv, os.Stderr, build); err != nil {
		os.Exit(1)
	}
}

// Run is Main with everything given: it serves until ctx ends and requests are drained. The error that it returns it has
// logged to out.
func Run(ctx context.Context, name string, config any, lookup func(string) (string, bool), out io.Writer, build Build) (err error) {
	began := time.Now()
	var own Config
	err = Parse(&own, lookup)
	if config != nil {
		err = errors.Join(err, Parse(config, lookup))
	}
	log := newLog(out, own.LogLevel).With("function", name)
	if err != nil {
		log.Error("the configuration is wrong", "error", err)
		return err
	}
	provider, err := newTracing(ctx, name, own.Traces, log)
	if err != nil {
		log.Error("tracing could not be set up", "error", err)
		return err
	}
	defer func() {
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushing)
		defer cancel()
		if err := provider.Shutdown(flush); err != nil {
			log.Warn("the last traces are lost", "error", err)
		}
	}()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(own.Listen, strconv.Itoa(own.Port)))
	if err != nil {
		log.Error("cannot listen", "error", err, "hint", "PORT and VEDETTE_LISTEN say where; is it taken?")
		return err
	}
	rt := newRuntime(name, own, log, provider.Tracer(scope), began)
	if err := rt.serve(ctx, listener, build); err != nil {
		log.Error("stopped", "error", err, "hint", HintOf(err))
		return err
	}
	return nil
}

func newLog(out io.Writer, level string) *slog.Logger {
	var least slog.Level
	_ = least.UnmarshalText([]byte(level)) // info, where the level itself is what is wrong
	return slog.New(traced{slog.NewJSONHandler(out, &slog.HandlerOptions{Level: least})})
}

func newRuntime(name string, config Config, log *slog.Logger, tracer trace.Tracer, began time.Time) *Runtime {
	metrics := newMetrics(name)
	return &Runtime{
		Name:    name,
		Log:     log,
		Sink:    newSink(config.Sink, tracer, metrics),
		Metrics: metrics,
		config:  config,
		tracer:  tracer,
		gate:    newGate(config.Concurrency),
		began:   began,
		built:   make(chan struct{}),
		plain:   map[string]PlainHandler{},
	}
}

// Plain has plain HTTP calls of a media type ("image/jpeg", or "image/*") handled. Errors become statuses as with events.
// Such a call has neither store nor sink behind it unless the handler asks for them with Available.
func (rt *Runtime) Plain(media string, do PlainHandler) {
	rt.plain[media] = do
}

// Ready adds a check to readiness. Nothing that only events need belongs here.
func (rt *Runtime) Ready(name string, do func(ctx context.Context) error) {
	rt.checks = append(rt.checks, check{name, do})
}

// Require names something that events need: the store. It is checked when the first event comes, and again with each
// event until it has passed once; until then events are answered 503.
func (rt *Runtime) Require(name string, do func(ctx context.Context) error) {
	rt.required = append(rt.required, &requirement{check: check{name, do}, turn: make(chan struct{}, 1)})
}

// Available says whether what events need is there. The scaffold asks before it hands over an event.
func (rt *Runtime) Available(ctx context.Context) error {
	if s, ok := rt.Sink.(*sink); ok {
		if err := s.ready(); err != nil {
			return err
		}
	}
	for _, r := range rt.required {
		if err := r.pass(ctx); err != nil {
			return Unavailable(fmt.Errorf("%s: %w", r.name, err))
		}
	}
	return nil
}

// Alone runs do while no other request is handled in this process, and lets none in until it has returned: for work that
// is suspected of killing the process, so that it does not take innocent neighbours along. It is called from within a
// handler, with the handler's context, and fails if that ends before the others have.
func (rt *Runtime) Alone(ctx context.Context, do func() error) error {
	return rt.gate.only(ctx, do)
}

type check struct {
	name string
	do   func(ctx context.Context) error
}

// requirement is a check that needs to pass once.
type requirement struct {
	check
	turn   chan struct{} // held by who checks; guards passed
	passed bool
}

func (r *requirement) pass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requireTimeout)
	defer cancel()
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.passed {
		return nil
	}
	err := r.do(ctx)
	r.passed = err == nil
	return err
}

// ready says why the process is not ready, or nil.
func (rt *Runtime) ready(ctx context.Context) error {
	select {
	case <-rt.built:
	default:
		return errors.New("starting")
	}
	if rt.stopping.Load() {
		return errStopping
	}
	for _, c := range rt.checks {
		if err := c.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func (rt *Runtime) plainFor(media string) (do PlainHandler, pattern string) {
	family, _, _ := strings.Cut(media, "/")
	for _, pattern := range []string{media, family + "/*"} {
		if do, ok := rt.plain[pattern]; ok {
			return do, pattern
		}
	}
	return nil, ""
}

func (rt *Runtime) unsupported(media string) error {
	takes := "CloudEvents (binary or structured mode)"
	for _, pattern := range slices.Sorted(maps.Keys(rt.plain)) {
		takes += ", " + pattern
	}
	return refuse(http.StatusUnsupportedMediaType, "%s does not take Content-Type %q; it takes %s", rt.Name, media, takes)
}

// serve opens the door, builds the function, and serves until ctx ends.
func (rt *Runtime) serve(ctx context.Context, listener net.Listener, build Build) error {
	life, end := context.WithCancelCause(context.WithoutCancel(ctx)) // of requests: longer than ctx by the drain
	defer end(errStopping)
	server := &http.Server{
		Handler:           rt.routes(),
		BaseContext:       func(net.Listener) context.Context { return life },
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(rt.Log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	rt.Log.Info("listening", "address", listener.Addr().String())

	var err error
	if rt.handler, err = build(ctx, rt); err != nil {
		_ = server.Close() // who waits is delivered again
		<-served
		if ctx.Err() != nil {
			return nil // told to stop before it was built
		}
		return fmt.Errorf("build %s: %w", rt.Name, err)
	}
	close(rt.built)
	age := processAge(rt.began).Seconds()
	rt.Metrics.coldStart.Set(age)
	rt.Log.Info("ready", "seconds", age)

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	rt.drain(server, func() { end(errStopping) })
	<-served
	return nil
}

// drain lets requests under way finish, cancels those that take too long, and leaves behind those that do not care.
func (rt *Runtime) drain(server *http.Server, cancelRequests func()) {
	began := time.Now()
	rt.stopping.Store(true)
	patience, cancel := context.WithTimeout(context.Background(), rt.config.Drain)
	defer cancel()
	if server.Shutdown(patience) == nil {
		rt.Log.Info("stopped", "seconds", time.Since(began).Seconds())
		return
	}
	cancelRequests()
	grace, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		rt.Log.Error("stopped over requests that did not end when they were cancelled", "seconds", time.Since(began).Seconds())
		_ = server.Close()
		return
	}
	rt.Log.Warn("stopped after requests were cancelled", "seconds", time.Since(began).Seconds())
}

// describe prints the variables that a function reads.
func describe(out io.Writer, name string, config any) {
	fmt.Fprintf(out, "%s is a function of Vedette: it serves CloudEvents over HTTP.\nIt is configured by its environment alone:\n\n", name)
	var list []Variable
	if config != nil {
		list = Variables(config)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, v := range append(list, Variables(&Config{})...) {
		value := v.Default
		if v.Required {
			value = "(required)"
		}
		fmt.Fprintf(table, "%s\t%s\t%s: %s\n", v.Name, value, v.Allowed, v.Doc)
	}
	_ = table.Flush()
}
