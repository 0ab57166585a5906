package media

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/asticode/go-astiav"
	"github.com/google/go-cmp/cmp"
)

func TestProbe(t *testing.T) {
	for name, tt := range map[string]struct {
		clip clip
		want Info
	}{
		"mp4 with sound and tags": {
			clip{codec: "libx264", container: "mp4", frames: 50, bframes: 2, sound: true, tags: map[string]string{"creation_time": "2026-03-04T05:06:07.000000Z"}},
			Info{Container: "mp4", Duration: 2_000_000, Video: Video{Codec: "h264", Width: 128, Height: 96, Rate: 25},
				Audio: &Audio{Codec: "aac", Rate: 48000, Channels: 1}, Tags: map[string]string{"creation_time": "2026-03-04T05:06:07.000000Z"}},
		},
		"mov, turned, with Apple's tags": {
			clip{codec: "libx264", container: "mov", frames: 50, rotation: 90, muxer: map[string]string{"movflags": "use_metadata_tags"}, tags: map[string]string{"com.apple.quicktime.creationdate": "2026-03-04T05:06:07+0100"}},
			Info{Container: "mov", Duration: 2_000_000, Video: Video{Codec: "h264", Width: 96, Height: 128, Rotation: 90, Rate: 25},
				Tags: map[string]string{"com.apple.quicktime.creationdate": "2026-03-04T05:06:07+0100"}},
		},
		"wide pixels": {
			clip{codec: "libx264", container: "mp4", frames: 50, aspect: astiav.NewRational(4, 3)},
			Info{Container: "mp4", Duration: 2_000_000, Video: Video{Codec: "h264", Width: 171, Height: 96, Rate: 25}},
		},
		"wide pixels, upright": {
			clip{codec: "libx264", container: "mp4", frames: 50, aspect: astiav.NewRational(4, 3), rotation: 270},
			Info{Container: "mp4", Duration: 2_000_000, Video: Video{Codec: "h264", Width: 96, Height: 171, Rotation: 270, Rate: 25}},
		},
		"motion JPEG": {
			clip{codec: "mjpeg", container: "avi", frames: 50, pixels: astiav.PixelFormatYuvj420P},
			Info{Container: "avi", Duration: 2_000_000, Video: Video{Codec: "mjpeg", Width: 128, Height: 96, Rate: 25, IntraOnly: true}},
		},
		"matroska": {
			clip{codec: "libx264", container: "matroska", frames: 50},
			Info{Container: "matroska", Duration: 2_000_000, Video: Video{Codec: "h264", Width: 128, Height: 96, Rate: 25}},
		},
		"mpegts": {
			clip{codec: "libx264", container: "mpegts", frames: 50, bframes: 2},
			Info{Container: "mpegts", Duration: 2_000_000, Video: Video{Codec: "h264", Width: 128, Height: 96, Rate: 25}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Probe(context.Background(), bytes.NewReader(tt.clip.make(t)))
			if err != nil {
				t.Fatal(err)
			}
			tags := map[string]string{}
			for k := range tt.want.Tags {
				tags[k] = got.Tags[k]
			}
			got.Tags, got.Video.Rate = tags, math.Round(got.Video.Rate*100)/100
			got.Duration = got.Duration / 100_000 * 100_000 // sound is a little longer
			if tt.want.Tags == nil {
				got.Tags = nil
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	whole := clip{codec: "libx264", container: "mp4", frames: 50}.make(t)
	matroska := clip{codec: "libx264", container: "matroska", frames: 50}.make(t)
	for name, tt := range map[string]struct {
		clip []byte
		want Reason
	}{
		"no bytes":                {nil, Empty},
		"text":                    {[]byte(strings.Repeat("this is not a video\n", 100)), NotVideo},
		"zeros":                   {make([]byte, 100_000), NotVideo},
		"one byte":                {[]byte{1}, NotVideo},
		"a playlist":              {[]byte("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"), NotVideo},
		"a list of files":         {[]byte("ffconcat version 1.0\nfile /etc/passwd\n"), NotVideo},
		"mp4 without its index":   {whole[:len(whole)/2], Truncated},
		"the first bytes of mp4":  {whole[:20], Truncated},
		"the first bytes of mkv":  {matroska[:20], Truncated},
		"sound alone":             {soundAlone(t, "mp4"), NoVideoStream},
		"sound alone in matroska": {soundAlone(t, "matroska"), NoVideoStream},
		"no keyframe, matroska":   {clip{codec: "libx264", container: "matroska", frames: 50, gop: 100, drop: first}.make(t), NoKeyframes},
		"no keyframe, mp4":        {clip{codec: "libx264", container: "mp4", frames: 50, gop: 100, drop: first}.make(t), NoKeyframes},
		"no keyframe, mpegts":     {clip{codec: "libx264", container: "mpegts", frames: 50, gop: 100, drop: first}.make(t), NoKeyframes},
		"a codec nobody knows":    {bytes.ReplaceAll(bytes.ReplaceAll(clip{codec: "mjpeg", container: "mov", frames: 5, pixels: astiav.PixelFormatYuvj420P}.make(t), []byte("jpeg"), []byte("jpXg")), []byte("mjpa"), []byte("mXpa")), UnsupportedCodec},
	} {
		t.Run(name, func(t *testing.T) {
			for what, open := range map[string]func(Source) error{
				"probe": func(s Source) error { _, err := Probe(context.Background(), s); return err },
				"cut":   func(s Source) error { _, err := Cut(context.Background(), s, CutOptions{}); return err },
				"decode": func(s Source) error {
					_, err := Decode(context.Background(), s, DecodeOptions{})
					return err
				},
			} {
				err := open(bytes.NewReader(tt.clip))
				var u *Unreadable
				if !errors.As(err, &u) {
					t.Errorf("%s: %v, want %q", what, err, tt.want)
				} else if u.Reason != tt.want || u.Hint == "" {
					t.Errorf("%s: %q with hint %q, want %q", what, u.Reason, u.Hint, tt.want)
				}
			}
		})
	}
}

// first is dropped to make clips without a keyframe.
func first(_ *astiav.Packet, n int) bool { return n == 0 }

// soundAlone is a file without a video stream.
func soundAlone(t testing.TB, container string) []byte {
	t.Helper()
	out := &file{}
	pb, err := astiav.AllocIOContext(32<<10, true, nil, out.Seek, out.Write)
	if err != nil {
		t.Fatal(err)
	}
	defer pb.Free()
	format, err := astiav.AllocOutputFormatContext(nil, container, "")
	if err != nil {
		t.Fatal(err)
	}
	defer format.Free()
	format.SetPb(pb)
	s := newSound(t, format, clip{rate: 25, container: container})
	defer s.close()
	if err := format.WriteHeader(nil); err != nil {
		t.Fatal(err)
	}
	s.until(2)
	s.end()
	if err := format.WriteTrailer(); err != nil {
		t.Fatal(err)
	}
	return out.b
}

// A clip whose index is at its front can be used as far as it goes, and what is missing is told.
func TestProbeTellsWhatIsMissing(t *testing.T) {
	for name, c := range map[string]clip{
		"mp4, index first": {codec: "libx264", container: "mp4", frames: 50, muxer: map[string]string{"moov_size": "65536"}},
		"avi":              {codec: "mpeg4", container: "avi", frames: 50},
		"matroska":         {codec: "libx264", container: "matroska", frames: 50},
	} {
		t.Run(name, func(t *testing.T) {
			b := c.make(t)
			info, err := Probe(context.Background(), bytes.NewReader(b))
			if err != nil || info.Missing != 0 {
				t.Fatalf("the whole clip misses %d bytes, %v", info.Missing, err)
			}
			short := b[:len(b)-2500]
			info, err = Probe(context.Background(), bytes.NewReader(short))
			if err != nil {
				t.Fatal(err)
			}
			if want := int64(len(b) - len(short)); info.Missing != want {
				t.Errorf("%d bytes are said to be missing, want %d", info.Missing, want)
			}
			n := 0
			for _, s := range cutAll(t, bytes.NewReader(short), CutOptions{}) {
				n += len(s.Packets)
			}
			if n < 10 || n >= 50 {
				t.Errorf("%d pictures of most of 50", n)
			}
		})
	}
}

func TestWhatCamerasAppendIsNotMissed(t *testing.T) {
	b := clip{codec: "libx264", container: "mp4", frames: 50}.make(t)
	avi := clip{codec: "mpeg4", container: "avi", frames: 50}.make(t)
	unknown := bytes.Clone(avi)
	copy(unknown[4:], "\xff\xff\xff\xff")
	for name, clip := range map[string][]byte{
		"zeros behind mp4":         append(bytes.Clone(b), make([]byte, 1000)...),
		"text behind mp4":          append(bytes.Clone(b), "a camera's own notes, whatever they say"...),
		"a few bytes behind mp4":   append(bytes.Clone(b), 1, 2, 3),
		"avi of unknown size":      unknown,
		"avi with something extra": append(bytes.Clone(avi), make([]byte, 1000)...),
	} {
		info, err := Probe(context.Background(), bytes.NewReader(clip))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if info.Missing != 0 {
			t.Errorf("%s: %d bytes are said to be missing", name, info.Missing)
		}
	}
}

func TestPackets(t *testing.T) {
	b := clip{codec: "libx264", container: "mp4", frames: 100, bframes: 2}.make(t)
	r, err := Packets(context.Background(), bytes.NewReader(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all, err := r.All()
	if err != nil {
		t.Fatal(err)
	}
	keys, seen := 0, map[int64]bool{}
	for _, p := range all {
		seen[p.PTS] = true
		if p.Key {
			keys++
		}
		if p.Size <= 0 || p.PTS%40_000 != 0 {
			t.Errorf("packet %+v", p)
		}
	}
	if len(all) != 100 || len(seen) != 100 || keys != 4 {
		t.Errorf("%d packets at %d times with %d keyframes, want 100 with 4", len(all), len(seen), keys)
	}

	for _, s := range cutAll(t, bytes.NewReader(b), CutOptions{Length: 1_000_000}) {
		r, err := Packets(context.Background(), s, &s.Span)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.All()
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.Packets, got); diff != "" {
			t.Errorf("packets of the cut (-) and of the segment (+):\n%s", diff)
		}
	}
}

// broken fails after so many bytes.
type broken struct {
	*bytes.Reader
	after int64
	err   error
}

func (b *broken) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.after {
		return 0, b.err
	}
	return b.Reader.ReadAt(p, off)
}

func TestSourceErrorsComeBack(t *testing.T) {
	b := clip{codec: "mjpeg", container: "avi", frames: 60, width: 640, height: 480, pixels: astiav.PixelFormatYuvj420P, options: map[string]string{"qmin": "1", "qmax": "1"}}.make(t)
	if len(b) < 2*firstWindow {
		t.Fatalf("a clip of %d bytes is too small for this test", len(b))
	}
	lost := errors.New("the store is gone")
	for name, after := range map[string]int64{"at once": 0, "on the way": firstWindow} {
		t.Run(name, func(t *testing.T) {
			src := &broken{bytes.NewReader(b), after, lost}
			drain := func(err error, next func() error) error {
				for err == nil {
					err = next()
				}
				return err
			}
			c, err := Cut(context.Background(), src, CutOptions{Length: 1e9})
			if err = drain(err, func() error { _, err := c.Next(); return err }); !errors.Is(err, lost) {
				t.Errorf("cut: %v", err)
			}
			d, err := Decode(context.Background(), src, DecodeOptions{})
			if err = drain(err, func() error { _, err := d.Next(); return err }); !errors.Is(err, lost) {
				t.Errorf("decode: %v", err)
			}
		})
	}
}

// canceling ends the context at the first read behind the first window.
type canceling struct {
	*bytes.Reader
	cancel context.CancelFunc
}

func (c *canceling) ReadAt(p []byte, off int64) (int, error) {
	if off >= firstWindow {
		c.cancel()
	}
	return c.Reader.ReadAt(p, off)
}

func TestContextEndsReading(t *testing.T) {
	b := clip{codec: "mjpeg", container: "avi", frames: 60, width: 640, height: 480, pixels: astiav.PixelFormatYuvj420P, options: map[string]string{"qmin": "1", "qmax": "1"}}.make(t)
	ctx, cancel := context.WithCancel(context.Background())
	d, err := Decode(ctx, &canceling{bytes.NewReader(b), cancel}, DecodeOptions{})
	if err == nil {
		defer d.Close()
		for err == nil {
			_, err = d.Next()
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after cancellation: %v", err)
	}
	if _, err := Probe(ctx, bytes.NewReader(b)); !errors.Is(err, context.Canceled) {
		t.Errorf("probe under a context that has ended: %v", err)
	}
}

// An index at the end costs one read more; no byte is read twice.
func TestFewReads(t *testing.T) {
	for name, muxer := range map[string]map[string]string{"index last": nil, "index first": {"moov_size": "65536"}} {
		t.Run(name, func(t *testing.T) {
			b := clip{codec: "mjpeg", container: "mp4", frames: 200, width: 640, height: 480, pixels: astiav.PixelFormatYuvj420P, options: map[string]string{"qmin": "1", "qmax": "1"}, muxer: muxer, sound: true}.make(t)
			if len(b) < 4<<20 {
				t.Fatalf("a clip of %d bytes is too small for this test", len(b))
			}
			src := newSource(b)
			cutAll(t, src, CutOptions{Length: 1_000_000})
			if src.reads > 6 {
				t.Errorf("%d reads of %d bytes", src.reads, len(b))
			}
		})
	}
}

func TestEmptySegmentOfNothing(t *testing.T) {
	c, err := Cut(context.Background(), bytes.NewReader(clip{codec: "libx264", container: "mp4", frames: 1}.make(t)), CutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Span != (Span{0, 40_000}) {
		t.Errorf("a clip of one frame is %v", s.Span)
	}
	if _, err := c.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last segment: %v", err)
	}
}
