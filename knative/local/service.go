package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httputil"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	"knative.dev/serving/pkg/apis/autoscaling"
	serving "knative.dev/serving/pkg/apis/serving/v1"
	"knative.dev/serving/pkg/queue"
)

// How many requests may wait for a function, as in Knative's activator.
const queueDepth = 10_000

// What a Service without containerConcurrency takes at a time per process.
const unlimited = 1000

// service is one function: its processes, and the requests that wait for them.
type service struct {
	name        string
	program     program
	concurrency int
	most        int   // processes
	memory      int64 // of a process, bytes
	timeout     time.Duration
	idle, grace time.Duration

	breaker   *queue.Breaker
	transport *http.Transport
	room      *room
	starter   *starter
	feed      *feed

	mu        sync.Mutex
	allowed   int // processes that the breaker lets requests through for; at least one
	instances []*instance
	stopping  bool
	stops     sync.WaitGroup
}

// instance is a process, once it is ready, and what it is doing.
type instance struct {
	ready chan struct{} // closed when the process is ready, or will never be: then err says why
	err   error
	proxy *httputil.ReverseProxy

	// Under service.mu:
	process *process    // nil until it is started
	busy    int         // requests
	timer   *time.Timer // by which it is retired
}

var (
	errStopping = errors.New("the local runtime is stopping")
	errNoEvent  = errors.New("the function answered with something that is no CloudEvent: an answer must be empty or an event")
)

func newService(s *serving.Service, c Config, sink string, room *room, starter *starter, feed *feed) (*service, error) {
	pod := s.Spec.Template.Spec
	container := pod.Containers[0]
	environment, err := environment(container, c)
	if err != nil {
		return nil, err
	}
	// What the place decides comes last, so that it wins.
	environment = append(environment, "K_SINK="+sink, "K_SERVICE="+s.Name, "VEDETTE_LISTEN=127.0.0.1")
	requests := container.Resources.Requests
	n := &service{
		name: s.Name,
		program: program{
			path:        c.Program(s.Name),
			environment: environment,
			probe:       "/readyz",
			output:      c.Output(s.Name),
			nice:        niceness(requests.Cpu().MilliValue()),
		},
		concurrency: unlimited,
		most:        c.Machine.Cores,
		memory:      requests.Memory().Value(),
		timeout:     time.Duration(*pod.TimeoutSeconds) * time.Second,
		idle:        c.Idle,
		grace:       c.Grace,
		transport:   &http.Transport{MaxIdleConnsPerHost: mostAtOnce, IdleConnTimeout: c.Idle},
		room:        room,
		starter:     starter,
		feed:        feed,
		allowed:     1,
	}
	if limit := pod.ContainerConcurrency; limit != nil && *limit > 0 {
		n.concurrency = int(*limit)
	}
	if text, ok := s.Spec.Template.Annotations[autoscaling.MaxScaleAnnotationKey]; ok {
		if scale, err := strconv.Atoi(text); err == nil && scale > 0 {
			n.most = min(n.most, scale)
		}
	}
	if probe := container.ReadinessProbe; probe != nil && probe.HTTPGet != nil && probe.HTTPGet.Path != "" {
		n.program.probe = probe.HTTPGet.Path
	}
	n.breaker = queue.NewBreaker(queue.BreakerParams{
		QueueDepth:      queueDepth,
		MaxConcurrency:  n.concurrency * n.most,
		InitialCapacity: n.concurrency,
	})
	return n, nil
}

// environment is what a container finds in its environment here: what the machine's owner set comes before the YAML, and
// the Secrets of this place come before both.
func environment(container core.Container, c Config) ([]string, error) {
	own := map[string]string{}
	for _, e := range c.Environment {
		name, value, _ := strings.Cut(e, "=")
		own[name] = value
	}
	described := map[string]string{}
	for _, e := range container.Env {
		if e.ValueFrom != nil {
			return nil, fmt.Errorf("variable %s: the local runtime knows plain values and envFrom only", e.Name)
		}
		described[e.Name] = e.Value
	}
	given := map[string]string{}
	for _, from := range container.EnvFrom {
		var name string
		switch {
		case from.SecretRef != nil:
			name = from.SecretRef.Name
		case from.ConfigMapRef != nil:
			name = from.ConfigMapRef.Name
		}
		secret, ok := c.Secrets[name]
		if !ok {
			return nil, fmt.Errorf("there is no Secret or ConfigMap %q here", name)
		}
		for variable, value := range secret {
			given[from.Prefix+variable] = value
		}
	}
	all := map[string]string{}
	for _, layer := range []map[string]string{described, own, given} {
		maps.Copy(all, layer)
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list, nil
}

// call answers a plain HTTP call.
func (s *service) call(w http.ResponseWriter, r *http.Request) { s.serve(w, r, nil) }

type checkKey struct{}

// serve lets the request wait for its turn and hands it to a process. An answer that check refuses becomes a 502.
func (s *service) serve(w http.ResponseWriter, r *http.Request, check func(*http.Response) error) {
	s.grow()
	ctx := context.WithValue(r.Context(), checkKey{}, check)
	err := s.breaker.Maybe(ctx, func() {
		i, err := s.acquire(ctx)
		if err != nil {
			s.refuse(w, err)
			return
		}
		defer s.release(i)
		ctx, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		i.proxy.ServeHTTP(w, r.WithContext(ctx))
	})
	if err != nil {
		s.refuse(w, err)
	}
}

// refuse answers for a function that cannot: what it answers is tried again by the dispatcher.
func (s *service) refuse(w http.ResponseWriter, err error) {
	status := http.StatusBadGateway
	switch {
	case errors.Is(err, queue.ErrRequestQueueFull), errors.Is(err, errStopping):
		status = http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		status = http.StatusGatewayTimeout
	}
	http.Error(w, fmt.Sprintf("%s: %v", s.name, err), status)
}

// grow allows one more process if every one is busy and the machine has room.
func (s *service) grow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.breaker.InFlight() < s.breaker.Capacity() || s.allowed >= s.most || !s.room.further(s.memory) {
		return
	}
	s.allowed++
	s.breaker.UpdateConcurrency(s.allowed * s.concurrency)
}

// acquire takes a place in a process that is ready, or starts one.
func (s *service) acquire(ctx context.Context) (*instance, error) {
	i, err := s.pick()
	if err != nil {
		return nil, err
	}
	select {
	case <-i.ready:
	case <-ctx.Done():
		s.release(i)
		return nil, ctx.Err()
	}
	if i.err != nil {
		s.release(i)
		return nil, i.err
	}
	return i, nil
}

// pick chooses the first process that has a place left, so that the later ones become idle first.
func (s *service) pick() (*instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, errStopping
	}
	for _, i := range s.instances {
		if i.busy < s.concurrency {
			i.busy++
			if i.timer != nil {
				i.timer.Stop()
			}
			return i, nil
		}
	}
	i := &instance{ready: make(chan struct{}), busy: 1}
	if len(s.instances) == 0 {
		s.room.first(s.memory)
	}
	s.instances = append(s.instances, i)
	s.stops.Go(func() { s.run(i) })
	return i, nil
}

// run starts the process of an instance and stays with it until it has ended.
func (s *service) run(i *instance) {
	began := time.Now()
	if err := s.start(i); err != nil {
		i.err = fmt.Errorf("%s did not start: %w", s.program.path, err)
		s.remove(i)
		close(i.ready)
		s.feed.tell(Notice{Kind: Died, Function: s.name, Text: i.err.Error()})
		return
	}
	i.proxy = s.proxy(i)
	close(i.ready)
	s.feed.tell(Notice{Kind: Started, Function: s.name, Seconds: time.Since(began).Seconds()})
	<-i.process.done
	s.bury(i)
}

// bury forgets an instance that has ended without being asked to.
func (s *service) bury(i *instance) {
	if s.remove(i) {
		s.feed.tell(Notice{Kind: Died, Function: s.name, Text: i.process.death().Error()})
	}
}

// start starts the process of an instance and waits until it is ready. That is no single request's business: others wait
// for it as well.
func (s *service) start(i *instance) error {
	p, err := s.starter.launch(s.program)
	if err != nil {
		return err
	}
	s.mu.Lock()
	i.process = p
	stopping := s.stopping
	s.mu.Unlock()
	if stopping { // before the process was known
		p.signal(syscall.SIGTERM)
	}
	return p.awaitReady(s.program.probe)
}

// release gives the place back; a process without work is stopped after a while.
func (s *service) release(i *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i.busy--
	if i.busy > 0 || !slices.Contains(s.instances, i) {
		return
	}
	i.timer = time.AfterFunc(s.idle, func() { s.retire(i) })
}

// retire stops a process that is idle.
func (s *service) retire(i *instance) {
	s.mu.Lock()
	idle := i.busy == 0 && !s.stopping && s.drop(i)
	if idle {
		s.stops.Add(1)
	}
	s.mu.Unlock()
	if !idle {
		return
	}
	defer s.stops.Done()
	i.process.stop(s.grace)
	s.feed.tell(Notice{Kind: Stopped, Function: s.name})
}

// remove forgets an instance that has ended, and says whether it was still among them.
func (s *service) remove(i *instance) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drop(i)
}

// drop takes an instance out, and gives back the room that is not needed any more; under mu.
func (s *service) drop(i *instance) bool {
	at := slices.Index(s.instances, i)
	if at < 0 {
		return false
	}
	s.instances = slices.Delete(s.instances, at, at+1)
	if len(s.instances) == 0 {
		s.room.leave(s.memory)
	}
	for s.allowed > max(1, len(s.instances)) {
		s.allowed--
		s.room.leave(s.memory)
	}
	s.breaker.UpdateConcurrency(s.allowed * s.concurrency)
	return true
}

// stop stops every process after its work, and takes no more.
func (s *service) stop() {
	s.mu.Lock()
	s.stopping = true
	instances := s.instances
	s.instances = nil
	var processes []*process
	for _, i := range instances {
		if i.process != nil {
			processes = append(processes, i.process)
		}
	}
	s.mu.Unlock()
	for _, p := range processes {
		s.stops.Go(func() { p.stop(s.grace) })
	}
	s.stops.Wait()
}

func stopAll(services map[string]*service) {
	var all sync.WaitGroup
	for _, s := range services {
		all.Go(s.stop)
	}
	all.Wait()
}

// proxy hands requests to the process of an instance.
func (s *service) proxy(i *instance) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(i.process.url)
			r.Out.URL.Path = path.Join("/", r.In.URL.Path)
		},
		ModifyResponse: func(answer *http.Response) error {
			if check, ok := answer.Request.Context().Value(checkKey{}).(func(*http.Response) error); ok && check != nil {
				return check(answer)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			s.refuse(w, s.explain(r.Context(), i, err))
		},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // the answer says it
		Transport: s.transport,
	}
}

// How long the end of a process may take to show after its connections broke.
const deathShowsWithin = time.Second

// explain says why a request got no answer. If its process died it is gone when this returns, so that the next attempt
// does not meet it again.
func (s *service) explain(ctx context.Context, i *instance, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v: %w", s.timeout, context.DeadlineExceeded)
	}
	if ctx.Err() != nil || errors.Is(err, errNoEvent) {
		return err
	}
	select {
	case <-i.process.done:
		s.bury(i)
		return fmt.Errorf("its process died over it: %w", i.process.death())
	case <-time.After(deathShowsWithin):
		return err
	}
}

// onlyEvent refuses an answer that is neither a failure nor empty nor an event, as the broker's filter does on a cluster.
func onlyEvent(answer *http.Response) error {
	if answer.StatusCode < 200 || answer.StatusCode > 299 || isEvent(answer.Header) {
		return nil
	}
	if n, _ := io.ReadFull(answer.Body, make([]byte, 1)); n > 0 {
		return errNoEvent
	}
	return nil
}
