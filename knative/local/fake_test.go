package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be a function as well: the runtime under test starts it with K_SERVICE set.
func TestMain(m *testing.M) {
	if name := os.Getenv("K_SERVICE"); name != "" {
		if err := (fake{name: name, folder: os.Getenv("FAKE_FOLDER")}).run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fake is a function that does what the event's extension "do" says, and writes down what it was asked in a file of its
// folder, which survives its processes.
type fake struct{ name, folder string }

func (f fake) run() error {
	if _, err := os.Stat(filepath.Join(f.folder, "broken")); err == nil {
		return errors.New("libavcodec.so.61: cannot open shared object file")
	}
	f.note("started " + os.Getenv("GREETING"))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /{$}", f.handle)
	mux.HandleFunc("POST /upper", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, strings.ToUpper(string(body)))
	})
	server := &http.Server{Addr: net.JoinHostPort(os.Getenv("VEDETTE_LISTEN"), os.Getenv("PORT")), Handler: mux}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		err := server.Shutdown(context.Background())
		f.note("drained")
		return err
	}
}

func (f fake) handle(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Ce-Id")
	if dest := r.Header.Get("Ce-Knativeerrordest"); dest != "" {
		f.note("dead " + id + " from " + dest + " code " + r.Header.Get("Ce-Knativeerrorcode"))
		return
	}
	attempt := strings.Count(f.notes(), "asked "+id+"\n") + 1
	f.note("asked " + id)
	switch do, _, _ := strings.Cut(r.Header.Get("Ce-Do"), " "); do {
	case "fail-twice":
		if attempt <= 2 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	case "die-once":
		if attempt == 1 {
			fmt.Fprintln(os.Stderr, "SIGSEGV in libavcodec")
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	case "refuse":
		http.Error(w, "makes no sense", http.StatusUnprocessableEntity)
	case "chat":
		_, _ = io.WriteString(w, "OK")
	case "reply":
		w.Header().Set("Ce-Specversion", "1.0")
		w.Header().Set("Ce-Id", id+"-reply")
		w.Header().Set("Ce-Source", "/fake")
		w.Header().Set("Ce-Type", "test.second")
		w.WriteHeader(http.StatusOK)
	case "emit":
		e, err := http.NewRequestWithContext(r.Context(), http.MethodPost, os.Getenv("K_SINK"), http.NoBody)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		e.Header = http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {id + "-emitted"}, "Ce-Source": {"/fake"}, "Ce-Type": {"test.second"}}
		answer, err := http.DefaultClient.Do(e)
		if err != nil || answer.StatusCode != http.StatusAccepted {
			http.Error(w, fmt.Sprint(answer, err), http.StatusInternalServerError)
		}
	case "wait": // until the test says go
		for {
			if _, err := os.Stat(filepath.Join(f.folder, "go")); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		f.note("done " + id)
	}
}

func (f fake) note(text string) {
	file, err := os.OpenFile(f.path(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.WriteString(text + "\n"); err != nil {
		panic(err)
	}
}

func (f fake) notes() string {
	text, err := os.ReadFile(f.path())
	if err != nil && !os.IsNotExist(err) {
		panic(err)
	}
	return string(text)
}

func (f fake) path() string { return filepath.Join(f.folder, f.name+".notes") }
