package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/store"
)

const (
	patience = 10 * time.Minute // with a clip of a minute, on a machine that does other things too
	warm     = 101              // events by which a warm one is measured
	pause    = 50 * time.Millisecond
)

// local measures what a user waits for, on a Vedette of its own.
func (b *bench) local(ctx context.Context) error {
	street, err := clip(ctx, b.sample, b.cache, "street")
	if err != nil {
		return err
	}
	empty, err := clip(ctx, b.sample, b.cache, "empty")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	v, err := b.up(ctx)
	if err != nil {
		return err
	}
	defer v.down()

	uploaded, end, err := v.process(ctx, "street.mp4", street)
	if err != nil {
		return err
	}
	var last time.Time
	tracked, atEncode := 0, 0 // segments that encode had to do until last
	for _, n := range end {
		switch n.Event.Type {
		case events.SegmentAnalyzed:
			last, atEncode = n.At, tracked
		case events.SegmentTracked:
			tracked++
		}
	}
	steps, err := v.steps(ctx, end[0].Event.Subject)
	if err != nil {
		return err
	}
	b.atMost("active minute, from upload to its last segment.analyzed", last.Sub(uploaded).Seconds(), "s", 30)
	b.told("segments that went to encode meanwhile", float64(atEncode), fmt.Sprintf("of %d", tracked))
	b.told("active minute, from upload to clip.completed", end[len(end)-1].At.Sub(uploaded).Seconds(), "s")
	for _, step := range []string{findings.Split, findings.Decode, findings.Detect, findings.Encode} {
		b.told("active minute, "+step, steps[step].CPUSeconds, "CPU s")
	}

	if _, end, err = v.process(ctx, "empty.mp4", empty); err != nil {
		return err
	}
	took, err := v.warm(ctx, end)
	if err != nil {
		return err
	}
	b.atMost("warm event, from the broker to what the function sends, median", 1000*median(took), "ms", 10)
	slices.Sort(took)
	b.told("warm event, 95 of 100", 1000*took[len(took)*95/100], "ms")
	return nil
}

// vedette is one that runs.
type vedette struct {
	URL     string       `json:"url"`
	Store   store.Config `json:"store"`
	command *exec.Cmd
	store   *store.Store
	notices chan notice
}

// notice is what the runtime tells of an event.
type notice struct {
	At    time.Time `json:"at"`
	Kind  string    `json:"kind"`
	Text  string    `json:"text"`
	Event *struct {
		Type    string          `json:"type"`
		ID      string          `json:"id"`
		Subject string          `json:"subject"`
		Data    json.RawMessage `json:"data"`
	} `json:"event"`
}

// up starts a Vedette on a new data folder, and waits until it says where it is.
func (b *bench) up(ctx context.Context) (*vedette, error) {
	program, err := filepath.Abs(filepath.Join(b.bin, "vedette"))
	if err != nil {
		return nil, err
	}
	data := filepath.Join(b.temp, "data")
	log, err := os.Create(filepath.Join(b.temp, "up.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	v := &vedette{command: exec.Command(program, "up"), notices: make(chan notice, 1000)} //nolint:noctx // down ends it, gently
	v.command.Env = append(os.Environ(), "VEDETTE_DATA="+data, "VEDETTE_S3_ENDPOINT=")
	v.command.Stdout, v.command.Stderr = log, log
	if err := v.command.Start(); err != nil {
		return nil, fmt.Errorf("%w; run make build, or name the programs' folder by -bin", err)
	}
	where := filepath.Join(data, "up.json")
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(where)
		if err == nil && json.Unmarshal(text, v) == nil {
			break
		}
		if ctx.Err() != nil || time.Since(begun) > time.Minute {
			v.down()
			said, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("vedette up does not say where it is: %s", said)
		}
	}
	if v.store, err = store.Open(v.Store); err != nil {
		v.down()
		return nil, err
	}
	listening := make(chan error)
	go v.listen(ctx, listening)
	if err := <-listening; err != nil {
		v.down()
		return nil, err
	}
	return v, nil
}

// down ends it.
func (v *vedette) down() {
	_ = v.command.Process.Signal(syscall.SIGTERM)
	_ = v.command.Wait()
}

// listen passes on what the runtime tells; it says once whether it listens.
func (v *vedette) listen(ctx context.Context, listening chan<- error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, v.URL+"/events", http.NoBody)
	if err != nil {
		listening <- err
		return
	}
	answer, err := http.DefaultClient.Do(request)
	listening <- err
	if err != nil {
		return
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		text, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		var n notice
		if ok && json.Unmarshal(text, &n) == nil && n.Event != nil {
			v.notices <- n
		}
	}
}

// process uploads a clip and waits until all about it is told: what was published until then, with the time at which the
// upload was through.
func (v *vedette) process(ctx context.Context, name string, body []byte) (uploaded time.Time, told []notice, err error) {
	etag, err := v.store.Clips().Upload(ctx, "bench/"+name, bytes.NewReader(body), int64(len(body)), "video/mp4", nil)
	if err != nil {
		return uploaded, nil, err
	}
	uploaded = time.Now()
	id := ledger.ClipID(v.Store.Clips, "bench/"+name, etag)
	for deadline := time.After(patience); ; {
		select {
		case n := <-v.notices:
			switch {
			case n.Kind == "dead" || n.Kind == "lost" || n.Event.Type == events.ClipRejected:
				return uploaded, nil, fmt.Errorf("%s: %s %s: %s", name, n.Event.Type, n.Kind, n.Text)
			case n.Kind != "published" || n.Event.Subject != id:
			default:
				told = append(told, n)
				if n.Event.Type == events.ClipCompleted {
					return uploaded, told, nil
				}
			}
		case <-deadline:
			return uploaded, nil, fmt.Errorf("%s was not completed within %v", name, patience)
		case <-ctx.Done():
			return uploaded, nil, ctx.Err()
		}
	}
}

// steps is what the steps of a clip cost.
func (v *vedette) steps(ctx context.Context, clip string) (map[string]findings.Expense, error) {
	report, err := ledger.New(v.store.Ledger()).Report(ctx, clip, 1)
	if err == nil && report.Status != findings.StatusCompleted {
		err = fmt.Errorf("the clip is %s: %s", report.Status, report.Reason)
	}
	return report.Steps, err
}

// warm sends a segment that is decoded already to decode again and again: it finds its result there, and only says so. It
// returns the seconds from the event's way to the broker until decode's own event is there.
func (v *vedette) warm(ctx context.Context, told []notice) ([]float64, error) {
	var cut events.Cut
	for _, n := range told {
		if n.Event.Type == events.SegmentCut {
			if err := json.Unmarshal(n.Event.Data, &cut); err != nil {
				return nil, err
			}
		}
	}
	e := cut.Event("bench")
	want := events.Decoded{OfSegment: cut.OfSegment}.Event("decode").ID()
	var took []float64
	const before = 10 // until all is warm
	for i := range before + warm {
		for empty := false; !empty; { // what came of the one before
			select {
			case <-v.notices:
			case <-time.After(pause):
				empty = true
			}
		}
		began := time.Now()
		if err := v.post(ctx, e); err != nil {
			return nil, err
		}
		at, err := v.published(ctx, want)
		if err != nil {
			return nil, err
		}
		if i >= before {
			took = append(took, at.Sub(began).Seconds())
		}
	}
	return took, nil
}

// published waits until the broker has an event.
func (v *vedette) published(ctx context.Context, id string) (time.Time, error) {
	for deadline := time.After(time.Minute); ; {
		select {
		case n := <-v.notices:
			if n.Kind == "published" && n.Event.ID == id {
				return n.At, nil
			}
		case <-deadline:
			return time.Time{}, errors.New("decode did not answer a warm event within a minute")
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

// post gives the broker an event.
func (v *vedette) post(ctx context.Context, e event.Event) error {
	request, err := cehttp.NewHTTPRequestFromEvent(ctx, v.URL+"/vedette/default", e)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		why, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("the broker did not take an event: %s %s", answer.Status, why)
	}
	return nil
}
