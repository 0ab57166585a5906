package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"vedette.dev/events"
	"vedette.dev/knative/local"
)

// watcher follows what happens in a place: it says the steps of clips as they are taken, and wakes those who wait for one.
type watcher struct {
	c     *console
	began time.Time

	mu     sync.Mutex
	clips  map[string]*watched // by id and by key
	all    bool                // clips of others as well
	failed map[string]time.Time
}

// watched is a clip that somebody waits for.
type watched struct {
	name string
	wake chan struct{}          // something happened to it
	lost atomic.Pointer[string] // why it will never be a clip
	told map[string]bool        // ids of events: the same fact may be sent twice
}

func newWatched(name string) *watched {
	return &watched{name: name, wake: make(chan struct{}, 1), told: map[string]bool{}}
}

func newWatcher(c *console) *watcher {
	return &watcher{c: c, began: time.Now(), clips: map[string]*watched{}, failed: map[string]time.Time{}}
}

// expect makes the watcher know a clip by its name, before or after it has an id.
func (w *watcher) expect(name string, as ...string) *watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	var clip *watched
	for _, id := range as {
		if clip = w.clips[id]; clip != nil {
			break
		}
	}
	if clip == nil {
		clip = newWatched(name)
	}
	for _, id := range as {
		w.clips[id] = clip
	}
	return clip
}

// watchAll makes the watcher tell of clips that nobody here waits for as well.
func (w *watcher) watchAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = true
}

// begin follows a place, and returns when it listens. What it returns is closed when the place is gone.
func (w *watcher) begin(ctx context.Context, place string) (gone <-chan struct{}) {
	listening, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.follow(ctx, place, listening) // however it ended, there is nothing more to hear
	}()
	<-listening
	return ended
}

// follow listens until ctx ends or the place is gone. It closes listening once it does, or never will.
func (w *watcher) follow(ctx context.Context, place string, listening chan<- struct{}) error {
	listen := sync.OnceFunc(func() { close(listening) })
	defer listen()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, place+"/events", http.NoBody)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	listen()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 4<<20) // a notice holds an event
	for lines.Scan() {
		text, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		var n local.Notice
		if err := json.Unmarshal(text, &n); err == nil {
			w.take(n)
		}
	}
	return lines.Err()
}

func (w *watcher) take(n local.Notice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n.Event == nil {
		return // about a process; what it means to an event is told with that
	}
	why := firstLines(strings.TrimPrefix(n.Text, n.Function+": "))
	clip := w.clips[n.Event.Subject]
	if clip == nil && w.all && n.Event.Subject != "" {
		name := n.Event.Subject
		if key := uploadedKey(n.Event); key != "" {
			name = key
		}
		clip = newWatched(shortName(name))
		w.clips[n.Event.Subject] = clip
	}
	if clip == nil {
		return
	}
	switch n.Kind {
	case local.Published:
		if text := step(n.Event); text != "" && !clip.told[n.Event.ID] {
			clip.told[n.Event.ID] = true
			w.say(clip, text)
		}
	case local.Failed:
		w.complain(clip.name+n.Function, "%s: %s failed and is tried again: %s", clip.name, n.Function, why)
	case local.Dead, local.Lost:
		w.c.warn("%s: %s is given up: %s", clip.name, n.Function, why)
		if strings.HasPrefix(n.Event.Type, "com.amazonaws.s3.") {
			why = n.Function + " does not take it: " + why
			clip.lost.Store(&why)
		}
	}
	select {
	case clip.wake <- struct{}{}:
	default:
	}
}

// complain warns, but of the same thing only now and then: what fails is tried again and again.
func (w *watcher) complain(about, format string, args ...any) {
	if time.Since(w.failed[about]) < 10*time.Second {
		return
	}
	w.failed[about] = time.Now()
	w.c.warn(format, args...)
}

func (w *watcher) say(clip *watched, text string) {
	w.c.say("%s  %s  %s", w.c.err.paint(faint, fmt.Sprintf("%6.1f s", time.Since(w.began).Seconds())), clip.name, text)
}

// step says what a published event means to somebody who waits; "" for what is of no interest to them.
func step(e *local.Event) string {
	switch e.Type {
	case events.ClipUploaded:
		return "is a clip; looking into it"
	case events.ClipRejected:
		return "is rejected: " + about[events.Rejected](e).Reason
	case events.SegmentCut:
		d := about[events.Cut](e)
		return fmt.Sprintf("segment %d, %s to %s, goes to decode", d.Segment, clock(seconds(d.StartUS)), clock(seconds(d.EndUS)))
	case events.SegmentDecoded:
		d := about[events.Decoded](e)
		state := "quiet"
		if d.Active {
			state = "active"
		}
		return fmt.Sprintf("segment %d is %s, %s to look at", d.Segment, state, count(d.Frames, "frame"))
	case events.ObjectsDetected:
		d := about[events.Detected](e)
		return fmt.Sprintf("segment %d shows %s and %s", d.Segment, count(d.Persons, "person"), count(d.Faces, "face"))
	case events.SegmentAnalyzed:
		if d := about[events.Analyzed](e); d.Failed {
			return fmt.Sprintf("segment %d could not be analyzed", d.Segment)
		}
	case events.SegmentEncoded:
		return fmt.Sprintf("segment %d is drawn", about[events.Encoded](e).Segment)
	case events.StepAbandoned:
		d := about[events.Abandoned](e)
		return fmt.Sprintf("%s of segment %d is given up: %s", d.Step, d.Segment, d.Reason)
	case events.ClipAnalyzed:
		d := about[events.Reported](e)
		return fmt.Sprintf("is analyzed: %s, %s", count(d.Persons, "person"), count(d.Faces, "face"))
	case events.ClipCompleted:
		return "is " + about[events.Reported](e).Status
	}
	return ""
}

// about is the data of an event.
func about[T any](e *local.Event) T {
	var data T
	_ = json.Unmarshal(e.Data, &data) // at worst a line says little
	return data
}

// uploadedKey is the key under which a clip was uploaded, if the event tells of that.
func uploadedKey(e *local.Event) string {
	switch {
	case e.Type == events.ClipUploaded:
		return about[events.Uploaded](e).Key
	case strings.HasPrefix(e.Type, "com.amazonaws.s3."):
		return e.Subject
	}
	return ""
}

// firstLines is the beginning of a long explanation. Of the log of a function it is what went wrong.
func firstLines(text string) string {
	var list []string
	for line := range strings.Lines(text) {
		var entry struct{ Level, Error, Hint string }
		switch line = strings.TrimSpace(line); {
		case json.Unmarshal([]byte(strings.TrimPrefix(line, "it last said: ")), &entry) != nil:
			list = append(list, line)
		case entry.Error != "" && entry.Hint != "":
			list = append(list, entry.Error+" ("+entry.Hint+")")
		case entry.Error != "":
			list = append(list, entry.Error)
		}
	}
	return strings.Join(list[:min(len(list), 5)], "\n    ")
}

func seconds(us int64) float64 { return float64(us) / 1e6 }

// clock is a time in a clip as people write it.
func clock(s float64) string {
	tenths := int64(s*10 + 0.5)
	if hours := tenths / 36000; hours > 0 {
		return fmt.Sprintf("%d:%02d:%02d.%d", hours, tenths/600%60, tenths/10%60, tenths%10)
	}
	return fmt.Sprintf("%d:%02d.%d", tenths/600, tenths/10%60, tenths%10)
}

func count(n int, noun string) string {
	switch n {
	case 0:
		return "no " + noun
	case 1:
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}
