package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"vedette.dev/events"
	"vedette.dev/knative/local"
	"vedette.dev/shared/findings"
)

func TestClock(t *testing.T) {
	for s, want := range map[float64]string{0: "0:00.0", 9.96: "0:10.0", 59.94: "0:59.9", 59.96: "1:00.0", 3599.96: "1:00:00.0", 7325.25: "2:02:05.3"} {
		if got := clock(s); got != want {
			t.Errorf("%v: %s, want %s", s, got, want)
		}
	}
}

func TestShortName(t *testing.T) {
	for key, want := range map[string]string{
		"45cddc9490be-vtest.avi":         "vtest.avi",
		"door/45cddc9490be-a-b.mp4":      "a-b.mp4",
		"door/2024-05-01T12-00-00Z.mp4":  "2024-05-01T12-00-00Z.mp4",
		"not-a-digest.mp4":               "not-a-digest.mp4",
		"0123456789ab-":                  "0123456789ab-",
		"front/zzzzzzzzzzzz-garden.webm": "zzzzzzzzzzzz-garden.webm",
	} {
		if got := shortName(key); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}

// The key of a clip is of its content, so that nothing overwrites anything and what is known is recognized.
func TestKeys(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	keys := map[string]bool{}
	for _, c := range [][3]string{{"a.mp4", "one", ""}, {"a.mp4", "two", ""}, {"b.mp4", "one", ""}, {"a.mp4", "one", "door"}} {
		clip, err := openClip(write(c[0], c[1]), c[2])
		if err != nil {
			t.Fatal(err)
		}
		if keys[clip.key] || shortName(clip.key) != c[0] || filepath.Dir(clip.key) != max(c[2], ".") {
			t.Errorf("%v has key %s", c, clip.key)
		}
		keys[clip.key] = true
	}
	list, err := openClips([]string{write("x.mp4", "x"), write("x.mp4", "x")}, "")
	if err != nil || len(list) != 1 {
		t.Errorf("a clip named twice: %v, %v", list, err)
	}
}

func TestFolders(t *testing.T) {
	f := folders{}
	var got []string
	for _, name := range []string{"a.mp4", "a.avi", "b", ".hidden", "a.mp4"} {
		got = append(got, f.unique(name))
	}
	if diff := cmp.Diff([]string{"a", "a-2", "b", ".hidden", "a-3"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFirstLines(t *testing.T) {
	log := `exit status 1
it last said: {"time":"2026-01-01T00:00:00Z","level":"INFO","msg":"listening"}
{"time":"2026-01-01T00:00:00Z","level":"ERROR","msg":"stopped","error":"no library","hint":"run set-up"}`
	if got, want := firstLines(log), "exit status 1\n    no library (run set-up)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := firstLines(strings.Repeat("x\n", 100)); strings.Count(got, "\n") != 4 {
		t.Errorf("a long one: %q", got)
	}
}

// What a watcher says of a clip's way; and of nobody else's.
func TestWatcher(t *testing.T) {
	said := &output{}
	w := newWatcher(&console{out: screen{said, false}, err: screen{said, false}})
	clip := w.expect("door.mp4", "id", "key")
	run := events.OfRun{Clip: "id", Run: 1}
	at := events.OfSegment{OfRun: run, Segment: 2}
	for _, e := range []event.Event{
		events.Stored{Bucket: "clips", Key: "key"}.Event("s3"),
		events.Uploaded{OfRun: run, Key: "key"}.Event("ingest"),
		events.Cut{OfSegment: at, StartUS: 20_000_000, EndUS: 31_500_000}.Event("split"),
		events.Decoded{OfSegment: at, Active: true, Frames: 57}.Event("decode"),
		events.Detected{OfSegment: at, Persons: 2, Faces: 1}.Event("detect"),
		events.Analyzed{OfSegment: at, Failed: true}.Event("detect"),
		events.Encoded{OfSegment: at}.Event("encode"),
		events.Encoded{OfSegment: at}.Event("encode"), // once more
		events.Reported{OfRun: run, Persons: 2}.Analyzed("assemble"),
		events.Reported{OfRun: run, Status: "completed"}.Completed("assemble"),
		events.Uploaded{OfRun: events.OfRun{Clip: "other", Run: 1}, Key: "other"}.Event("ingest"),
	} {
		w.take(local.Notice{Kind: local.Published, Event: &local.Event{Type: e.Type(), ID: e.ID(), Subject: e.Subject(), Data: e.Data()}})
	}
	failed := local.Notice{Kind: local.Failed, Function: "detect", Text: "detect: out of memory", Event: &local.Event{Type: events.SegmentDecoded, Subject: "id"}}
	w.take(failed)
	w.take(failed) // soon again: not told
	w.take(local.Notice{Kind: local.Dead, Function: "ingest", Text: "no store", Event: &local.Event{Type: "com.amazonaws.s3.ObjectCreated:Put", Subject: "key"}})

	var got []string
	for line := range strings.Lines(said.String()) {
		_, text, _ := strings.Cut(line, "door.mp4")
		got = append(got, strings.TrimSpace(text))
	}
	want := []string{
		"is a clip; looking into it", "segment 2, 0:20.0 to 0:31.5, goes to decode", "segment 2 is active, 57 frames to look at",
		"segment 2 shows 2 persons and 1 face", "segment 2 could not be analyzed", "segment 2 is drawn",
		"is analyzed: 2 persons, no face", "is completed",
		": detect failed and is tried again: out of memory", ": ingest is given up: no store",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if why := clip.lost.Load(); why == nil || *why != "ingest does not take it: no store" {
		t.Errorf("lost: %v", why)
	}
	select {
	case <-clip.wake:
	default:
		t.Error("who waits is not woken")
	}
}

func TestTable(t *testing.T) {
	c := &console{}
	got := table(c, "door.mp4", findings.Report{
		Status: findings.StatusCompleted, Duration: 12.5, Width: 1920, Height: 1080,
		Source:   findings.Origin{Camera: "front", Captured: time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC), By: "key", SureS: 2},
		Segments: []findings.ReportedSegment{{End: 10, Active: true}, {Start: 10, End: 12.5}},
		Tracks: []findings.ReportedTrack{
			{ID: 1, Object: "person", Start: 0.4, End: 9.8, Face: &findings.ReportedFace{Width: 64, Score: 0.934}},
			{ID: 2, Object: "person", Start: 8, End: 12.5},
		},
		Steps: map[string]findings.Expense{"detect": {Runs: 1, CPUSeconds: 3, Seconds: 4}, "split": {Runs: 1, CPUSeconds: 0.1, Seconds: 0.2}},
	})
	want := `
door.mp4  completed
0:12.5 of 1920x1080, 2 segments, 1 of them active, camera front
taken 2024-05-01T12:00:00Z ± 2s, as known by key

track   object   from     to       face
1       person   0:00.4   0:09.8   64 px wide, score 0.93
2       person   0:08.0   0:12.5   not seen

step     runs   cpu      wall
split    1      0.10 s   0.20 s
detect   1      3.00 s   4.00 s`
	if diff := cmp.Diff(want, trimLines(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func trimLines(text string) string {
	var list []string
	for line := range strings.Lines(text) {
		list = append(list, strings.TrimRight(line, " \n"))
	}
	return strings.Join(list, "\n")
}

func TestHome(t *testing.T) {
	folder := t.TempDir()
	environment := map[string]string{"XDG_DATA_HOME": folder}
	h, err := openHome(func(name string) string { return environment[name] })
	if err != nil || h.folder != filepath.Join(folder, "vedette") {
		t.Fatalf("%v, %v", h, err)
	}
	access, secret, err := h.keys()
	if err != nil || access == "" || len(secret) < 40 {
		t.Fatalf("keys %q, %q, %v", access, secret, err)
	}
	if a, s, err := h.keys(); err != nil || a != access || s != secret {
		t.Errorf("the keys did not stay: %q, %q, %v", a, s, err)
	}
	if err := os.WriteFile(h.path("credentials"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.keys(); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("an empty file of keys: %v", err)
	}

	first, err := h.lock()
	if err != nil || first == nil {
		t.Fatal(first, err)
	}
	if second, err := h.lock(); err != nil || second != nil {
		t.Errorf("locked twice: %v, %v", second, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if again, err := h.lock(); err != nil || again == nil {
		t.Errorf("not free again: %v, %v", again, err)
	}
}

func TestLogsAreKeptSmall(t *testing.T) {
	h := home{t.TempDir()}
	file, err := h.log("decode")
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(largestLog + 1); err != nil {
		t.Fatal(err)
	}
	if file, err = h.log("decode"); err != nil {
		t.Fatal(err)
	}
	if info, err := file.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("a log that is full is gone on with: %v, %v", info, err)
	}
	if _, err := os.Stat(h.path("logs", "decode.log.old")); err != nil {
		t.Error(err)
	}
}

func TestOptionsMayStandAnywhere(t *testing.T) {
	o := newOptions(&console{err: screen{&output{}, false}}, "test", "", "")
	out := o.String("out", "", "")
	asJSON := o.Bool("json", false, "")
	rest, err := o.parse([]string{"a", "--json", "b", "--out", "x", "c"})
	if err != nil || *out != "x" || !*asJSON || strings.Join(rest, "") != "abc" {
		t.Errorf("%v, %v, %v, %v", rest, *out, *asJSON, err)
	}
}
