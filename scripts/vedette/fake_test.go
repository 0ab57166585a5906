package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/functions/ingest"
	"vedette.dev/knative"
	"vedette.dev/shared/depot"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/join"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/store"
)

// The test binary is also the program under test and the functions that it starts, by the name under which it is called:
// ingest is the real one; split answers for all others, by what a clip's first word says; the rest have nothing to do.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); name {
	case "vedette":
		main()
	case "ingest", "split", "decode", "detect", "encode", "assemble", "reconcile":
		var c store.Config
		function.Main(name, &c, func(_ context.Context, rt *function.Runtime) (function.Handler, error) {
			d, err := depot.Open(rt, c)
			switch name {
			case "ingest":
				return &ingest.Function{Bucket: c.Clips, Ledger: d.Ledger, Objects: d.Clips, Out: rt.Sink, Log: rt.Log}, err
			case "split":
				return &oracle{depot: d, out: rt.Sink}, err
			}
			return function.HandlerFunc(func(context.Context, event.Event) error { return nil }), err
		})
	default:
		os.Exit(m.Run())
	}
}

// programs links the test binary into a folder under the names of all programs.
func linkPrograms(t *testing.T) (folder string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	topology, err := knative.Load(knative.Files)
	if err != nil {
		t.Fatal(err)
	}
	folder = t.TempDir()
	for _, name := range append(names(topology), "vedette") {
		if err := os.Link(self, filepath.Join(folder, name)); err != nil {
			copyFile(t, self, filepath.Join(folder, name)) // another file system
		}
	}
	return folder
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// oracle answers to a clip at once.
type oracle struct {
	depot depot.Depot
	out   join.Emitter
}

func (o *oracle) Handle(ctx context.Context, e event.Event) error {
	var d events.Uploaded
	if err := e.DataAs(&d); err != nil {
		return function.Permanent(err)
	}
	l := o.depot.Ledger
	if done, err := l.Done(ctx, d.Clip, d.Run); err != nil || done {
		return err
	}
	clip, err := l.Clip(ctx, d.Clip)
	if err != nil {
		return err
	}
	source, err := o.depot.Clips.Open(ctx, d.Bucket, d.Key, clip.Origin.ETag)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.NewSectionReader(source, 0, clip.Origin.Size))
	if err != nil {
		return err
	}
	switch word, _, _ := bytes.Cut(body, []byte(" ")); string(word) {
	case "letter":
		return join.Reject(ctx, l, o.out, "split", d.OfRun, "not a video", "Upload a video.")
	case "poison":
		return join.Fail(ctx, l, o.out, "split", d.OfRun, ledger.Abandonment{Step: "split", Reason: "its process died"})
	case "held":
		for {
			if _, err := os.Stat(os.Getenv("FAKE_GO")); err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	crop, err := l.Side(ctx, d.Clip, "jpg", "image/jpeg", []byte("a crop"))
	if err != nil {
		return err
	}
	video, err := l.Side(ctx, d.Clip, "mp4", "video/mp4", append([]byte("drawn "), body...))
	if err != nil {
		return err
	}
	_, err = ledger.Commit(ctx, l, ledger.RunKey(d.Clip, d.Run, findings.StatusCompleted+".json"), findings.Report{
		Schema: findings.SchemaReport, Clip: d.Clip, Run: d.Run, Status: findings.StatusCompleted, Source: clip.Origin,
		Duration: 12.5, Width: 1920, Height: 1080,
		Segments: []findings.ReportedSegment{{End: 10, Active: true}, {Start: 10, End: 12.5}},
		Tracks: []findings.ReportedTrack{
			{ID: 1, Object: findings.Person, Start: 0.4, End: 9.8, Face: &findings.ReportedFace{Width: 64, Score: 0.93, Crop: crop.Key}, Crop: crop.Key},
			{ID: 2, Object: findings.Person, Start: 8, End: 12.5},
		},
		Media: &findings.Media{Annotated: video.Key, Thumbnails: []string{crop.Key}},
		Steps: map[string]findings.Expense{"split": {Runs: 1, CPUSeconds: 0.1, Seconds: 0.2}, "detect": {Runs: 2, CPUSeconds: 3, Seconds: 4}},
	})
	if err != nil {
		return err
	}
	if answered, err := join.Answer(ctx, l, o.out, "split", d.OfRun); err != nil || !answered {
		return errors.Join(errors.New("it was not answered"), err)
	}
	return nil
}
