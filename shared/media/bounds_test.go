package media

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A segment that is too large for memory is the same segment.
func TestLongSegmentsSpill(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]clip{
		"mp4":      {codec: "libx264", container: "mp4", frames: 400, bframes: 3, sound: true, gop: 200},
		"matroska": {codec: "libx264", container: "matroska", frames: 400, bframes: 3, sound: true, gop: 200},
	} {
		t.Run(name, func(t *testing.T) {
			b := c.make(t)
			whole := pictures(t, bytes.NewReader(b), DecodeOptions{})
			var parts []picture
			var heard []int64
			for _, s := range cutAll(t, bytes.NewReader(b), CutOptions{Length: 1_000_000, Memory: 10_000, Dir: dir}) {
				if s.body.file == nil {
					t.Errorf("a segment of %d bytes is in memory", s.Size())
				}
				body, err := s.Bytes()
				if err != nil {
					t.Fatal(err)
				}
				if int64(len(body)) != s.Size() {
					t.Errorf("%d bytes of %d", len(body), s.Size())
				}
				parts = append(parts, pictures(t, s, DecodeOptions{Span: &s.Span})...)
				heard = append(heard, sounds(t, s, true)...)
			}
			if diff := cmp.Diff(whole, parts); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(sounds(t, bytes.NewReader(b), false), heard); diff != "" {
				t.Error(diff)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) > 0 {
				t.Errorf("left in the temporary directory: %v, %v", left, err)
			}
		})
	}
}

func TestSpillWithoutADirectoryFails(t *testing.T) {
	b := clip{codec: "libx264", container: "mp4", frames: 50}.make(t)
	c, err := Cut(context.Background(), bytes.NewReader(b), CutOptions{Memory: 100, Dir: t.TempDir() + "/none"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Next(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}

// resident is this process's memory in bytes.
func resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// Whatever is opened and closed again, early or late, with an error or without, leaves nothing behind.
func TestNothingLeaks(t *testing.T) {
	good := clip{codec: "libx264", container: "mp4", frames: 40, bframes: 2, width: 320, height: 240, sound: true}.make(t)
	mkv := clip{codec: "libx264", container: "matroska", frames: 40, bframes: 2, width: 320, height: 240}.make(t)
	bare := clip{codec: "libx264", container: "h264", frames: 40, bframes: 2, width: 320, height: 240}.make(t)
	damaged := bytes.Clone(mkv)
	for i := len(mkv) / 3; i < len(mkv); i += 50 {
		damaged[i] ^= 0xFF
	}
	text := bytes.Repeat([]byte("no video"), 1000)
	round := func(i int) {
		ctx := context.Background()
		for _, b := range [][]byte{good, mkv, bare, damaged, text, good[:len(good)/2]} {
			for _, limit := range []int{0, 1 + i%5, 1000} {
				if d, err := Decode(ctx, bytes.NewReader(b), DecodeOptions{Rate: float64(i%2) * 5, MaxWidth: 320, Format: Format(i % 4), Threads: 1 + i%2}); err == nil {
					for range limit {
						f, err := d.Next()
						if err != nil {
							break
						}
						if k, err := f.Keep(); err == nil {
							k.Close()
						}
					}
					d.Close()
					d.Close()
				}
				if c, err := Cut(ctx, bytes.NewReader(b), CutOptions{Length: 500_000, Memory: 1000 + int64(i%2)*1e6}); err == nil {
					for range limit {
						s, err := c.Next()
						if err != nil {
							break
						}
						s.Close()
					}
					c.Close()
				}
			}
			_, _ = Probe(ctx, bytes.NewReader(b)) // the error does not matter here
		}
	}
	for i := range 5 {
		round(i)
	}
	runtime.GC()
	before := resident(t)
	for i := range 8 {
		round(i)
	}
	runtime.GC()
	grown := resident(t) - before
	t.Logf("grown by %d KiB", grown>>10)
	if grown > 12<<20 {
		t.Errorf("%d MiB more after opening and closing hundreds of times", grown>>20)
	}
}

func TestTooLargePicturesAreRefused(t *testing.T) {
	if f, err := NewFrame(YUV420, maxSide+2, 2); err == nil {
		f.Close()
		t.Error("a frame of any width was made")
	}
	// The header of a small clip is made to promise a large picture.
	b := clip{codec: "mjpeg", container: "avi", frames: 3, pixels: 12}.make(t)
	for i := range len(b) - 4 {
		if b[i] == 0xFF && b[i+1] == 0xC0 { // start of frame: height and width
			b[i+5], b[i+6], b[i+7], b[i+8] = 0xFF, 0xF0, 0xFF, 0xF0
		}
	}
	d, err := Decode(context.Background(), bytes.NewReader(b), DecodeOptions{})
	if err == nil {
		defer d.Close()
		_, err = d.Next()
	}
	var u *Unreadable
	if !errors.As(err, &u) {
		t.Errorf("a picture of 65520x65520: %v", err)
	}
}

// FuzzClip looks for bytes that crash, hang or leave a contradiction. By hand, with -fuzzminimizetime 1x: clips are large,
// and making them smaller takes longer than finding them.
func FuzzClip(f *testing.F) {
	for _, c := range []clip{
		{codec: "libx264", container: "mp4", frames: 30, bframes: 2, gop: 10, sound: true},
		{codec: "libx264", container: "mpegts", frames: 30, bframes: 2, gop: 10},
		{codec: "libx264", container: "avi", frames: 30, bframes: 2, gop: 10},
		{codec: "mpeg4", container: "matroska", frames: 30, gop: 10},
		{codec: "msmpeg4", container: "avi", frames: 30, gop: 10},
	} {
		c.width, c.height = 64, 48
		f.Add(c.make(f))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx := context.Background()
		if _, err := Probe(ctx, bytes.NewReader(b)); err != nil {
			return
		}
		c, err := Cut(ctx, bytes.NewReader(b), CutOptions{Length: 400_000, Memory: 1 << 20, Dir: t.TempDir()})
		if err != nil {
			return
		}
		defer c.Close()
		for end := int64(0); ; {
			s, err := c.Next()
			if err != nil {
				break
			}
			if s.Start != end || s.End < s.Start {
				t.Errorf("a segment of %v after %d", s.Span, end)
			}
			end = s.End
			s.Close()
		}
		d, err := Decode(ctx, bytes.NewReader(b), DecodeOptions{MaxWidth: 32, MaxHeight: 32})
		if err != nil {
			return
		}
		defer d.Close()
		for {
			if _, err := d.Next(); err != nil {
				if !errors.Is(err, io.EOF) && !errors.As(err, new(*Unreadable)) {
					t.Error(err)
				}
				return
			}
		}
	})
}
