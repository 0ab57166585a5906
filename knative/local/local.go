// Package local runs the topology of package knative on one machine.
//
// In come CloudEvents at the broker's address. They go to the functions whose Triggers want them, by Knative's own
// packages: its Trigger filters, its dispatcher (retries, back-off, replies, dead letters), its concurrency breaker. Each
// function is a program of its own that is started by the first event, limited by its Service's containerConcurrency and
// max-scale and by what the machine has, and stopped when it is idle. Out go the events that the functions send, back to
// the broker.
//
// What is guaranteed is what Knative guarantees with its in-memory channel: at least once while this process lives, in no
// order; an accepted event is forgotten when the process ends. The broker answers on acceptance, and 503 when too many
// events wait. When this process ends, however it ends, no function outlives it.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"knative.dev/pkg/system"

	"vedette.dev/events"
	"vedette.dev/knative"
)

// Config says what to run, and where. Every field but Topology and Program has a usable zero value.
type Config struct {
	Topology knative.Topology
	// Program is the path of a function's program.
	Program func(function string) string
	// Environment is what the functions inherit. It comes before what the Services' YAML says, so that a machine's owner
	// can set a variable for all.
	Environment []string
	// Secrets are the contents of the Secrets and ConfigMaps that Services refer to, by their names.
	Secrets map[string]map[string]string
	// Listener is where events come in; by default any free port of 127.0.0.1.
	Listener net.Listener
	// Idle is how long a function without work stays; by default 20 s.
	Idle time.Duration
	// Grace is how long a function that is stopped may take to end its work; by default 30 s.
	Grace time.Duration
	// Machine is what all functions together may use; by default what there is.
	Machine Machine
	// Output is where a function's standard output and standard error go; by default nowhere.
	Output func(function string) io.Writer
	// Log gets what goes wrong; by default nothing does.
	Log *slog.Logger
}

// Runtime is a running topology.
type Runtime struct {
	URL string // of everything here: see Handler's paths

	broker   *broker
	services map[string]*service
	feed     *feed
	starter  *starter
	server   *http.Server
	clocks   context.CancelFunc
	closing  sync.Once
}

// Start starts the broker and the clock. Functions start when there is something for them to do.
func Start(c Config) (*Runtime, error) {
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("start the local runtime: %w", err)
	}
	r := &Runtime{
		URL:      "http://" + reachable(c.Listener.Addr()),
		services: map[string]*service{},
		feed:     &feed{},
		starter:  newStarter(),
	}
	sink := r.URL + path.Join("/", c.Topology.Broker.Namespace, c.Topology.Broker.Name)
	room := &room{free: c.Machine.Memory}
	for _, s := range c.Topology.Services {
		service, err := newService(s, c, sink, room, r.starter, r.feed)
		if err != nil {
			r.starter.close()
			return nil, fmt.Errorf("start the local runtime: Service %s: %w", s.Name, err)
		}
		r.services[s.Name] = service
	}
	var err error
	if r.broker, err = newBroker(c, r.URL, sink, r.services, r.feed); err != nil {
		r.starter.close()
		return nil, fmt.Errorf("start the local runtime: %w", err)
	}

	// Only headers are limited in time, since a delivery waits for its function. Pages of other sites that a browser on
	// this machine shows have no business here.
	guarded := http.NewCrossOriginProtection().Handler(r.handler(c.Topology))
	r.server = &http.Server{Handler: guarded, ReadHeaderTimeout: 30 * time.Second}
	go func() {
		if err := r.server.Serve(c.Listener); !errors.Is(err, http.ErrServerClosed) {
			c.Log.Error("the broker ended", "error", err)
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	r.clocks = cancel
	for _, clock := range c.Topology.Clocks {
		go tick(ctx, clock, r.publishOrLog(c.Log))
	}
	r.publishOrLog(c.Log)(events.Restarted("/vedette/local", time.Now())) // what was unfinished when the last one ended
	return r, nil
}

// reachable is an address under which this machine reaches a listener, which may listen on all.
func reachable(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return a.String()
}

func (c *Config) complete() error {
	if c.Program == nil || c.Topology.Broker == nil {
		return errors.New("topology and programs are needed")
	}
	if c.Listener == nil {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		c.Listener = listener
	}
	if c.Idle == 0 {
		c.Idle = 20 * time.Second
	}
	if c.Grace == 0 {
		c.Grace = 30 * time.Second
	}
	if c.Machine == (Machine{}) {
		c.Machine = ThisMachine()
	}
	if c.Output == nil {
		c.Output = func(string) io.Writer { return io.Discard }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if os.Getenv(system.NamespaceEnvKey) == "" { // Knative's dispatcher panics without it
		return os.Setenv(system.NamespaceEnvKey, "knative-eventing")
	}
	return nil
}

// handler serves
//
//	POST /<namespace>/<broker>     events, as at the broker's ingress on a cluster
//	     /functions/<name>/...     plain HTTP calls to a function
//	GET  /events                   what happens, as server-sent events: [Notice]
//	POST /triggers/<name>          deliveries and
//	POST /deadletters/<name>       dead letters, by the dispatcher only
func (r *Runtime) handler(t knative.Topology) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(path.Join("/", t.Broker.Namespace, t.Broker.Name), http.HandlerFunc(r.broker.ingress))
	mux.Handle("POST /triggers/{name}", http.HandlerFunc(r.broker.deliver))
	mux.Handle("POST /deadletters/{name}", http.HandlerFunc(r.broker.deadLetter))
	mux.Handle("GET /events", r.feed)
	for name, s := range r.services {
		mux.Handle("/functions/"+name+"/", http.StripPrefix("/functions/"+name, http.HandlerFunc(s.call)))
	}
	return mux
}

// Publish gives an event to the broker.
func (r *Runtime) Publish(e event.Event) error { return r.broker.accept(e, nil) }

func (r *Runtime) publishOrLog(log *slog.Logger) func(event.Event) {
	return func(e event.Event) {
		if err := r.Publish(e); err != nil {
			log.Error("an event was not accepted", "type", e.Type(), "id", e.ID(), "error", err)
		}
	}
}

// Settle waits until every event that was accepted is done with, and so is what followed from it, or until ctx ends.
func (r *Runtime) Settle(ctx context.Context) {
	for r.broker.busy() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Close stops taking events, lets the functions end the work they are at, and stops them. When ctx ends they are killed.
func (r *Runtime) Close(ctx context.Context) { r.closing.Do(func() { r.close(ctx) }) }

func (r *Runtime) close(ctx context.Context) {
	r.clocks()
	r.broker.refuse()
	done := make(chan struct{})
	go func() {
		defer close(done)
		stopAll(r.services)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		r.starter.killAll()
		<-done
	}
	r.broker.close()
	_ = r.server.Close()
	r.starter.close()
}
