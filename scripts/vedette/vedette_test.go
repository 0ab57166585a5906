package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vedette.dev/knative/local/port"
	"vedette.dev/shared/findings"
)

// machine is one on which the program under test runs.
type machine struct {
	t        *testing.T
	programs string
	data     string
	clips    string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	t.Parallel()
	return &machine{t: t, programs: linkPrograms(t), data: t.TempDir(), clips: t.TempDir()}
}

// clip writes a file.
func (m *machine) clip(name, text string) string {
	m.t.Helper()
	file := filepath.Join(m.clips, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return file
}

// started is a command under way.
type started struct {
	*exec.Cmd
	out, err *output
}

func (m *machine) start(args ...string) *started {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute) // only a broken test takes so long
	m.t.Cleanup(cancel)
	s := &started{exec.CommandContext(ctx, filepath.Join(m.programs, "vedette"), args...), &output{}, &output{}}
	s.Env = append(os.Environ(), "VEDETTE_DATA="+m.data, "VEDETTE_S3_ENDPOINT=", "VEDETTE_DRAIN=100ms", "FAKE_GO="+filepath.Join(m.data, "go"))
	s.Stdout, s.Stderr = s.out, s.err
	if err := s.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = s.Process.Kill() })
	return s
}

// end waits for a command's end.
func (s *started) end() int {
	_ = s.Wait()
	return s.ProcessState.ExitCode()
}

// run runs a command to its end, which must be of a certain kind.
func (m *machine) run(want int, args ...string) (stdout, stderr string) {
	m.t.Helper()
	s := m.start(args...)
	if code := s.end(); code != want {
		m.t.Fatalf("vedette %s: exit %d, want %d\n%s%s", strings.Join(args, " "), code, want, s.out, s.err)
	}
	return s.out.String(), s.err.String()
}

// anywhere is an up that listens where nobody else does.
func (m *machine) anywhere() []string {
	m.t.Helper()
	free, err := port.Free("127.0.0.1", func(int) bool { return false })
	if err != nil {
		m.t.Fatal(err)
	}
	return []string{"up", "--listen", "127.0.0.1:0", "--s3", net.JoinHostPort("127.0.0.1", strconv.Itoa(free))}
}

// up starts Vedette and waits until it runs.
func (m *machine) up() *started {
	m.t.Helper()
	up := m.start(m.anywhere()...)
	m.eventually(up, func() bool { return strings.Contains(up.err.String(), "Ctrl-C") })
	return up
}

func (m *machine) eventually(s *started, is func() bool) {
	m.t.Helper()
	for began := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 30*time.Second { // only a broken test waits so long
			m.t.Fatalf("it never came to that\n%s%s", s.out, s.err)
		}
	}
}

func reports(t *testing.T, text string) (list []findings.Report) {
	t.Helper()
	for line := range strings.Lines(text) {
		var r findings.Report
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		list = append(list, r)
	}
	return list
}

func TestProcess(t *testing.T) {
	m := newMachine(t)
	good, letter, poison := m.clip("door.mp4", "good one"), m.clip("letter.mp4", "letter one"), m.clip("poison.mp4", "poison one")
	other := m.clip("yard/door.mp4", "good another")
	out := t.TempDir()

	stdout, stderr := m.run(exitRejected, "process", good, letter, "--json", other, "--out", out, good)
	all := reports(t, stdout)
	if len(all) != 3 || all[0].Status != "completed" || all[1].Status != "rejected" || all[1].Reason != "not a video" || all[2].Status != "completed" {
		t.Fatalf("standard output: %s", stdout)
	}
	for _, want := range []string{"letter.mp4 is rejected: not a video. Upload a video.", "door.mp4  is completed"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("standard error does not say %q: %s", want, stderr)
		}
	}
	for file, want := range map[string]string{
		"door/annotated.mp4": "drawn good one", "door-2/annotated.mp4": "drawn good another",
		"door/thumbnails/1.jpg": "a crop", "door/tracks/1.jpg": "a crop", "door/tracks/1-face.jpg": "a crop",
	} {
		if text, err := os.ReadFile(filepath.Join(out, file)); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", file, text, err)
		}
	}
	var written findings.Report
	text, err := os.ReadFile(filepath.Join(out, "door", "report.json"))
	if err != nil || json.Unmarshal(text, &written) != nil || written.Clip != all[0].Clip {
		t.Errorf("report.json: %s, %v", text, err)
	}

	// Known clips are answered from the ledger; --again and replay make new runs.
	stdout, stderr = m.run(exitDone, "process", good)
	if !strings.Contains(stderr, "door.mp4 is known") || !strings.Contains(stdout, "1       person   0:00.4   0:09.8   64 px wide, score 0.93") {
		t.Errorf("a known clip: %s%s", stdout, stderr)
	}
	stdout, _ = m.run(exitDone, "process", "--again", "--json", good)
	if again := reports(t, stdout); len(again) != 1 || again[0].Run != 2 || again[0].Clip != all[0].Clip {
		t.Errorf("--again: %s", stdout)
	}
	stdout, _ = m.run(exitDone, "replay", all[0].Clip[:8], "--json")
	if again := reports(t, stdout); len(again) != 1 || again[0].Run != 3 {
		t.Errorf("replay: %s", stdout)
	}

	stdout, stderr = m.run(exitFailed, "process", "--json", poison, letter)
	if failed := reports(t, stdout); len(failed) != 2 || failed[0].Status != "failed" || !strings.Contains(stderr, "gave up on split") {
		t.Errorf("a clip that failed: %s%s", stdout, stderr)
	}

	stdout, _ = m.run(exitDone, "clips")
	if n := strings.Count(stdout, "\n"); n != 5 || !strings.Contains(stdout, "poison.mp4") {
		t.Errorf("clips: %s", stdout)
	}
	stdout, _ = m.run(exitDone, "report", all[0].Clip[:8], "--json", "--run", "2")
	if r := reports(t, stdout); len(r) != 1 || r[0].Run != 2 {
		t.Errorf("report: %s", stdout)
	}
	m.run(exitFailed, "report", "nothing")
}

func TestProcessRefuses(t *testing.T) {
	m := newMachine(t)
	for _, args := range [][]string{
		{"process"}, {"process", "nothing.mp4"}, {"process", m.clips}, {"process", "--nonsense"}, {"nonsense"}, {"up", "here"},
		{"upload", m.clip("door.mp4", "good")}, // nobody runs
	} {
		if stdout, stderr := m.run(exitFailed, args...); stdout != "" || stderr == "" {
			t.Errorf("%v: %q, %q", args, stdout, stderr)
		}
	}
}

func TestUp(t *testing.T) {
	m := newMachine(t)
	up := m.up()
	door := m.clip("door.mp4", "good one")

	key, _ := m.run(exitDone, "upload", "--camera", "front", door)
	if !strings.HasPrefix(key, "front/") || !strings.HasSuffix(key, "-door.mp4\n") {
		t.Errorf("key %q", key)
	}
	m.eventually(up, func() bool { return strings.Contains(up.err.String(), "door.mp4  is completed") })
	stdout, _ := m.run(exitDone, "clips")
	if !strings.Contains(stdout, "front") {
		t.Errorf("clips: %s", stdout)
	}
	// process uses the one that runs.
	if _, stderr := m.run(exitDone, "process", "--camera", "front", door); !strings.Contains(stderr, "is known") {
		t.Errorf("process: %s", stderr)
	}
	if _, stderr := m.run(exitDone, "up"); !strings.Contains(stderr, "It runs already") {
		t.Errorf("a second up: %s", stderr)
	}

	if err := up.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := up.end(); code != exitDone || up.out.String() != "" {
		t.Errorf("up ended with %d, and said %q", code, up.out)
	}
	if _, err := os.Stat(filepath.Join(m.data, "up.json")); !os.IsNotExist(err) {
		t.Error("it still says where it is")
	}
	for _, file := range []string{"credentials", "lock"} {
		if info, err := os.Stat(filepath.Join(m.data, file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
}

// Who ends without a terminal ends after the sample.
func TestUpWithSample(t *testing.T) {
	m := newMachine(t)
	stdout, stderr := m.run(exitDone, append(m.anywhere(), "--sample", m.clip("door.mp4", "good one"))...)
	if !strings.Contains(stdout, "door.mp4  completed") || !strings.Contains(stderr, "Vedette is up") {
		t.Errorf("%s%s", stdout, stderr)
	}
	m.run(exitRejected, append(m.anywhere(), "--sample", m.clip("letter.mp4", "letter"))...)
}

// A Vedette that is killed takes its functions with it, and nothing is lost: whoever waits goes on by themselves.
func TestKilled(t *testing.T) {
	m := newMachine(t)
	clip := m.clip("held.mp4", "held")
	m.kill(1, "process", "--json", clip)
	m.kill(2, "process", "--json", "--again", clip)
}

// kill kills a Vedette while a command waits for a run of a clip, and sees how the command ends.
func (m *machine) kill(run int, command ...string) {
	m.t.Helper()
	let := filepath.Join(m.data, "go")
	if err := os.RemoveAll(let); err != nil {
		m.t.Fatal(err)
	}
	up := m.up()
	waiting := m.start(command...)
	m.eventually(waiting, func() bool { return strings.Contains(up.err.String(), "is a clip") })
	functions := children(m.t, up.Process.Pid)
	if len(functions) == 0 {
		m.t.Fatal("no function runs")
	}
	if err := up.Process.Kill(); err != nil {
		m.t.Fatal(err)
	}
	up.end()
	m.eventually(up, func() bool { return !slices.ContainsFunc(functions, lives) })

	if err := os.WriteFile(let, nil, 0o600); err != nil {
		m.t.Fatal(err)
	}
	if code := waiting.end(); code != exitDone {
		m.t.Fatalf("exit %d\n%s%s", code, waiting.out, waiting.err)
	}
	if r := reports(m.t, waiting.out.String()); len(r) != 1 || r[0].Status != "completed" || r[0].Run != run {
		m.t.Errorf("%s", waiting.out)
	}
	if said := waiting.err.String(); !strings.Contains(said, "going on without it") {
		m.t.Errorf("%s", said)
	}
}

func TestTimeout(t *testing.T) {
	m := newMachine(t)
	_, stderr := m.run(exitFailed, "process", "--timeout", "500ms", m.clip("held.mp4", "held"))
	if !strings.Contains(stderr, "held.mp4: not finished within 500ms") {
		t.Error(stderr)
	}
}

func TestDoctor(t *testing.T) {
	m := newMachine(t)
	stdout, _ := m.run(exitDone, "doctor")
	for _, want := range []string{"machine", "store", "exactly one won", "detect     ready"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it does not say %q: %s", want, stdout)
		}
	}
	if err := os.Remove(filepath.Join(m.programs, "detect")); err != nil {
		t.Fatal(err)
	}
	if stdout, _ := m.run(exitFailed, "doctor"); !strings.Contains(stdout, "make build") {
		t.Errorf("without a program: %s", stdout)
	}
}

// children are the processes that a process started.
func children(t *testing.T, parent int) (list []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		if _, its := stat(pid); its == parent {
			list = append(list, pid)
		}
	}
	return list
}

// lives says whether a process runs; one that has ended may still wait for its parent to look.
func lives(pid int) bool {
	state, _ := stat(pid)
	return state != "" && state != "Z"
}

func stat(pid int) (state string, parent int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	_, _ = fmt.Sscan(rest, &state, &parent)
	return state, parent
}
