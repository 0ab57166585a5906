package local

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// The kinds of notices.
const (
	Published = "published" // the broker accepted an event
	Delivered = "delivered" // a function took an event and is done with it
	Failed    = "failed"    // a function did not take an event, which is tried again
	Dead      = "dead"      // an event went to the dead-letter sink
	Lost      = "lost"      // an event was given up without a dead letter
	Started   = "started"   // a function's process is ready
	Stopped   = "stopped"   // a function's process was idle
	Died      = "died"      // a function's process ended by itself, or never became ready
)

// Notice is something that happened, for whoever watches. It is a courtesy: a slow watcher misses some.
type Notice struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	Function string    `json:"function,omitempty"`
	Event    *Event    `json:"event,omitempty"`
	Status   int       `json:"status,omitempty"`  // of a delivery
	Seconds  float64   `json:"seconds,omitempty"` // that a delivery or a start took
	Text     string    `json:"text,omitempty"`    // what went wrong
}

// Event is what a notice says of an event.
type Event struct {
	Type       string          `json:"type"`
	ID         string          `json:"id"`
	Subject    string          `json:"subject,omitempty"`
	Extensions map[string]any  `json:"extensions,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"` // of a published event whose data is JSON
}

func about(e event.Event) *Event {
	about := &Event{Type: e.Type(), ID: e.ID(), Subject: e.Subject(), Extensions: e.Extensions()}
	if json.Valid(e.Data()) {
		about.Data = e.Data()
	}
	return about
}

// feed hands notices to those who watch.
type feed struct {
	mu       sync.Mutex
	watchers map[chan Notice]struct{}
}

func (f *feed) tell(n Notice) {
	n.At = time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		select {
		case w <- n:
		default:
		}
	}
}

func (f *feed) watch() (notices <-chan Notice, leave func()) {
	w := make(chan Notice, 1000)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers == nil {
		f.watchers = map[chan Notice]struct{}{}
	}
	f.watchers[w] = struct{}{}
	return w, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, w)
	}
}

// ServeHTTP sends notices as server-sent events.
func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	notices, leave := f.watch()
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w).Flush
	if flush() != nil {
		return
	}
	alive := time.NewTicker(15 * time.Second)
	defer alive.Stop()
	for {
		select {
		case n := <-notices:
			text, err := json.Marshal(n)
			if err != nil {
				continue // an extension that is no JSON; nobody waits for this notice
			}
			if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil {
				return
			}
		case <-alive.C:
			if _, err := fmt.Fprint(w, ":\n\n"); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
		if flush() != nil {
			return
		}
	}
}
