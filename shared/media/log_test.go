package media

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
)

// Not parallel: FFmpeg has one log for the process.
func TestLogTo(t *testing.T) {
	damaged := clip{codec: "libx264", container: "matroska", frames: 30}.make(t)
	for i := len(damaged) / 3; i < len(damaged); i += 40 {
		damaged[i] ^= 0xFF
	}
	logged := func(level slog.Level) string {
		var b bytes.Buffer
		LogTo(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: level})))
		defer LogTo(nil)
		d, err := Decode(context.Background(), bytes.NewReader(damaged), DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for err == nil {
			_, err = d.Next()
		}
		return b.String()
	}
	if got := logged(slog.LevelDebug); !strings.Contains(got, "level=DEBUG") || !strings.Contains(got, "from=ffmpeg") {
		t.Errorf("a damaged clip, in detail: %q", got)
	}
	if got := logged(slog.LevelInfo); got != "" {
		t.Errorf("a damaged clip is our caller's business, but logged %q", got)
	}
}
