package media

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seen is what a test remembers of a frame.
type seen struct {
	PTS    int64
	Number int
}

func decodeAll(t testing.TB, b []byte, o DecodeOptions) []seen {
	t.Helper()
	d, err := Decode(context.Background(), bytes.NewReader(b), o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var all []seen
	for {
		f, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, seen{f.PTS, number(f)})
	}
	if d.Skipped() > 0 {
		t.Errorf("skipped %d frames", d.Skipped())
	}
	return all
}

func TestDecodeGivesEveryFrame(t *testing.T) {
	b := clip{codec: "libx264", container: "mp4", frames: 60, bframes: 2}.make(t)
	var want []seen
	for i := range 60 {
		want = append(want, seen{int64(i) * 40_000, i})
	}
	if diff := cmp.Diff(want, decodeAll(t, b, DecodeOptions{})); diff != "" {
		t.Error(diff)
	}
}

func TestMain(m *testing.M) {
	os.Setenv("SVT_LOG", "0") // the AV1 encoder talks
	if os.Getenv("MEDIA_LOG") != "" {
		LogTo(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	}
	os.Exit(m.Run())
}
