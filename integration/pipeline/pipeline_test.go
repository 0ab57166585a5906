// Package pipeline tests the whole on one machine, as a user would: the programs as they are built, real S3, real
// processes, real media. It needs what scripts/setup brings.
package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/media"
)

// bin is where TestMain builds the programs.
var bin string

func TestMain(m *testing.M) {
	code, err := build(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func build(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "vedette-bin")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	bin = dir
	mains, err := filepath.Glob("../../functions/*/cmd/*")
	if err != nil {
		return 1, err
	}
	arguments := []string{"build", "-o", dir + "/", "../../scripts/vedette"}
	for _, main := range mains {
		arguments = append(arguments, "./"+main)
	}
	if out, err := exec.Command("go", arguments...).CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// machine is a Vedette with a data directory of its own.
type machine struct {
	t    *testing.T
	data string
}

func newMachine(t *testing.T) machine { return machine{t, t.TempDir()} }

// vedette runs the command line and returns what it prints and its exit code.
func (m machine) vedette(arguments ...string) (stdout, stderr string, code int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 8*time.Minute)
	defer cancel()
	var out, log bytes.Buffer
	c := exec.CommandContext(ctx, filepath.Join(bin, "vedette"), arguments...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 30 * time.Second
	c.Env = append(os.Environ(), "VEDETTE_DATA="+m.data)
	c.Stdout, c.Stderr = &out, &log
	err := c.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		m.t.Fatalf("vedette %s: %v\n%s", strings.Join(arguments, " "), err, log.String())
	}
	m.t.Logf("vedette %s: exit %d\n%s", strings.Join(arguments, " "), c.ProcessState.ExitCode(), log.String())
	return out.String(), log.String(), c.ProcessState.ExitCode()
}

// reports reads what process --json prints.
func (m machine) reports(stdout string) []findings.Report {
	m.t.Helper()
	var all []findings.Report
	for line := range strings.Lines(stdout) {
		var r findings.Report
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			m.t.Fatalf("%v in %q", err, line)
		}
		all = append(all, r)
	}
	return all
}

// walkers writes eighteen seconds of the sample as H.264 with a keyframe every twelve.
func walkers(t *testing.T, path string) {
	t.Helper()
	sample := os.Getenv("VEDETTE_SAMPLE")
	body, err := os.ReadFile(sample)
	if err != nil {
		t.Fatalf("the sample is missing (%v): run scripts/setup, and source the file of environment that it names", err)
	}
	made, err := media.Encode(t.Context(), bytes.NewReader(body), media.EncodeOptions{
		Span: media.Span{Start: 0, End: 18_000_000}, Width: 768, Height: 576, Threads: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, made.MP4)
}

func write(t *testing.T, path string, body []byte) {
	t.Helper()
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestClipsBecomeReports(t *testing.T) {
	m := newMachine(t)
	clips, out := t.TempDir(), t.TempDir()
	path := func(name string) string { return filepath.Join(clips, name) }
	walkers(t, path("walkers.mp4"))
	good, err := os.ReadFile(path("walkers.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, path("empty.mp4"), nil)
	write(t, path("truncated.mp4"), good[:len(good)/2])
	write(t, path("letter.mp4"), []byte("Dear camera, you are no video.\n"))
	bad := map[string]string{"empty.mp4": "empty", "truncated.mp4": "truncated", "letter.mp4": "not a video"}

	stdout, stderr, code := m.vedette("process", "--json", "--out", out,
		path("empty.mp4"), path("walkers.mp4"), path("truncated.mp4"), path("letter.mp4"))
	if code != 2 {
		t.Errorf("exit %d, want 2 because some were rejected", code)
	}
	all := m.reports(stdout)
	if len(all) != 4 {
		t.Fatalf("%d reports, want 4", len(all))
	}
	for _, r := range all {
		file := name(r)
		reason, rejected := bad[file]
		switch {
		case rejected && (r.Status != findings.StatusRejected || r.Reason != reason || r.Hint == ""):
			t.Errorf("%s: %s, reason %q, hint %q; want rejected: %s", file, r.Status, r.Reason, r.Hint, reason)
		case rejected && !strings.Contains(stderr, r.Hint):
			t.Errorf("%s: standard error does not tell the hint %q", file, r.Hint)
		case !rejected:
			checkWalkers(t, r)
		}
	}
	for _, file := range []string{"report.json", "annotated.mp4"} {
		if _, err := os.Stat(filepath.Join(out, "walkers", file)); err != nil {
			t.Error(err)
		}
	}
	checkVideo(t, filepath.Join(out, "walkers", "annotated.mp4"))
	t.Run("browser", func(t *testing.T) { checkBrowser(t, m, filepath.Join(out, "walkers")) })

	// The same clip again is answered from the ledger; --again makes a new run, which finds the same.
	first := find(t, all, "walkers.mp4")
	stdout, _, code = m.vedette("process", "--json", path("walkers.mp4"))
	if known := m.reports(stdout); code != 0 || len(known) != 1 || known[0].Run != first.Run {
		t.Errorf("a known clip: exit %d, %+v; want the first run's report", code, known)
	}
	stdout, _, code = m.vedette("process", "--json", "--again", path("walkers.mp4"))
	again := m.reports(stdout)
	if code != 0 || len(again) != 1 || again[0].Run == first.Run {
		t.Fatalf("--again: exit %d, %d reports, want a new run", code, len(again))
	}
	same(t, first, again[0])
}

// name is that of the file that a report is of: process puts a digest before it, so that files of one name do not meet.
func name(r findings.Report) string {
	_, file, _ := strings.Cut(filepath.Base(r.Source.Key), "-")
	return file
}

func find(t *testing.T, all []findings.Report, file string) findings.Report {
	t.Helper()
	for _, r := range all {
		if name(r) == file {
			return r
		}
	}
	t.Fatalf("no report of %s", file)
	return findings.Report{}
}

// checkWalkers checks what everybody can see in the sample: people walk through a street all the time.
func checkWalkers(t *testing.T, r findings.Report) {
	t.Helper()
	if r.Status != findings.StatusCompleted || r.Duration < 17.9 || r.Duration > 18.1 {
		t.Errorf("%s: %s of %.1f s: %s", r.Source.Key, r.Status, r.Duration, r.Reason)
	}
	at := 0.
	for i, s := range r.Segments {
		if s.Start != at || !s.Active {
			t.Errorf("segment %d is %+v, want an active one from %.3f", i, s, at)
		}
		at = s.End
	}
	if len(r.Segments) != 2 || at != r.Duration {
		t.Errorf("%d segments end at %.3f, want 2 at %.3f", len(r.Segments), at, r.Duration)
	}
	long := 0
	for _, tr := range r.Tracks {
		if tr.Start < 0 || tr.End < tr.Start || tr.End > r.Duration {
			t.Errorf("track %+v lies outside of the clip", tr)
		}
		if tr.Object == findings.Person && tr.End-tr.Start > 5 {
			long++
		}
	}
	if long < 5 || len(r.Tracks) > 20 {
		t.Errorf("%d tracks, of which %d persons for more than five seconds; want at least 5 such, of not more than 20", len(r.Tracks), long)
	}
	for _, step := range []string{findings.Split, findings.Decode, findings.Detect, findings.Assemble, findings.Encode} {
		if e := r.Steps[step]; e.Runs == 0 {
			t.Errorf("the report does not tell what %s cost", step)
		}
	}
}

// same checks that two runs of a clip found the same.
func same(t *testing.T, a, b findings.Report) {
	t.Helper()
	strip := func(r findings.Report) string {
		text, err := json.MarshalIndent(struct {
			Segments []findings.ReportedSegment
			Tracks   []findings.ReportedTrack
		}{r.Segments, r.Tracks}, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if x, y := strip(a), strip(b); x != y {
		t.Errorf("two runs of one clip differ:\n%s\n%s", x, y)
	}
}

// checkVideo decodes the annotated video, all of it.
func checkVideo(t *testing.T, path string) {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := media.Probe(t.Context(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if info.Video.Codec != "h264" || info.Video.Width != 768 || info.Duration < 17_800_000 || info.Duration > 18_200_000 {
		t.Errorf("annotated.mp4 is %+v", info)
	}
	d, err := media.Decode(t.Context(), bytes.NewReader(body), media.DecodeOptions{Format: media.Gray, MaxWidth: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	frames := 0
	for {
		if _, err := d.Next(); err != nil {
			break
		}
		frames++
	}
	if frames != 180 || d.Skipped() > 0 {
		t.Errorf("%d frames, %d damaged; want 180 sound ones", frames, d.Skipped())
	}
}
