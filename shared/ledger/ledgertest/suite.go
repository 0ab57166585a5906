package ledgertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vedette.dev/shared/ledger"
)

const text = "text/plain"

// TestBucket tests that what open returns is a bucket on which the ledger can stand. It may be used before and after;
// each test keeps to keys that begin with its own name.
func TestBucket(t *testing.T, open func(t *testing.T) ledger.Bucket) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, b ledger.Bucket)
	}{
		{"missing", testMissing},
		{"bodies", testBodies},
		{"create", testCreate},
		{"stream", testStream},
		{"race", testRace},
		{"list", testList},
		{"long-list", testLongList},
		{"keys", testKeys},
		{"folder", testFolder},
		{"cancelled", testCancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func testMissing(t *testing.T, b ledger.Bucket) {
	ctx := t.Context()
	if _, err := b.Get(ctx, "missing/no"); !errors.Is(err, ledger.ErrNotExist) {
		t.Errorf("Get of a missing object: %v, want ErrNotExist", err)
	}
	if err := b.Delete(ctx, "missing/no"); err != nil {
		t.Errorf("Delete of a missing object: %v, want no error", err)
	}
	if got := list(t, b, "missing/", ""); len(got) != 0 {
		t.Errorf("List of nothing: %v", got)
	}
}

func testBodies(t *testing.T, b ledger.Bucket) {
	ctx := t.Context()
	for name, body := range map[string][]byte{
		"empty":  {},
		"nil":    nil,
		"binary": {0, 255, '\r', '\n', 0},
		"large":  bytes.Repeat([]byte("vedette "), 17<<20/8), // clients send such in several parts if they may
	} {
		key := "bodies/" + name
		for range 2 { // the second replaces the first
			if err := b.Put(ctx, key, body, "application/octet-stream"); err != nil {
				t.Fatalf("Put %s: %v", name, err)
			}
		}
		got, err := b.Get(ctx, key)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("Get %s: %d bytes, error %v, want the %d bytes that were put", name, len(got), err, len(body))
		}
		if entries := list(t, b, key, ""); len(entries) != 1 || entries[0].Size != int64(len(body)) {
			t.Errorf("List %s: %v, want one object of %d bytes", name, entries, len(body))
		}
	}
}

func testStream(t *testing.T, b ledger.Bucket) {
	for _, size := range []int{0, 10, 17 << 20} {
		body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		for range 2 { // what is there is replaced
			if err := b.Stream(t.Context(), "stream", bytes.NewReader(body), int64(size), "application/octet-stream"); err != nil {
				t.Fatalf("stream %d bytes: %v", size, err)
			}
		}
		got, err := b.Get(t.Context(), "stream")
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("streamed %d bytes, got %d, %v", size, len(got), err)
		}
	}
}

func testCreate(t *testing.T, b ledger.Bucket) {
	ctx := t.Context()
	large := bytes.Repeat([]byte("first"), 17<<20/5)
	for _, c := range []struct {
		name          string
		first, second []byte
	}{
		{"small", []byte("first"), []byte("second")},
		{"same", []byte("first"), []byte("first")},
		{"empty", nil, []byte("second")},
		{"large", large, bytes.ToUpper(large)},
	} {
		key := "create/" + c.name
		if err := b.Create(ctx, key, c.first, text); err != nil {
			t.Fatalf("%s: first Create: %v", c.name, err)
		}
		if err := b.Create(ctx, key, c.second, text); !errors.Is(err, ledger.ErrExists) {
			t.Errorf("%s: second Create: %v, want ErrExists", c.name, err)
		}
		if got, err := b.Get(ctx, key); err != nil || !bytes.Equal(got, c.first) {
			t.Errorf("%s: Get after a lost Create: %.20q, %v, want the first body", c.name, got, err)
		}
		if err := b.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
		if err := b.Create(ctx, key, c.second, text); err != nil {
			t.Errorf("%s: Create after Delete: %v", c.name, err)
		}
	}
}

func testRace(t *testing.T, b ledger.Bucket) {
	const racers = 32
	for round := range 4 {
		key := fmt.Sprintf("race/%d", round)
		errs := race(racers, func(i int) error {
			return b.Create(t.Context(), key, fmt.Appendf(nil, "racer %d", i), text)
		})
		winner, winners := 0, 0
		for i, err := range errs {
			switch {
			case err == nil:
				winner, winners = i, winners+1
			case !errors.Is(err, ledger.ErrExists):
				t.Errorf("racer %d: %v, want no error or ErrExists", i, err)
			}
		}
		if winners != 1 {
			t.Fatalf("%d of %d racing creators won, want 1", winners, racers)
		}
		got, err := b.Get(t.Context(), key)
		if want := fmt.Sprintf("racer %d", winner); err != nil || string(got) != want {
			t.Errorf("after the race: %q, %v, want what the winner wrote, %q", got, err, want)
		}
	}
}

func testList(t *testing.T, b ledger.Bucket) {
	ctx := t.Context()
	want := []string{"list/a/1", "list/a/10", "list/a/2", "list/b", "list/b.x", "list/c/d/e/f"}
	for _, i := range []int{3, 0, 5, 1, 4, 2} {
		if err := b.Put(ctx, want[i], []byte(want[i]), text); err != nil {
			t.Fatal(err)
		}
		if got := keys(list(t, b, want[i], "")); len(got) == 0 || got[0] != want[i] {
			t.Errorf("List(%q) right after Put: %v: listing is not strongly consistent", want[i], got)
		}
	}
	for _, c := range []struct {
		prefix, after string
		want          []string
	}{
		{"list/", "", want},
		{"list/", "list/a/10", want[2:]},
		{"list/", "list/a/11", want[2:]},
		{"list/", "list/z", nil},
		{"list/a/", "", want[:3]},
		{"list/a/", "list/a/2", nil},
		{"list/a/1", "", want[:2]},
		{"list/b", "", want[3:5]},
		{"list/nothing", "", nil},
	} {
		if diff := cmp.Diff(c.want, keys(list(t, b, c.prefix, c.after))); diff != "" {
			t.Errorf("List(%q, after %q): (-want +got)\n%s", c.prefix, c.after, diff)
		}
	}
	entries := list(t, b, "list/", "")
	if e := entries[3]; e.Size != int64(len(e.Key)) || e.ETag == "" || strings.Contains(e.ETag, `"`) || e.Modified.IsZero() {
		t.Errorf("entry %+v, want size %d, an ETag without quotes, and a time", e, len(e.Key))
	}
	if entries[0].ETag == entries[1].ETag {
		t.Error("different contents have the same ETag")
	}
	for range b.List(ctx, "list/", "") {
		break // whoever has seen enough may go
	}
	if err := b.Delete(ctx, want[0]); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[1:], keys(list(t, b, "list/", ""))); diff != "" {
		t.Errorf("List right after Delete: (-want +got)\n%s", diff)
	}
}

// testLongList lists more than a store answers at a time.
func testLongList(t *testing.T, b ledger.Bucket) {
	const n = 1010
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("long-list/%05d", i))
	}
	for i, err := range race(n, func(i int) error { return b.Put(t.Context(), want[i], nil, text) }) {
		if err != nil {
			t.Fatalf("Put %d: %v", i, err)
		}
	}
	if diff := cmp.Diff(want, keys(list(t, b, "long-list/", ""))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := list(t, b, "long-list/", want[n-2]); len(got) != 1 {
		t.Errorf("%d objects after the last but one", len(got))
	}
}

func testKeys(t *testing.T, b ledger.Bucket) {
	for _, key := range []string{
		"keys/with space.mp4", "keys/plus+.mp4", "keys/percent%2F.mp4", "keys/Straße/Tür.mp4", "keys/a=b&c=d?.mp4",
		"keys/2026-11-22T10:20:30Z.mp4", "keys/(1) [2] {3}'s.mp4", "keys/日本.mp4",
	} {
		if err := b.Put(t.Context(), key, []byte(key), text); err != nil {
			t.Errorf("Put %s: %v", key, err)
			continue
		}
		if got, err := b.Get(t.Context(), key); err != nil || string(got) != key {
			t.Errorf("Get %s: %q, %v", key, got, err)
		}
		if got := keys(list(t, b, key, "")); len(got) != 1 || got[0] != key {
			t.Errorf("List %s: %v", key, got)
		}
	}
}

// testFolder opens and closes many short-lived objects side by side, as attempts are.
func testFolder(t *testing.T, b ledger.Bucket) {
	for i, err := range race(32, func(i int) error {
		key := fmt.Sprintf("folder/attempts/clip/1/00000/%d", i)
		for range 5 {
			if err := b.Put(t.Context(), key, nil, text); err != nil {
				return err
			}
			if _, err := b.Get(t.Context(), key); err != nil {
				return err
			}
			if err := b.Delete(t.Context(), key); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("attempt %d: %v", i, err)
		}
	}
	if left := list(t, b, "folder/", ""); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func testCancelled(t *testing.T, b ledger.Bucket) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Create(ctx, "cancelled/x", nil, text); err == nil {
		t.Error("Create with a cancelled context succeeded")
	}
	if _, err := b.Get(ctx, "cancelled/x"); err == nil || errors.Is(err, ledger.ErrNotExist) {
		t.Errorf("Get with a cancelled context: %v, want the context's error", err)
	}
	failed := false
	for _, err := range b.List(ctx, "cancelled/", "") {
		failed = failed || err != nil
	}
	if !failed {
		t.Error("List with a cancelled context says that there is nothing")
	}
}

// race runs n functions, as many side by side as a store is asked to bear, and returns what they return.
func race(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	places := make(chan struct{}, 32)
	for i := range n {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			errs[i] = f(i)
		})
	}
	wg.Wait()
	return errs
}

func list(t *testing.T, b ledger.Bucket, prefix, after string) []ledger.Entry {
	t.Helper()
	var entries []ledger.Entry
	for e, err := range b.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatalf("List(%q, %q): %v", prefix, after, err)
		}
		entries = append(entries, e)
	}
	return entries
}

func keys(entries []ledger.Entry) []string {
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	return keys
}
