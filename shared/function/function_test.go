package function

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// pipes is a network inside a synctest bubble, where time is ours.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// deliver posts the sample event (or what header says instead) over a connection of its own and returns the status, or 0 if there was no answer.
func (p *pipes) deliver(t *testing.T, header http.Header) int {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			select {
			case p.conns <- far:
				return near, nil
			case <-p.closed:
				return nil, errors.New("connection refused")
			}
		},
	}}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://pipes/", strings.NewReader("{}"))
	if err != nil {
		t.Error(err)
	}
	request.Header = header.Clone()
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func TestDrain(t *testing.T) {
	const drain = 25 * time.Second
	// How a request behaves that is under way when the process is told to stop.
	work := func(d, toClose time.Duration) HandlerFunc {
		return func(ctx context.Context, _ event.Event) error {
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				time.Sleep(toClose)
				return Permanent(ctx.Err()) // a mistake that must not cost the event
			}
		}
	}
	for name, test := range map[string]struct {
		handle HandlerFunc
		status int
		took   time.Duration // about
		said   string        // in the log
	}{
		"finishes in time":            {work(10*time.Second, 0), 204, 10 * time.Second, `"msg":"stopped"`},
		"is cancelled, and closes":    {work(time.Hour, time.Second), 503, drain + time.Second, "after requests were cancelled"},
		"does not care":               {work(time.Hour, time.Hour), 0, drain + closing, "did not end"},
		"nothing is under way":        {nil, 0, 0, `"msg":"stopped"`},
		"panics when it is cancelled": {func(ctx context.Context, _ event.Event) error { <-ctx.Done(); panic("boom") }, 503, drain, "after requests were cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipes()
				h := openOn(t, network, "decode", Config{Sink: someSink, Drain: drain, Timeout: 2 * time.Hour}, handling(test.handle))
				answered := make(chan int, 1)
				if test.handle != nil {
					go func() { answered <- network.deliver(t, sampleHeader) }()
				} else {
					answered <- 0
				}
				synctest.Wait()

				began := time.Now()
				h.stop()
				took := time.Since(began)
				if status := <-answered; status != test.status {
					t.Errorf("answered %d, want %d", status, test.status)
				}
				if took < test.took || took > test.took+time.Second { // net/http looks every half second at most
					t.Errorf("took %v, want about %v", took, test.took)
				}
				if h.err != nil {
					t.Errorf("ended with %v", h.err)
				}
				if status := network.deliver(t, sampleHeader); status != 0 {
					t.Errorf("still answers: %d", status)
				}
				if err := h.ready(t.Context()); !errors.Is(err, errStopping) {
					t.Errorf("still ready: %v", err)
				}
				if !strings.Contains(h.log.String(), test.said) {
					t.Errorf("log lacks %q:\n%s", test.said, h.log)
				}
				if test.status == 0 && test.handle != nil {
					time.Sleep(2 * time.Hour) // let it end; the bubble must be empty
				}
			})
		})
	}
}

func TestTimeout(t *testing.T) {
	for name, header := range map[string]http.Header{"event": sampleHeader, "plain call": {"Content-Type": {"image/jpeg"}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipes()
				wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
				h := openOn(t, network, "detect", Config{Sink: someSink, Timeout: 280 * time.Second}, func(_ context.Context, rt *Runtime) (Handler, error) {
					rt.Plain("image/jpeg", func(_ http.ResponseWriter, r *http.Request) error {
						_, _ = io.ReadAll(r.Body)
						return wait(r.Context())
					})
					return HandlerFunc(func(ctx context.Context, _ event.Event) error { return wait(ctx) }), nil
				})
				began := time.Now()
				if status := network.deliver(t, header); status != http.StatusGatewayTimeout || time.Since(began) != 280*time.Second {
					t.Errorf("%d after %v, want 504 after 280s", status, time.Since(began))
				}
				h.stop()
			})
		})
	}
}

// The turn in the process is part of the time a request has, and requests that wait for it are cancelled like others.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		h := openOn(t, network, "decode", Config{Sink: someSink, Concurrency: 1, Timeout: 10 * time.Second}, handling(func(context.Context, event.Event) error {
			time.Sleep(8 * time.Second)
			return nil
		}))
		answers := make(chan int)
		for range 3 {
			go func() { answers <- network.deliver(t, sampleHeader) }()
		}
		var got [3]int
		for i := range got {
			got[i] = <-answers
		}
		// The second has its turn after 8 s and does not look at the clock; the third never has.
		if got != [3]int{204, 504, 204} {
			t.Errorf("answered %v", got)
		}
		h.stop()
	})
}

// A caller who stalls in the middle of an event does not hold the process up, and is asked to try again.
func TestStalledBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		h := openOn(t, network, "decode", Config{Sink: someSink}, handling(nil))
		near, far := net.Pipe()
		defer near.Close()
		network.conns <- far
		began := time.Now()
		fmt.Fprint(near, "POST / HTTP/1.1\r\nHost: x\r\nCe-Id: 1\r\nContent-Length: 10\r\n\r\nhalf")
		response, err := http.ReadResponse(bufio.NewReader(near), nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusRequestTimeout || time.Since(began) != arrival {
			t.Errorf("%s after %v, want 408 after %v", response.Status, time.Since(began), arrival)
		}
		h.stop()
	})
}

func TestStoppedWhileBuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openOn(t, newPipes(), "detect", Config{}, func(ctx context.Context, _ *Runtime) (Handler, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		synctest.Wait()
		h.stop()
		if h.err != nil {
			t.Errorf("%v, want none: it was told to", h.err)
		}
	})
}

// A store that hangs costs an event ten seconds, and one event at a time is spent on asking.
func TestHangingRequirement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		h := openOn(t, network, "decode", Config{Sink: someSink}, func(_ context.Context, rt *Runtime) (Handler, error) {
			rt.Require("store", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			return HandlerFunc(nil), nil
		})
		began := time.Now()
		if status := network.deliver(t, sampleHeader); status != 503 || time.Since(began) != requireTimeout {
			t.Errorf("%d after %v, want 503 after %v", status, time.Since(began), requireTimeout)
		}
		h.stop()
	})
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	var log strings.Builder
	env := environment{"PORT": "http", "T_WINDOW": "many", "VEDETTE_LOG_LEVEL": "loud"}
	err := Run(t.Context(), "detect", &everything{}, env.lookup, &log, nil)
	if err == nil {
		t.Fatal("runs")
	}
	for _, name := range []string{"PORT", "T_WINDOW", "T_ENDPOINT", "VEDETTE_LOG_LEVEL"} {
		if !strings.Contains(log.String(), name) {
			t.Errorf("log lacks %s: %s", name, log.String())
		}
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	log.Reset()
	env = environment{"PORT": port, "VEDETTE_LISTEN": "127.0.0.1"}
	if err := Run(t.Context(), "detect", nil, env.lookup, &log, nil); err == nil || !strings.Contains(log.String(), "PORT and VEDETTE_LISTEN say where") {
		t.Errorf("%v: %s", err, log.String())
	}
}

// TestMain lets the test binary be a function's program: see TestProgram.
func TestMain(m *testing.M) {
	if os.Getenv("FUNCTION_TEST_PROGRAM") == "" {
		os.Exit(m.Run())
	}
	Main("sample", &struct {
		Window int `env:"VEDETTE_WINDOW" default:"4" doc:"segments in flight"`
	}{}, handling(func(ctx context.Context, _ event.Event) error {
		fmt.Println("handling")
		<-ctx.Done()
		return ctx.Err()
	}))
}

// A program starts, is stopped by SIGTERM over a request that would go on for ever, and ends with 0.
func TestProgram(t *testing.T) {
	program := func(arg ...string) *exec.Cmd {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self, arg...)
		cmd.Env = append(os.Environ(), "FUNCTION_TEST_PROGRAM=1", "PORT=0", "VEDETTE_LISTEN=127.0.0.1", "K_SINK="+someSink, "VEDETTE_DRAIN=0s")
		return cmd
	}
	t.Run("serves until SIGTERM", func(t *testing.T) {
		cmd := program()
		out, _ := cmd.StdoutPipe()
		log, _ := cmd.StderrPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(log)
		var address string
		for address == "" && lines.Scan() {
			_, rest, _ := strings.Cut(lines.Text(), `"msg":"listening","function":"sample","address":"`)
			address, _, _ = strings.Cut(rest, `"`)
		}
		answered := make(chan int)
		go func() {
			status, _ := post(t, "http://"+address, sampleHeader, "{}")
			answered <- status
		}()
		_, _ = bufio.NewReader(out).ReadString('\n') // it is at work
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if status := <-answered; status != 503 {
			t.Errorf("answered %d, want 503", status)
		}
		for lines.Scan() { // to the end, or Wait would cut it off
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("ended with %v, want 0", err)
		}
	})
	t.Run("wrong configuration", func(t *testing.T) {
		cmd := program()
		cmd.Env = append(cmd.Env, "VEDETTE_WINDOW=x")
		out, err := cmd.CombinedOutput()
		if failed, ok := errors.AsType[*exec.ExitError](err); !ok || failed.ExitCode() != 1 || !strings.Contains(string(out), "VEDETTE_WINDOW") {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("says its variables", func(t *testing.T) {
		out, err := program("--help").Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"sample is a function", "VEDETTE_WINDOW", "segments in flight", "PORT", "K_SINK", "280s"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("lacks %q:\n%s", want, out)
			}
		}
	})
}
