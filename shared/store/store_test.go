package store_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"vedette.dev/shared/ledger"
	"vedette.dev/shared/ledger/ledgertest"
	"vedette.dev/shared/store"
)

const accessKey, secretKey = "vedette", "vedette-secret"

// TestOnServer runs everything that needs a real server against one: versitygw allows one at a time in a process.
func TestOnServer(t *testing.T) {
	server := serve(t)
	c := config(server)
	s := open(t, c)
	if err := s.Ready(t.Context()); err != nil {
		t.Fatalf("Ready on an empty store: %v", err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
	if left := keys(t, s.Ledger(), "store/"); len(left) != 1 || !strings.HasPrefix(left[0], "store/checked-") {
		t.Errorf("the check left behind: %v", left)
	}
	t.Run("ledger", func(t *testing.T) {
		ledgertest.TestBucket(t, func(*testing.T) ledger.Bucket { return s.Ledger() })
	})
	t.Run("open", func(t *testing.T) { testOpen(t, s) })
	t.Run("changed", func(t *testing.T) { testChanged(t, s) })
	t.Run("upload", func(t *testing.T) { testUpload(t, s) })
	t.Run("refusals", func(t *testing.T) { testRefusals(t, c) })
}

func testOpen(t *testing.T, s *store.Store) {
	content := make([]byte, 5<<20+123)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same every time
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	b := s.Clips()
	if err := b.Put(t.Context(), "cam/open.mp4", content, "video/mp4"); err != nil {
		t.Fatal(err)
	}
	o, err := b.Open(t.Context(), "cam/open.mp4", "")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if o.Size() != int64(len(content)) {
		t.Fatalf("size %d, want %d", o.Size(), len(content))
	}
	for range 50 {
		off := random.Int64N(o.Size())
		p := make([]byte, random.IntN(1<<20))
		n, err := o.ReadAt(p, off)
		want := content[off:min(off+int64(len(p)), o.Size())]
		if !bytes.Equal(p[:n], want) || (err == nil) != (n == len(p)) {
			t.Fatalf("ReadAt(%d bytes, %d): %d bytes, %v", len(p), off, n, err)
		}
	}
	if err := iotest.TestReader(io.NewSectionReader(o, 4<<20, 1<<20+123), content[4<<20:]); err != nil {
		t.Error(err)
	}

	if err := b.Put(t.Context(), "cam/empty.mp4", nil, "video/mp4"); err != nil {
		t.Fatal(err)
	}
	empty, err := b.Open(t.Context(), "cam/empty.mp4", "")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := empty.ReadAt(make([]byte, 1), 0); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("reading an empty object: %d, %v", n, err)
	}
}

func testChanged(t *testing.T, s *store.Store) {
	ctx, b := t.Context(), s.Clips()
	const key = "cam/changed.mp4"
	if err := b.Put(ctx, key, bytes.Repeat([]byte("a"), 2<<20), "video/mp4"); err != nil {
		t.Fatal(err)
	}
	first, err := b.Stat(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	o, err := b.Open(ctx, key, first.ETag)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.ReadAt(make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(ctx, key, bytes.Repeat([]byte("b"), 2<<20), "video/mp4"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.ReadAt(make([]byte, 10), 1<<20); !errors.Is(err, store.ErrChanged) {
		t.Errorf("reading on after an overwrite: %v, want ErrChanged", err)
	}
	if _, err := b.Open(ctx, key, first.ETag); !errors.Is(err, store.ErrChanged) {
		t.Errorf("opening the version that was overwritten: %v, want ErrChanged", err)
	}
	if err := b.Delete(ctx, key); err != nil {
		t.Fatal(err)
	}
	if _, err := o.ReadAt(make([]byte, 10), 1<<20); !errors.Is(err, ledger.ErrNotExist) {
		t.Errorf("reading on after a deletion: %v, want ErrNotExist", err)
	}
	if _, err := b.Open(ctx, key, first.ETag); !errors.Is(err, ledger.ErrNotExist) {
		t.Errorf("opening what was deleted: %v, want ErrNotExist", err)
	}
}

func testUpload(t *testing.T, s *store.Store) {
	const key = "Tür 1/2026-11-22T10:20:30Z.mp4"
	body := bytes.Repeat([]byte("0123456789abcdef"), 18<<20/16) // in parts
	etag, err := s.Clips().Upload(t.Context(), key, bytes.NewReader(body), int64(len(body)), "video/mp4",
		map[string]string{"Camera": "Tür 1", "captured": "2026-11-22T10:20:30Z"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Clips().Upload(t.Context(), "cam/nothing.mp4", bytes.NewReader(nil), 0, "video/mp4", nil); err != nil {
		t.Errorf("uploading nothing: %v", err)
	}
	got, err := s.Clips().Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if got.Modified.IsZero() {
		t.Error("no time")
	}
	want := store.Info{
		Entry:    ledger.Entry{Key: key, Size: int64(len(body)), ETag: etag, Modified: got.Modified},
		Type:     "video/mp4",
		Metadata: map[string]string{"camera": "Tür 1", "captured": "2026-11-22T10:20:30Z"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// testRefusals reads the errors as an operator would.
func testRefusals(t *testing.T, c store.Config) {
	wrongKey := c
	wrongKey.SecretKey = "wrong"
	_, err := open(t, wrongKey).Clips().Get(t.Context(), "cam/x.mp4")
	wantError(t, err, true, "get clips/cam/x.mp4 at "+c.Endpoint, "VEDETTE_S3_SECRET_KEY")
	if errors.Is(err, ledger.ErrNotExist) {
		t.Error("a wrong key looks like a missing object")
	}

	wrongBucket := c
	wrongBucket.Ledger = "nowhere"
	_, err = open(t, wrongBucket).Ledger().Get(t.Context(), "x")
	wantError(t, err, false, "get nowhere/x", "make the bucket")
	if errors.Is(err, ledger.ErrNotExist) {
		t.Error("a missing bucket looks like a missing object")
	}
	if err := open(t, wrongBucket).Ready(t.Context()); err != nil {
		t.Errorf("Ready with a missing bucket: %v, want it made", err)
	}
}

func TestAway(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "http://" + listener.Addr().String()
	_ = listener.Close()
	s := open(t, store.Config{Endpoint: endpoint, AccessKey: accessKey, SecretKey: secretKey, Clips: "clips", Ledger: "ledger"})
	wantError(t, s.Ready(t.Context()), true, "get ledger/store/checked-", " at "+endpoint, "is the store running")
	wantError(t, s.Ledger().Create(t.Context(), "x", []byte("x"), "text/plain"), true, "create ledger/x")
}

// TestTrouble has a server that breaks what it answers.
func TestTrouble(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	body := strings.Repeat("x", 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := requests.Add(1)
		switch {
		case strings.HasSuffix(r.URL.Path, "/busy"):
			w.WriteHeader(http.StatusServiceUnavailable)
		case strings.HasSuffix(r.URL.Path, "/torn") && n < 3, strings.HasSuffix(r.URL.Path, "/always-torn"):
			w.Header().Set("Content-Length", "1000")
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Last-Modified", "Sun, 22 Nov 2026 10:20:30 GMT")
			_, _ = io.WriteString(w, body[:500])
			_ = http.NewResponseController(w).Flush()
		case strings.HasSuffix(r.URL.Path, "/conflict"):
			w.WriteHeader(http.StatusConflict)
		default:
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Last-Modified", "Sun, 22 Nov 2026 10:20:30 GMT")
			_, _ = io.WriteString(w, body)
		}
	}))
	defer server.Close()
	b := open(t, store.Config{Endpoint: server.URL, AccessKey: accessKey, SecretKey: secretKey, Clips: "clips", Ledger: "ledger"}).Ledger()

	got, err := b.Get(t.Context(), "torn")
	if err != nil || string(got) != body {
		t.Errorf("an answer that broke off twice: %d bytes, %v, want it asked for again", len(got), err)
	}
	_, err = b.Get(t.Context(), "always-torn")
	wantError(t, err, true, "get ledger/always-torn", "unexpected EOF")

	requests.Store(0)
	_, err = b.Get(t.Context(), "busy")
	wantError(t, err, true, "get ledger/busy", "has trouble")
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests to a store in trouble, want 3", n)
	}
	if err := b.Create(t.Context(), "conflict", nil, "text/plain"); !errors.Is(err, ledger.ErrExists) {
		t.Errorf("Create answered with 409: %v, want ErrExists", err)
	}
	err = b.Put(t.Context(), "conflict", nil, "text/plain")
	wantError(t, err, false, "put ledger/conflict", "folders")
}

// TestCheckRefuses checks stores whose conditional writes are none.
func TestCheckRefuses(t *testing.T) {
	for name, everybody := range map[string]int{"everybody wins": http.StatusOK, "nobody wins": http.StatusPreconditionFailed} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut {
					w.WriteHeader(everybody)
				}
			}))
			defer server.Close()
			s := open(t, store.Config{Endpoint: server.URL, AccessKey: accessKey, SecretKey: secretKey, Clips: "clips", Ledger: "ledger"})
			wantError(t, s.Check(t.Context()), false, "conditional PUTs (create)", server.URL, "lost or doubled")
		})
	}
}

func TestConfig(t *testing.T) {
	good := store.Config{Endpoint: "http://127.0.0.1:9000", AccessKey: "a", SecretKey: "b", Clips: "clips", Ledger: "ledger"}
	for _, c := range []struct {
		name   string
		change func(*store.Config)
		want   string // of the error; "" if there is none
	}{
		{"good", func(*store.Config) {}, ""},
		{"with a slash", func(c *store.Config) { c.Endpoint += "/" }, ""},
		{"without keys", func(c *store.Config) { c.AccessKey, c.SecretKey = "", "" }, ""},
		{"no URL", func(c *store.Config) { c.Endpoint = "127.0.0.1:9000" }, "VEDETTE_S3_ENDPOINT"},
		{"a path", func(c *store.Config) { c.Endpoint += "/clips" }, "VEDETTE_S3_ENDPOINT"},
		{"half a key", func(c *store.Config) { c.SecretKey = "" }, "go together"},
		{"one bucket for all", func(c *store.Config) { c.Clips = "ledger" }, "name two buckets"},
	} {
		config := good
		c.change(&config)
		err := config.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func wantError(t *testing.T, err error, away bool, parts ...string) {
	t.Helper()
	e, ok := errors.AsType[*store.Error](err)
	if !ok {
		t.Errorf("error %v, want a *store.Error", err)
		return
	}
	if e.Unavailable() != away {
		t.Errorf("%v: unavailable %t, want %t", err, e.Unavailable(), away)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func keys(t *testing.T, b *store.Bucket, prefix string) []string {
	t.Helper()
	var keys []string
	for e, err := range b.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	return keys
}

func open(t *testing.T, c store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close) // or a server waits for its clients when it is closed
	return s
}

func config(endpoint string) store.Config {
	return store.Config{
		Endpoint: endpoint, AccessKey: accessKey, SecretKey: secretKey, Region: "us-east-1",
		Clips: "clips", Ledger: "ledger",
	}
}
