package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/ledger/ledgertest"
)

func TestClipID(t *testing.T) {
	a := ledger.ClipID("clips", "a/b.mp4", "e1")
	if len(a) != 32 || a != ledger.ClipID("clips", "a/b.mp4", `"e1"`) {
		t.Errorf("%s: want 32 digits, whether or not the ETag is quoted", a)
	}
	for _, other := range []string{
		ledger.ClipID("clips", "a/b.mp4", "e2"), ledger.ClipID("clip", "sa/b.mp4", "e1"), ledger.ClipID("clips", "a/b.mp4e", "1"),
	} {
		if other == a {
			t.Error("two different clips have the same id")
		}
	}
}

func TestCommit(t *testing.T) {
	type document struct{ By string }
	l := ledger.New(ledgertest.New())
	for _, by := range []string{"first", "second"} {
		got, err := ledger.Commit(t.Context(), l, "c/1/x.json", document{by})
		if err != nil || got.By != "first" {
			t.Errorf("commit by the %s: %v, %v, want what the first wrote", by, got, err)
		}
	}
}

func TestSide(t *testing.T) {
	b := ledgertest.New()
	l := ledger.New(b)
	var refs []findings.Ref
	for range 2 {
		r, err := l.Side(t.Context(), "c", "jpg", "image/jpeg", []byte("picture"))
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, r)
	}
	if refs[0] != refs[1] || refs[0].Size != 7 || refs[0].Key != "c/side/"+refs[0].SHA256+".jpg" {
		t.Errorf("%+v", refs)
	}
	if body, err := l.Fetch(t.Context(), refs[0]); err != nil || string(body) != "picture" {
		t.Errorf("%q, %v", body, err)
	}
}

// plan commits parts of so many segments each.
func plan(t *testing.T, l *ledger.Ledger, window int, parts ...int) {
	t.Helper()
	first := 0
	for i, n := range parts {
		p := ledger.Plan{
			Part: i, First: first, Last: i+1 == len(parts), Window: window,
			Requires: ledger.Requirements{Always: []string{findings.Decode}, Staged: []string{findings.Detect}},
		}
		for range n {
			p.Segments = append(p.Segments, ledger.Segment{Index: first, StartUS: int64(first) * 1e6})
			first++
		}
		commit(t, l, ledger.Part(clipID, 1, i), p)
	}
}

func commit[T any](t *testing.T, l *ledger.Ledger, w ledger.Work, doc T) {
	t.Helper()
	if _, err := ledger.Commit(t.Context(), l, w.Key(), doc); err != nil {
		t.Fatal(err)
	}
}

func step(segment int, name string) ledger.Work {
	return ledger.Work{Clip: clipID, Run: 1, Segment: segment, Step: name}
}

func TestSegment(t *testing.T) {
	l := ledger.New(ledgertest.New())
	if _, _, err := l.Segment(t.Context(), clipID, 1, 0); !errors.Is(err, ledger.ErrNotExist) {
		t.Errorf("without a plan: %v, want ErrNotExist", err)
	}
	parts := []int{3, 1, 4, 1, 5, 9, 2, 6}
	plan(t, l, 2, parts...)
	segment := 0
	for part, n := range parts {
		for range n {
			p, s, err := l.Segment(t.Context(), clipID, 1, segment)
			if err != nil || p.Part != part || s.Index != segment {
				t.Errorf("segment %d: part %d, index %d, %v, want part %d", segment, p.Part, s.Index, err, part)
			}
			segment++
		}
	}
	for _, none := range []int{-1, segment, segment + 100} {
		if _, _, err := l.Segment(t.Context(), clipID, 1, none); !errors.Is(err, ledger.ErrNotExist) {
			t.Errorf("segment %d: %v, want ErrNotExist", none, err)
		}
	}
}

// TestSegmentOfLongClip has finding a segment cost a few requests, however long the clip is.
func TestSegmentOfLongClip(t *testing.T) {
	b := ledgertest.New()
	plan(t, ledger.New(b), 4, slices.Repeat([]int{6}, 60)...)
	requests := 0
	l := ledger.New(&ledgertest.Process{Bucket: b, Before: func(ledgertest.Op) error { requests++; return nil }})
	if _, _, err := l.Segment(t.Context(), clipID, 1, 337); err != nil || requests > 10 {
		t.Errorf("%d requests, %v", requests, err)
	}
	requests = 0
	if _, _, err := l.Segment(t.Context(), clipID, 1, 338); err != nil || requests > 1 {
		t.Errorf("%d requests for its neighbour, %v", requests, err)
	}
}

func TestConclude(t *testing.T) {
	staged := findings.Decoded{Active: true, Staged: &findings.Ref{Key: "x"}}
	for _, c := range []struct {
		name string
		to   func(l *ledger.Ledger)
		want ledger.State
		next bool
	}{
		{"nothing found", func(*ledger.Ledger) {}, ledger.Open, false},
		{"decoded, to be looked at", func(l *ledger.Ledger) { commit(t, l, step(0, findings.Decode), staged) }, ledger.Open, false},
		{"quiet", func(l *ledger.Ledger) { commit(t, l, step(0, findings.Decode), findings.Decoded{}) }, ledger.Quiet, true},
		{"active", func(l *ledger.Ledger) {
			commit(t, l, step(0, findings.Decode), staged)
			commit(t, l, step(0, findings.Detect), findings.Objects{})
		}, ledger.Active, true},
		{"looked at, and quiet all the same", func(l *ledger.Ledger) {
			commit(t, l, step(0, findings.Decode), findings.Decoded{Staged: staged.Staged})
			commit(t, l, step(0, findings.Detect), findings.Objects{})
		}, ledger.Quiet, true},
		{"decode given up", func(l *ledger.Ledger) { giveUp(t, l, step(0, findings.Decode)) }, ledger.Failed, true},
		{"detect given up", func(l *ledger.Ledger) {
			commit(t, l, step(0, findings.Decode), staged)
			giveUp(t, l, step(0, findings.Detect))
		}, ledger.Failed, true},
		{"given up, and found after all", func(l *ledger.Ledger) {
			commit(t, l, step(0, findings.Decode), staged)
			giveUp(t, l, step(0, findings.Detect))
			if _, err := l.Conclude(t.Context(), clipID, 1, 0); err != nil {
				t.Fatal(err)
			}
			commit(t, l, step(0, findings.Detect), findings.Objects{})
		}, ledger.Active, true},
		{"the next is there already", func(l *ledger.Ledger) {
			commit(t, l, step(0, findings.Decode), findings.Decoded{})
			commit(t, l, step(2, findings.Decode), findings.Decoded{})
		}, ledger.Quiet, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := ledger.New(ledgertest.New())
			plan(t, l, 2, 2, 2)
			c.to(l)
			for range 2 { // it is safe to repeat
				got, err := l.Conclude(t.Context(), clipID, 1, 0)
				if err != nil || got.State != c.want || (got.Next != nil) != c.next || c.next && got.Next.Index != 2 {
					t.Fatalf("%+v, %v, want %q, next %t", got, err, c.want, c.next)
				}
			}
			p, err := l.Progress(t.Context(), clipID, 1)
			if err != nil || p.States[0] != c.want {
				t.Errorf("progress says %q, %v, want %q", p.States[0], err, c.want)
			}
			if when := p.Concluded(0); when.IsZero() != (c.want == ledger.Open) {
				t.Errorf("concluded at %v", when)
			}
		})
	}
}

func giveUp(t *testing.T, l *ledger.Ledger, w ledger.Work) {
	t.Helper()
	if _, err := l.GiveUp(t.Context(), w, "in this test"); err != nil {
		t.Fatal(err)
	}
}

func TestProgress(t *testing.T) {
	b := ledgertest.New()
	l := ledger.New(b)
	plan(t, l, 2, 2, 1)
	commit(t, l, step(1, findings.Decode), findings.Decoded{})
	if _, err := l.Conclude(t.Context(), clipID, 1, 1); err != nil {
		t.Fatal(err)
	}
	giveUp(t, l, step(0, findings.Encode))
	giveUp(t, l, step(ledger.Whole, findings.Assemble))
	commit(t, l, step(ledger.Whole, findings.StatusAnalyzed), findings.Report{})
	for _, other := range []string{"run.json", "original.m3u8"} {
		if err := b.Put(t.Context(), clipID+"/1/"+other, nil, ""); err != nil {
			t.Fatal(err)
		}
	}
	p, err := l.Progress(t.Context(), clipID, 1)
	if err != nil {
		t.Fatal(err)
	}
	type summary struct {
		Parts, Segments int
		Planned, Whole  bool
		States          map[int]ledger.State
		Steps, Dead     map[int][]string
		Answers         []string
	}
	got := summary{len(p.Parts), len(p.Segments), p.Planned, p.Whole(), p.States, p.Steps, p.Dead, p.Answers}
	want := summary{
		Parts: 2, Segments: 3, Planned: true,
		States:  map[int]ledger.State{1: ledger.Quiet},
		Steps:   map[int][]string{1: {findings.Decode}, ledger.Whole: {"plan-00000", "plan-00001"}},
		Dead:    map[int][]string{0: {findings.Encode}, ledger.Whole: {findings.Assemble}},
		Answers: []string{findings.StatusAnalyzed},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for segment, enters := range []bool{true, false, false} { // 0 is due, 1 is decoded, 2 waits for 0
		if p.Enters(segment) != enters {
			t.Errorf("segment %d: enters %t", segment, !enters)
		}
	}
	if !p.Has(1, findings.Decode) || p.Has(0, findings.Decode) || !p.GaveUp(0, findings.Encode) || p.PartOf(2).Part != 1 {
		t.Errorf("%+v", p)
	}
	if p.Written(1, findings.Decode).IsZero() || p.Written(ledger.Whole, "plan-00001").IsZero() || !p.Written(2, findings.Decode).IsZero() {
		t.Error("times of writing are wrong")
	}
	if err := b.Put(t.Context(), clipID+"/1/seg/x/decode.json", nil, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Progress(t.Context(), clipID, 1); err == nil || !strings.Contains(err.Error(), "seg/x/decode.json") {
		t.Errorf("with an object that does not belong there: %v, want it named", err)
	}
}

func TestOpenAndClose(t *testing.T) {
	b := ledgertest.New()
	l := ledger.New(b)
	c := ledger.Clip{ID: clipID, Day: "2026-11-22"}
	opened := b.Now()
	for range 2 {
		if open, err := l.Open(t.Context(), c, 1); err != nil || !open {
			t.Fatalf("%t, %v", open, err)
		}
		b.Advance(time.Minute)
	}
	runs, err := l.OpenRuns(t.Context())
	if diff := cmp.Diff([]ledger.Reference{{Clip: clipID, Run: 1, Day: "2026-11-22", Since: opened}}, runs); err != nil || diff != "" {
		t.Errorf("under way: %v (-want +got)\n%s", err, diff)
	}
	for range 2 {
		if err := l.Close(t.Context(), c, 1); err != nil {
			t.Fatal(err)
		}
	}
	if open, err := l.Open(t.Context(), c, 1); err != nil || open {
		t.Errorf("opened again after it was closed: %t, %v", open, err)
	}
	if diff := cmp.Diff([]string{"done/" + clipID + "-1"}, b.Keys("")); diff != "" {
		t.Errorf("left (-want +got)\n%s", diff)
	}
}

// TestCloseWhileOpening closes a run between any two operations of whoever opens it.
func TestCloseWhileOpening(t *testing.T) {
	c := ledger.Clip{ID: clipID, Day: "2026-11-22"}
	for n := range 6 {
		b := ledgertest.New()
		at := 0
		opener := ledger.New(&ledgertest.Process{Bucket: b, Before: func(ledgertest.Op) error {
			if at++; at-1 == n {
				return ledger.New(b).Close(context.Background(), c, 1)
			}
			return nil
		}})
		open, err := opener.Open(t.Context(), c, 1)
		if err != nil {
			t.Fatal(err)
		}
		left := b.Keys("open/")
		if n < at && len(left) > 0 {
			t.Errorf("closed before operation %d: %v is left, opened %t", n, left, open)
		}
	}
}

// TestStagedFrames stay as long as another run of the clip may need the same ones.
func TestStagedFrames(t *testing.T) {
	b := ledgertest.New()
	l := ledger.New(b)
	c, err := l.Admit(t.Context(), ledger.Clip{ID: clipID, Day: "2026-11-22"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Open(t.Context(), c, 1); err != nil {
		t.Fatal(err)
	}
	run, err := l.Replay(t.Context(), clipID)
	if err != nil || run != 2 {
		t.Fatalf("run %d, %v", run, err)
	}
	for run := 1; run <= 2; run++ {
		staged, err := l.Side(t.Context(), clipID, "mkv", "video/x-matroska", []byte("the same frames"))
		if err != nil {
			t.Fatal(err)
		}
		w := ledger.Work{Clip: clipID, Run: run, Segment: 0, Step: findings.Decode}
		commit(t, l, w, findings.Decoded{Staged: &staged})
	}
	for run, want := range []int{1, 0} {
		if err := l.Close(t.Context(), c, run+1); err != nil {
			t.Fatal(err)
		}
		if left := b.Keys(clipID + "/side/"); len(left) != want {
			t.Errorf("after run %d is closed: %v, want %d", run+1, left, want)
		}
	}
}

// TestAttempts leaves attempts open and looks at what Run does next.
func TestAttempts(t *testing.T) {
	for _, c := range []struct {
		open  int
		age   time.Duration
		made  bool
		alone bool
		gone  bool
	}{
		{open: 0, made: true},
		{open: 1}, // somebody is at work
		{open: 1, age: 6 * time.Second, made: true},
		{open: 2}, // likewise
		{open: 2, age: 6 * time.Second, made: true, alone: true},
		{open: 3, age: time.Minute, gone: true},
		{open: 3, age: time.Second}, // one of them may be at work
	} {
		b := ledgertest.New()
		l := ledger.New(b)
		for i := range c.open {
			if err := b.Put(t.Context(), fmt.Sprintf("attempts/%s/1/00000/decode/%d", clipID, i), nil, ""); err != nil {
				t.Fatal(err)
			}
		}
		b.Advance(c.age)
		var made, alone, gone bool
		err := ledger.Run(t.Context(), l, ledger.Step[findings.Decoded]{
			Work:  step(0, findings.Decode),
			Alone: func(_ context.Context, f func() error) error { alone = true; return f() },
			Make: func(context.Context) (findings.Decoded, error) {
				made = true
				if n := len(b.Keys("attempts/")); n != c.open+1 {
					t.Errorf("%d attempts are open during the work, want %d", n, c.open+1)
				}
				return findings.Decoded{}, nil
			},
			Tail:    func(context.Context, findings.Decoded) error { return nil },
			GivenUp: func(context.Context, ledger.Abandonment) error { gone = true; return nil },
		})
		undecided := c.open == 3 && !c.gone
		taken := !undecided && !c.made && !c.gone
		if made != c.made || alone != c.alone || gone != c.gone || (err != nil) != (undecided || taken) {
			t.Errorf("%d open for %v: made %t, alone %t, given up %t, %v", c.open, c.age, made, alone, gone, err)
		}
		var busy interface{ Busy() bool }
		if taken && (!errors.As(err, &busy) || !busy.Busy()) {
			t.Errorf("%v does not say that somebody else is at work", err)
		}
		var away interface{ Unavailable() bool }
		if undecided && (!errors.As(err, &away) || !away.Unavailable()) {
			t.Errorf("%v does not ask to be tried again", err)
		}
		if n := len(b.Keys("attempts/")); n != c.open {
			t.Errorf("%d attempts are open afterwards, want %d", n, c.open)
		}
	}
}

// TestFailedAttemptIsClosed has work fail, and be cancelled: neither is a crash.
func TestFailedAttemptIsClosed(t *testing.T) {
	b := ledgertest.New()
	ctx, cancel := context.WithCancel(t.Context())
	failed := errors.New("no luck")
	err := ledger.Run(ctx, ledger.New(b), ledger.Step[findings.Decoded]{
		Work: step(0, findings.Decode),
		Make: func(context.Context) (findings.Decoded, error) {
			cancel()
			return findings.Decoded{}, failed
		},
	})
	if !errors.Is(err, failed) || len(b.Keys("attempts/")) > 0 {
		t.Errorf("%v, open %v", err, b.Keys("attempts/"))
	}
}

// TestEcho has work fail of a run that is finished: no matter if what it needs is gone, but otherwise it failed.
func TestEcho(t *testing.T) {
	l := ledger.New(ledgertest.New())
	if err := l.Close(t.Context(), ledger.Clip{ID: clipID, Day: "2026-11-22"}, 1); err != nil {
		t.Fatal(err)
	}
	away := errors.New("the store is away")
	for _, c := range []struct{ fails, want error }{
		{fmt.Errorf("staged frames: %w", ledger.ErrNotExist), nil},
		{away, away},
	} {
		err := ledger.Run(t.Context(), l, ledger.Step[findings.Decoded]{
			Work: step(0, findings.Decode),
			Make: func(context.Context) (findings.Decoded, error) { return findings.Decoded{}, c.fails },
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.fails, err, c.want)
		}
	}
}

func TestErase(t *testing.T) {
	for n := 0; ; n++ {
		b := ledgertest.New()
		l := ledger.New(b)
		c, err := l.Admit(t.Context(), ledger.Clip{ID: clipID, Day: "2026-11-22"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Open(t.Context(), c, 2); err != nil {
			t.Fatal(err)
		}
		plan(t, l, 2, 2)
		for _, other := range []string{"attempts/" + clipID + "/2/00000/decode/x", "other/clip.json", "open/2026-11-22/other-1"} {
			if err := b.Put(t.Context(), other, nil, ""); err != nil {
				t.Fatal(err)
			}
		}
		if at, err := l.Admitted(t.Context(), clipID); err != nil || !at.Equal(b.Now()) {
			t.Fatalf("admitted %v, %v", at, err)
		}
		cut := ledger.New(ledgertest.CrashAfter(b, n)).Erase(t.Context(), clipID)
		if known, err := l.Admitted(t.Context(), clipID); err != nil || known.IsZero() != (cut == nil) {
			t.Fatalf("erasure cut short at operation %d (%v): known since %v, %v", n, cut, known, err)
		}
		if err := l.Erase(t.Context(), clipID); err != nil {
			t.Fatal(err)
		}
		want := []string{"done/" + clipID + "-1", "done/" + clipID + "-2", "open/2026-11-22/other-1", "other/clip.json"}
		if diff := cmp.Diff(want, b.Keys("")); diff != "" {
			t.Fatalf("left (-want +got)\n%s", diff)
		}
		if cut == nil {
			break
		}
	}
}

func TestReport(t *testing.T) {
	l := ledger.New(ledgertest.New())
	if _, err := l.Report(t.Context(), clipID, 1); !errors.Is(err, ledger.ErrNotExist) {
		t.Errorf("%v, want ErrNotExist", err)
	}
	for _, status := range []string{findings.StatusAnalyzed, findings.StatusRejected, findings.StatusCompleted} {
		commit(t, l, step(ledger.Whole, status), findings.Report{Status: status})
		if r, err := l.Report(t.Context(), clipID, 1); err != nil || r.Status != status {
			t.Errorf("%s, %v, want %s", r.Status, err, status)
		}
	}
}

func TestMarkers(t *testing.T) {
	b := ledgertest.New()
	l := ledger.New(b)
	for i := range 5 {
		if err := l.Close(t.Context(), ledger.Clip{ID: fmt.Sprint("c", i), Day: "2026-11-22"}, 1); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	var last ledger.Reference
	for {
		page, err := l.DonePage(t.Context(), last, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			seen = append(seen, r.Clip)
		}
		last = page[len(page)-1]
	}
	if diff := cmp.Diff([]string{"c0", "c1", "c2", "c3", "c4"}, seen); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := b.Put(t.Context(), "open/2026-11-22/nonsense", nil, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := l.OpenRuns(t.Context()); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("%v, want what does not belong there", err)
	}
}

func TestResumed(t *testing.T) {
	b := ledgertest.New()
	l := ledger.New(b)
	c := ledger.Clip{ID: clipID, Day: "2026-11-22"}
	if _, err := l.Open(t.Context(), c, 1); err != nil {
		t.Fatal(err)
	}
	for want := range 3 {
		runs, err := l.OpenRuns(t.Context())
		if err != nil || len(runs) != 1 || !runs[0].Since.Equal(b.Now()) {
			t.Fatalf("%v, %v", runs, err)
		}
		if n, err := l.Resumptions(t.Context(), runs[0]); err != nil || n != want {
			t.Errorf("resumed %d times, %v, want %d", n, err, want)
		}
		b.Advance(time.Hour)
		if err := l.Resumed(t.Context(), runs[0], want+1); err != nil {
			t.Fatal(err)
		}
	}
	runs, _ := l.OpenRuns(t.Context())
	if err := l.Close(t.Context(), c, 1); err != nil {
		t.Fatal(err)
	}
	if err := l.Resumed(t.Context(), runs[0], 4); err != nil || len(b.Keys("open/")) > 0 {
		t.Errorf("%v: a closed run is open again: %v", err, b.Keys("open/"))
	}
}

func TestAttemptsUnderWay(t *testing.T) {
	b := ledgertest.New()
	put := func(key string) {
		if err := b.Put(t.Context(), "attempts/"+clipID+"/1/"+key, nil, ""); err != nil {
			t.Fatal(err)
		}
	}
	put("00000/decode/old")
	b.Advance(time.Hour)
	limit := b.Now().Add(-time.Minute)
	put("00001/decode/young")
	put("whole/plan-00001/young")
	got, err := ledger.New(b).Attempts(t.Context(), clipID, 1, limit)
	want := map[ledger.Work]bool{step(1, findings.Decode): true, step(ledger.Whole, "plan-00001"): true}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}
