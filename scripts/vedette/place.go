package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"vedette.dev/events"
	"vedette.dev/knative"
	"vedette.dev/knative/local"
	"vedette.dev/knative/local/port"
	"vedette.dev/knative/local/s3"
	"vedette.dev/shared/function"
	"vedette.dev/shared/join"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/store"
)

// place is a running Vedette: another process's, or our own.
type place struct {
	address
	store  *store.Store
	ledger *ledger.Ledger
	own    *own // nil: another process runs it
}

// own is what this process runs.
type own struct {
	home    home
	lock    *os.File
	s3      *s3.Server // nil: the store is elsewhere
	runtime *local.Runtime
	logs    []io.Closer
	verbose bool
}

// settings say how a place of our own is to be.
type settings struct {
	listen  string // host:port of the broker; "" is any free port of 127.0.0.1
	s3      string // host:port of the S3 server; likewise
	look    bool   // only the store is wanted: nothing is to be processed
	verbose bool   // functions' logs to standard error as well
}

// The Secret that the Services refer to; see knative/kustomization.yaml.
const secret = "vedette-store"

// Who stops Vedette waits for it: functions have this long to end what they are at, which costs little, since what is cut
// short is taken up again. On a cluster they have longer.
const drain = 5 * time.Second

// How much longer they may take to leave everything in order before they are killed.
const closing = 7 * time.Second

// find returns the Vedette that runs on the data folder, or starts one.
func find(ctx context.Context, c *console, s settings) (*place, error) {
	h, err := openHome(os.Getenv)
	if err != nil {
		return nil, err
	}
	for {
		lock, err := h.lock()
		if err != nil {
			return nil, err
		}
		if lock != nil {
			h.forget() // who was killed could not
			p, err := start(ctx, c, h, lock, s)
			if err != nil {
				_ = lock.Close()
			}
			return p, err
		}
		// Somebody else runs it, or is just starting or stopping.
		if p, err := attach(ctx, h); err == nil {
			return p, nil
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNobody) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

var errNobody = errors.New("nobody answers")

// attach finds the Vedette that another process runs.
func attach(ctx context.Context, h home) (*place, error) {
	a, err := h.address()
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: time.Second}
	if connection, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(a.URL, "http://")); err != nil {
		return nil, fmt.Errorf("%w at %s", errNobody, a.URL)
	} else if err := connection.Close(); err != nil {
		return nil, err
	}
	return newPlace(a)
}

func newPlace(a address) (*place, error) {
	s, err := store.Open(a.Store)
	if err != nil {
		return nil, err
	}
	return &place{address: a, store: s, ledger: ledger.New(s.Ledger())}, nil
}

// start runs Vedette in this process: the S3 server, unless the store is elsewhere, then the broker.
func start(ctx context.Context, c *console, h home, lock *os.File, s settings) (p *place, err error) {
	o := &own{home: h, lock: lock, verbose: s.verbose}
	defer func() {
		if err != nil {
			o.stop()
		}
	}()
	var runtime atomic.Pointer[local.Runtime]
	a := address{PID: os.Getpid()}
	if a.Store, err = o.serveStore(s, func(u s3.Upload) {
		if r := runtime.Load(); r != nil && u.Bucket == a.Store.Clips {
			if err := r.Publish(events.Stored(u).Event("vedette")); err != nil {
				c.warn("the upload of %s waits for the clock: %v", u.Key, err)
			}
		}
	}); err != nil {
		return nil, err
	}
	if p, err = newPlace(a); err != nil {
		return nil, err
	}
	p.own = o
	if err := p.store.Ready(ctx); err != nil || s.look {
		return p, err
	}
	if o.runtime, err = o.run(c, s, a.Store); err != nil {
		return nil, err
	}
	runtime.Store(o.runtime)
	p.URL = o.runtime.URL
	if err := h.write(p.address); err != nil {
		return nil, err
	}
	return p, p.resume(ctx, c)
}

// run runs the topology on a store.
func (o *own) run(c *console, s settings, where store.Config) (*local.Runtime, error) {
	topology, err := knative.Load(knative.Files)
	if err != nil {
		return nil, err
	}
	folder, err := programs(topology)
	if err != nil {
		return nil, err
	}
	outputs := map[string]io.Writer{}
	for _, name := range append(names(topology), "vedette") {
		if outputs[name], err = o.output(c, name); err != nil {
			return nil, fmt.Errorf("the log of %s: %w", name, err)
		}
	}
	listener, err := net.Listen("tcp", orFree(s.listen))
	if err != nil {
		return nil, fmt.Errorf("listen for events (--listen): %w", err)
	}
	return local.Start(local.Config{
		Topology:    topology,
		Program:     func(function string) string { return filepath.Join(folder, function) },
		Environment: environment(),
		Secrets:     map[string]map[string]string{secret: variables(where)},
		Listener:    listener,
		Grace:       drain + closing,
		Output:      func(function string) io.Writer { return outputs[function] },
		Log:         slog.New(slog.NewTextHandler(outputs["vedette"], nil)),
	})
}

// resume sends what was under way when the last Vedette ended: its broker kept its events in memory, so none can still be
// on its way.
func (p *place) resume(ctx context.Context, c *console) error {
	under, err := p.ledger.OpenRuns(ctx)
	if err != nil || len(under) == 0 {
		return err
	}
	now, err := p.ledger.Now(ctx)
	if err != nil {
		return err
	}
	c.say("going on with %s that %s under way", count(len(under), "clip"), were(len(under)))
	before := now.Add(time.Second) // stores tell whole seconds
	for _, r := range under {
		if _, err := join.Resume(ctx, p.ledger, publisher{p.own.runtime}, "vedette", r, before); err != nil {
			c.warn("clip %s: %v", r.Clip, err) // reconcile will look after it
		}
	}
	return nil
}

// publisher gives events to our own broker.
type publisher struct{ runtime *local.Runtime }

// Emit implements [join.Emitter].
func (p publisher) Emit(_ context.Context, e event.Event) error { return p.runtime.Publish(e) }

// serveStore is the store that the environment names, or else a server of our own.
func (o *own) serveStore(s settings, uploaded func(s3.Upload)) (store.Config, error) {
	if os.Getenv("VEDETTE_S3_ENDPOINT") != "" {
		var c store.Config
		return c, function.Parse(&c, os.LookupEnv)
	}
	access, secret, err := o.home.keys()
	if err != nil {
		return store.Config{}, err
	}
	c := store.Config{AccessKey: access, SecretKey: secret, Region: "us-east-1", Clips: "clips", Ledger: "ledger"}
	listen := s.s3
	if listen == "" {
		free, err := port.Free("127.0.0.1", func(int) bool { return false })
		if err != nil {
			return c, err
		}
		listen = net.JoinHostPort("127.0.0.1", strconv.Itoa(free))
	}
	o.s3, err = s3.Start(s3.Config{
		Folder: o.home.path("s3"), Listen: listen, AccessKey: access, SecretKey: secret, Region: c.Region,
		Buckets: []string{c.Clips, c.Ledger}, Uploaded: uploaded,
	})
	if err != nil {
		return c, err
	}
	c.Endpoint = o.s3.Endpoint
	return c, nil
}

// output is where a function's output goes: its log, and if so wished the console.
func (o *own) output(c *console, function string) (io.Writer, error) {
	file, err := o.home.log(function)
	if err != nil {
		return nil, err
	}
	o.logs = append(o.logs, file)
	if !o.verbose {
		return file, nil
	}
	return io.MultiWriter(file, &lines{console: c, prefix: function + ": "}), nil
}

// lines passes what is written to the console, a line at a time.
type lines struct {
	console *console
	prefix  string

	mu   sync.Mutex
	rest []byte
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		l.console.say("%s", l.console.err.paint(faint, l.prefix+string(line)))
		l.rest = rest
	}
}

func orFree(listen string) string {
	if listen == "" {
		return "127.0.0.1:0"
	}
	return listen
}

// close leaves the place; our own is stopped, which lets the functions end what they are at.
func (p *place) close() {
	p.store.Close()
	if p.own != nil {
		p.own.stop()
	}
}

// ended is closed when our S3 server is.
func (o *own) ended() <-chan struct{} {
	if o.s3 == nil {
		return nil
	}
	return o.s3.Done()
}

func (o *own) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), drain+2*closing)
	defer cancel()
	if o.runtime != nil {
		o.home.forget()
		o.runtime.Close(ctx)
	}
	if o.s3 != nil {
		o.s3.Close()
	}
	for _, l := range o.logs {
		_ = l.Close()
	}
	_ = o.lock.Close()
}

// publish gives an event to the broker.
func (p *place) publish(ctx context.Context, e event.Event) error {
	topology, err := knative.Load(knative.Files)
	if err != nil {
		return err
	}
	sink := p.URL + "/" + topology.Broker.Namespace + "/" + topology.Broker.Name
	request, err := cehttp.NewHTTPRequestFromEvent(ctx, sink, e)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("send %s to the broker: %w", e.Type(), err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusAccepted {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return fmt.Errorf("the broker did not take %s: %s: %s", e.Type(), answer.Status, why)
	}
	return nil
}

// names are the functions of a topology.
func names(t knative.Topology) []string {
	var list []string
	for _, s := range t.Services {
		list = append(list, s.Name)
	}
	return list
}

// programs is the folder of the functions' programs: the one that this program lies in.
func programs(t knative.Topology) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	folder := filepath.Dir(self)
	for _, name := range names(t) {
		if _, err := exec.LookPath(filepath.Join(folder, name)); err != nil {
			return "", fmt.Errorf("the program of function %s is missing; run: make build (%w)", name, err)
		}
	}
	return folder, nil
}

// environment is what functions inherit: what set-up wrote down, so that nobody has to source that first, and before it
// our own.
func environment() []string {
	list := []string{"VEDETTE_DRAIN=" + drain.String()}
	if cache, err := os.UserCacheDir(); err == nil && os.Getenv("VEDETTE_ONNXRUNTIME") == "" {
		const script = `. "$1" && env -0`
		text, err := exec.Command("sh", "-c", script, "sh", filepath.Join(cache, "vedette", "env")).Output() //nolint:noctx // it is over at once
		if err == nil {                                                                                      // else the functions say what they miss
			list = append(list, strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")...)
		}
	}
	return append(list, os.Environ()...) // the last of a name counts
}

// variables is a store's config as functions read it.
func variables(c store.Config) map[string]string {
	return map[string]string{
		"VEDETTE_S3_ENDPOINT":   c.Endpoint,
		"VEDETTE_S3_ACCESS_KEY": c.AccessKey,
		"VEDETTE_S3_SECRET_KEY": c.SecretKey,
		"VEDETTE_S3_REGION":     c.Region,
		"VEDETTE_S3_CLIPS":      c.Clips,
		"VEDETTE_S3_LEDGER":     c.Ledger,
	}
}
