package media

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"testing"

	"github.com/asticode/go-astiav"
	"github.com/google/go-cmp/cmp"
)

// matrix is every kind of clip that must be cut without a frame lost or doubled.
var matrix = map[string]clip{
	"h264 in mp4":                       {codec: "libx264", container: "mp4", bframes: 3, sound: true},
	"h264 in mov, turned":               {codec: "libx264", container: "mov", bframes: 2, rotation: 90},
	"h264 in matroska":                  {codec: "libx264", container: "matroska", bframes: 3, sound: true},
	"h264 in mpegts":                    {codec: "libx264", container: "mpegts", bframes: 2, sound: true},
	"h264 in avi":                       {codec: "libx264", container: "avi", sound: true},
	"h264 in flv":                       {codec: "libx264", container: "flv", bframes: 2, sound: true},
	"h264, fragmented":                  {codec: "libx264", container: "mp4", bframes: 2, sound: true, muxer: map[string]string{"movflags": "frag_keyframe+empty_moov"}},
	"h264, open groups, mp4":            {codec: "libx264", container: "mp4", bframes: 3, options: map[string]string{"x264-params": "open-gop=1:scenecut=0"}},
	"h264, open groups, mpegts":         {codec: "libx264", container: "mpegts", bframes: 3, options: map[string]string{"x264-params": "open-gop=1:scenecut=0"}},
	"h264, open groups, matroska":       {codec: "libx264", container: "matroska", bframes: 3, options: map[string]string{"x264-params": "open-gop=1:scenecut=0"}},
	"hevc in mp4, open groups":          {codec: "libx265", container: "mp4", bframes: 3, options: map[string]string{"x265-params": "log-level=none:pools=none:frame-threads=1:scenecut=0"}},
	"hevc in mpegts, open groups":       {codec: "libx265", container: "mpegts", bframes: 3, options: map[string]string{"x265-params": "log-level=none:pools=none:frame-threads=1:scenecut=0"}},
	"hevc in matroska":                  {codec: "libx265", container: "matroska", bframes: 3, options: map[string]string{"x265-params": "log-level=none:pools=none:frame-threads=1:scenecut=0"}},
	"vp8 in webm":                       {codec: "libvpx", container: "webm", sound: true, options: map[string]string{"deadline": "realtime", "cpu-used": "8"}},
	"vp9 in webm":                       {codec: "libvpx-vp9", container: "webm", options: map[string]string{"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "8"}},
	"av1 in mp4":                        {codec: "libsvtav1", container: "mp4", options: map[string]string{"preset": "12", "svtav1-params": "lp=1"}},
	"mpeg4 in avi":                      {codec: "mpeg4", container: "avi"},
	"mpeg4 in mp4":                      {codec: "mpeg4", container: "mp4", bframes: 2},
	"mjpeg in avi":                      {codec: "mjpeg", container: "avi", pixels: astiav.PixelFormatYuvj420P},
	"mjpeg in mov":                      {codec: "mjpeg", container: "mov", pixels: astiav.PixelFormatYuvj420P},
	"ms-mpeg4 in avi":                   {codec: "msmpeg4", container: "avi", sound: true},
	"mpeg4 in avi, B-frames":            {codec: "mpeg4", container: "avi", bframes: 2},
	"h264 in avi, B-frames":             {codec: "libx264", container: "avi", bframes: 2},
	"h264 alone":                        {codec: "libx264", container: "h264", bframes: 2},
	"hevc alone":                        {codec: "libx265", container: "hevc", bframes: 2, options: map[string]string{"x265-params": "log-level=none:pools=none:frame-threads=1:scenecut=0:no-open-gop=1"}},
	"mpeg2 in a program stream":         {codec: "mpeg2video", container: "vob", bframes: 2},
	"telephone sound":                   {codec: "libx264", container: "matroska", sound: true, telephone: true},
	"telephone sound that begins later": {codec: "libx264", container: "matroska", sound: true, telephone: true, silent: func(t float64) bool { return t < 3 }},
	"sound that pauses":                 {codec: "libx264", container: "mp4", bframes: 2, sound: true, silent: func(t float64) bool { return t > 1 && t < 4.5 }},
	"wmv in asf":                        {codec: "wmv2", container: "asf"},
	"mpeg2 in mpegts":                   {codec: "mpeg2video", container: "mpegts", bframes: 2},
	"variable rate in mp4":              {codec: "libx264", container: "mp4", bframes: 2, times: uneven},
	"variable rate in matroska":         {codec: "libx264", container: "matroska", bframes: 2, times: uneven},
	"begins late, mpegts":               {codec: "libx264", container: "mpegts", bframes: 2, first: 250_000, sound: true},
	"begins late, matroska":             {codec: "libx264", container: "matroska", first: 1000},
	"29.97 frames a second in avi":      {codec: "msmpeg4", container: "avi", rate: 30, base: astiav.NewRational(1001, 30000), times: func(i int) int64 { return int64(i) }},
}

// uneven leaves gaps of up to half a second.
func uneven(i int) int64 { return int64(i + i/7 + i/20*12) }

// picture is what must be the same of a frame wherever it is decoded.
type picture struct {
	PTS int64
	Sum uint32
}

func sum(f *Frame) uint32 {
	h := crc32.NewIEEE()
	for i := range f.Planes() {
		p, stride := f.Plane(i)
		for row := 0; row < len(p); row += stride {
			h.Write(p[row:][:f.RowBytes(i)])
		}
	}
	return h.Sum32()
}

func pictures(t testing.TB, src Source, o DecodeOptions) []picture {
	t.Helper()
	d, err := Decode(context.Background(), src, o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var all []picture
	for {
		f, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, picture{f.PTS, sum(f)})
	}
	if d.Skipped() > 0 {
		t.Errorf("skipped %d frames", d.Skipped())
	}
	return all
}

// sounds are the times of the packets of sound.
func sounds(t testing.TB, src Source, segment bool) []int64 {
	t.Helper()
	in, err := openInput(context.Background(), src)
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	if err := in.findOrigin(); err != nil {
		t.Fatal(err)
	}
	if segment {
		in.origin = 0
	}
	var all []int64
	for {
		p, err := in.read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if !in.isVideo(p) && in.soundTime(p) >= 0 {
			all = append(all, in.soundTime(p))
		}
		p.Free()
	}
}

func cutAll(t testing.TB, src Source, o CutOptions) []*Segment {
	t.Helper()
	c, err := Cut(context.Background(), src, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all []*Segment
	for {
		s, err := c.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		all = append(all, s)
	}
}

func TestCutLosesAndDoublesNothing(t *testing.T) {
	for name, c := range matrix {
		t.Run(name, func(t *testing.T) {
			if c.frames == 0 {
				c.frames = 160
			}
			b := c.make(t)
			whole := pictures(t, bytes.NewReader(b), DecodeOptions{})
			if len(whole) != c.frames || whole[0].PTS != 0 {
				t.Fatalf("the whole clip gives %d frames from %d on, want %d from 0 on", len(whole), whole[0].PTS, c.frames)
			}
			segments := cutAll(t, bytes.NewReader(b), CutOptions{Length: 1_500_000})
			if len(segments) < 3 {
				t.Fatalf("%d segments of %d frames", len(segments), c.frames)
			}
			t.Logf("segments are in %s", segments[0].Container)
			var parts []picture
			end := int64(0)
			for _, s := range segments {
				if s.Start != end || s.End <= s.Start {
					t.Errorf("segment of %d to %d µs after %d", s.Start, s.End, end)
				}
				end = s.End
				parts = append(parts, pictures(t, s, DecodeOptions{Span: &s.Span})...)
			}
			if diff := cmp.Diff(whole, parts); diff != "" {
				t.Errorf("whole (-) and segments (+), in %s:\n%s", segments[0].Container, diff)
			}
			if c.sound {
				whole := sounds(t, bytes.NewReader(b), false)
				var parts []int64
				for _, s := range segments {
					parts = append(parts, sounds(t, s, true)...)
				}
				if diff := cmp.Diff(whole, parts); diff != "" || len(parts) < c.frames/4 {
					t.Errorf("sound of the whole (-) and of segments (+), in %s:\n%s", segments[0].Container, diff)
				}
			}
			// Taken up anywhere, the same cuts come.
			for i, want := range segments {
				if i == 0 {
					continue
				}
				rest := cutAll(t, bytes.NewReader(b), CutOptions{Length: 1_500_000, From: want.Start})
				if len(rest) != len(segments)-i {
					t.Fatalf("from segment %d on there are %d, want %d", i, len(rest), len(segments)-i)
				}
				for j, s := range rest {
					whole, err := segments[i+j].Bytes()
					if err != nil {
						t.Fatal(err)
					}
					part, err := s.Bytes()
					if err != nil {
						t.Fatal(err)
					}
					if s.Span != segments[i+j].Span || !bytes.Equal(whole, part) {
						t.Errorf("from segment %d on, segment %d is %v of %d bytes, want %v of %d", i, i+j, s.Span, len(part), segments[i+j].Span, len(whole))
					}
				}
			}
		})
	}
}

func TestCutKeepsWhatAnEditListHidesHidden(t *testing.T) {
	b := clip{codec: "libx264", container: "mp4", bframes: 2, frames: 160, first: -30, sound: true}.make(t)
	whole := decodeAll(t, b, DecodeOptions{})
	if len(whole) != 130 || whole[0] != (seen{0, 30}) || whole[129] != (seen{129 * 40_000, 159}) {
		t.Fatalf("the whole clip gives %d frames, from %v to %v", len(whole), whole[0], whole[len(whole)-1])
	}
	var parts []seen
	for _, s := range cutAll(t, bytes.NewReader(b), CutOptions{Length: 1_500_000}) {
		body, err := s.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, decodeAll(t, body, DecodeOptions{Span: &s.Span})...)
	}
	if diff := cmp.Diff(whole, parts); diff != "" {
		t.Error(diff)
	}
}

// A stream put together of two that count from the same time is one clip.
func TestClockThatStartsAnew(t *testing.T) {
	piece := clip{codec: "libx264", container: "mpegts", bframes: 2, frames: 350, sound: true, width: 64, height: 48}.make(t)
	b := append(bytes.Clone(piece), piece...)
	whole := pictures(t, bytes.NewReader(b), DecodeOptions{})
	if last := whole[len(whole)-1].PTS; len(whole) < 698 || last < 27_000_000 || last > 29_000_000 {
		t.Fatalf("%d frames until %d, want 700 of 28 s", len(whole), last)
	}
	segments := cutAll(t, bytes.NewReader(b), CutOptions{Length: 4_000_000})
	var parts []picture
	for _, s := range segments {
		parts = append(parts, pictures(t, s, DecodeOptions{Span: &s.Span})...)
	}
	if diff := cmp.Diff(whole, parts); diff != "" {
		t.Error(diff)
	}
	rest := cutAll(t, bytes.NewReader(b), CutOptions{Length: 4_000_000, From: segments[5].Start})
	if len(rest) != len(segments)-5 || rest[0].Span != segments[5].Span {
		t.Errorf("taken up at segment 5 come %d segments of %d", len(rest), len(segments)-5)
	}
}
