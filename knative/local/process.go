package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"vedette.dev/knative/local/port"
)

// starter starts the processes of functions, and sees to it that none outlives this process: the kernel kills a child
// when the thread that started it ends (Pdeathsig), so one thread starts them all and ends last.
type starter struct {
	orders chan func()

	mu      sync.Mutex
	running map[*process]struct{}
	ports   map[int]struct{} // given to processes that live
}

func newStarter() *starter {
	s := &starter{orders: make(chan func()), running: map[*process]struct{}{}, ports: map[int]struct{}{}}
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		for order := range s.orders {
			order()
		}
	}()
	return s
}

func (s *starter) start(command *exec.Cmd) error {
	failed := make(chan error)
	s.orders <- func() { failed <- command.Start() }
	return <-failed
}

// close ends the starter's thread, and with it what still runs.
func (s *starter) close() { close(s.orders) }

func (s *starter) killAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.running {
		p.signal(syscall.SIGKILL)
	}
}

// process is one running program of a function.
type process struct {
	url  *url.URL
	said *tail
	done chan struct{} // closed when it has ended

	id  int
	err error // why it ended; after done
}

// program is what a function's process is started with.
type program struct {
	path        string
	environment []string
	probe       string // path that answers 200 when it is ready
	output      io.Writer
	nice        int
}

// How long a function may take until it is ready; it loads its models meanwhile.
const readyWithin = 60 * time.Second

// launch starts a process. It is ready some time later: see awaitReady.
func (s *starter) launch(what program) (*process, error) {
	free, err := s.freePort()
	if err != nil {
		return nil, err
	}
	p := &process{
		url:  &url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(free))},
		said: &tail{},
		done: make(chan struct{}),
	}
	command := exec.Command(what.path) //nolint:gosec,noctx // the programs of the topology; a process outlives the request that started it
	command.Env = slices.Concat(what.environment, []string{"PORT=" + strconv.Itoa(free)})
	output := io.MultiWriter(what.output, p.said)
	command.Stdout, command.Stderr = output, output
	command.WaitDelay = time.Second // a child of the child that holds the pipe open is not waited for
	command.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true, // Ctrl-C on the terminal is for us: we drain first
		Pdeathsig: syscall.SIGKILL,
	}
	if err := s.start(command); err != nil {
		s.freed(free)
		return nil, err
	}
	p.id = command.Process.Pid
	if what.nice > 0 {
		_ = syscall.Setpriority(syscall.PRIO_PGRP, p.id, what.nice) // without it, it is only less fair
	}
	s.mu.Lock()
	s.running[p] = struct{}{}
	s.mu.Unlock()
	go func() {
		p.err = command.Wait()
		s.mu.Lock()
		delete(s.running, p)
		s.mu.Unlock()
		s.freed(free)
		close(p.done)
	}()
	return p, nil
}

// awaitReady asks until the process says it is ready. If it never does, it is killed.
func (p *process) awaitReady(probe string) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), readyWithin, fmt.Errorf("not ready within %v", readyWithin))
	defer cancel()
	address := p.url.JoinPath(probe).String()
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.done:
			return p.death()
		case <-ctx.Done():
			p.signal(syscall.SIGKILL)
			<-p.done
			return errors.Join(context.Cause(ctx), p.said.error())
		case <-time.After(pause):
		}
	}
}

// death says how a process ended that should not have.
func (p *process) death() error {
	how := "it ended"
	if p.err != nil {
		how = p.err.Error()
	}
	return errors.Join(errors.New(how), p.said.error())
}

// stop asks the process to end its work, and kills it after the grace.
func (p *process) stop(grace time.Duration) {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

// signal signals the process and what it started, if it has not ended.
func (p *process) signal(which syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(-p.id, which)
	}
}

// freePort finds a port for a process. If somebody takes it before the process listens, the process ends at once and its
// event is tried again.
func (s *starter) freePort() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, err := port.Free("127.0.0.1", func(port int) bool { _, given := s.ports[port]; return given })
	if err == nil {
		s.ports[free] = struct{}{}
	}
	return free, err
}

func (s *starter) freed(port int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ports, port)
}

// niceness turns a request for processor time into what Kubernetes makes of it on a busy node: a share in proportion.
// One step of niceness is a quarter more or less.
func niceness(milliCPU int64) int {
	if milliCPU <= 0 || milliCPU >= 1000 {
		return 0
	}
	return min(19, int(math.Round(math.Log(1000/float64(milliCPU))/math.Log(1.25))))
}

// tail keeps the end of what a process says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 2000

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if extra := len(t.text) - tailSize; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(b), nil
}

// error is what was said last, as the explanation of a death; nil if nothing was.
func (t *tail) error() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := bytes.TrimSpace(t.text); len(text) > 0 {
		return fmt.Errorf("it last said: %s", text)
	}
	return nil
}
