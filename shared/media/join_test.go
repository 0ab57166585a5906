package media

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func join(t testing.TB, segments ...[]byte) ([]byte, []Joined, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "joined video: 1.mp4")
	var sources []Source
	for _, s := range segments {
		sources = append(sources, bytes.NewReader(s))
	}
	all, err := Join(context.Background(), path, sources)
	if err != nil {
		return nil, nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b, all, nil
}

// TestJoin joins segments of different rates from different times of a clip: all pictures are there, at once and in order.
func TestJoin(t *testing.T) {
	slow := func(i int) int64 { return int64(i) * 20 }
	clips := []clip{
		{codec: "libx264", container: "mp4", frames: 33, first: 250},
		{codec: "libx264", container: "mp4", frames: 3, first: 1000, times: slow},
		{codec: "libx264", container: "mp4", frames: 1, first: 2000},
		{codec: "libx264", container: "mp4", frames: 20, first: 2001, bframes: 2},
	}
	var parts [][]byte
	var wantSpans []Joined
	var want []seen
	at := int64(0)
	for _, c := range clips {
		parts = append(parts, encodeClip(t, c, EncodeOptions{}).MP4)
		span := c.span()
		wantSpans = append(wantSpans, Joined{At: at, Length: span.End - span.Start})
		d := c.withDefaults()
		for i := range c.frames {
			want = append(want, seen{Number: i, PTS: at + d.times(i)*40_000})
		}
		at += span.End - span.Start
	}
	b, spans, err := join(t, parts...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantSpans, spans); diff != "" {
		t.Errorf("spans: %s", diff)
	}
	got := decodeAll(t, b, DecodeOptions{})
	if len(got) != len(want) {
		t.Fatalf("%d pictures, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Number != want[i].Number || got[i].PTS != want[i].PTS {
			t.Errorf("picture %d is number %d at %d µs, want number %d at %d", i, got[i].Number, got[i].PTS, want[i].Number, want[i].PTS)
		}
	}
	info, err := Probe(context.Background(), bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if info.Duration != at {
		t.Errorf("lasts %d µs, want %d", info.Duration, at)
	}
	if index, data := bytes.Index(b, []byte("moov")), bytes.Index(b, []byte("mdat")); index < 0 || index > data {
		t.Errorf("index at %d, media at %d: it cannot be played while it loads", index, data)
	}
}

// TestJoinKeepsSoundInStep: lengths that are no whole packets of sound do not add up.
func TestJoinKeepsSoundInStep(t *testing.T) {
	var parts [][]byte
	var want []int64
	at := int64(0)
	for i := range 12 {
		c := clip{codec: "libx264", container: "mp4", frames: 13 + i%3, first: int64(i) * 100}
		span := c.span()
		beep := int64(100_000 + 10_000*i)
		b := withBeeps(t, c, span.Start+beep)
		e, err := Encode(context.Background(), bytes.NewReader(b), EncodeOptions{Span: span, Width: 128, Height: 96, Sound: true})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, e.MP4)
		want = append(want, at+beep)
		at += span.End - span.Start
	}
	b, _, err := join(t, parts...)
	if err != nil {
		t.Fatal(err)
	}
	near(t, beepsIn(t, b), want, 13_000)
}

func TestJoinRefuses(t *testing.T) {
	c := clip{codec: "libx264", container: "mp4", frames: 3}
	silent := c
	c.sound = true
	first := encodeClip(t, c, EncodeOptions{}).MP4
	tests := map[string]struct {
		second []byte
		want   string
	}{
		"another size":    {encodeClip(t, c, EncodeOptions{Width: 64, Height: 48}).MP4, "is 64x48, that of those before 128x96"},
		"another setting": {clip{codec: "libx264", container: "mp4", frames: 3, sound: true, options: map[string]string{"profile": "baseline"}}.make(t), "another setting"},
		"silence":         {encodeClip(t, silent, EncodeOptions{}).MP4, "all have sound, or none"},
		"another codec":   {clip{codec: "mpeg4", container: "mp4", frames: 3, sound: true}.make(t), "is mpeg4, that of those before h264"},
		"no media":        {[]byte("text"), "not a video"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := join(t, first, test.second)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "segment 2 of 2") {
				t.Errorf("%v", err)
			}
		})
	}
	if _, _, err := join(t); err == nil {
		t.Error("joined nothing")
	}
	if _, err := Join(context.Background(), filepath.Join(t.TempDir(), "missing", "x.mp4"), []Source{bytes.NewReader(first)}); err == nil {
		t.Error("wrote into a folder that is not there")
	}
}
