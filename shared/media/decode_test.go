package media

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/asticode/go-astiav"
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

func TestDecodeKeyframesOnly(t *testing.T) {
	b := clip{codec: "libx264", container: "mp4", frames: 100, bframes: 2}.make(t)
	want := []seen{{0, 0}, {1_000_000, 25}, {2_000_000, 50}, {3_000_000, 75}}
	if diff := cmp.Diff(want, decodeAll(t, b, DecodeOptions{Keyframes: true})); diff != "" {
		t.Error(diff)
	}
}

// Of every grid point the frame on display is found, whatever the clip's own times and wherever it was cut.
func TestSamplingDoesNotDependOnCuts(t *testing.T) {
	for name, tt := range map[string]struct {
		clip clip
		rate float64
		want []int // the first frames, by number
	}{
		"25 into 5":                {clip{codec: "libx264", container: "mp4", bframes: 2}, 5, []int{0, 5, 10, 15, 20, 25}},
		"25 into 10":               {clip{codec: "libx264", container: "mp4", bframes: 2}, 10, []int{0, 2, 5, 7, 10, 12}},
		"25 into 2":                {clip{codec: "libx264", container: "mpegts"}, 2, []int{0, 12, 25, 37, 50}},
		"25 into 25":               {clip{codec: "libx264", container: "mp4"}, 25, []int{0, 1, 2, 3, 4}},
		"25 into 100":              {clip{codec: "libx264", container: "mp4"}, 100, []int{0, 1, 2, 3, 4}},
		"30 into 5":                {clip{codec: "libx264", container: "mp4", rate: 30}, 5, []int{0, 6, 12, 18, 24}},
		"29.97 into 5":             {clip{codec: "libx264", container: "mp4", rate: 30, base: astiav.NewRational(1001, 30000)}, 5, []int{0, 5, 11, 17, 23}},
		"variable into 5":          {clip{codec: "libx264", container: "matroska", bframes: 2, times: uneven}, 5, []int{0, 5, 9, 13, 18, 19, 20}},
		"open groups":              {clip{codec: "libx265", container: "mp4", bframes: 3, options: map[string]string{"x265-params": "log-level=none:pools=none:frame-threads=1:scenecut=0"}}, 5, []int{0, 5, 10}},
		"a third of a frame":       {clip{codec: "libx264", container: "mp4"}, 0.5, []int{0, 50, 100}},
		"a rate that is not whole": {clip{codec: "libx264", container: "mp4"}, 3.7, []int{0, 6, 13, 20}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.clip.frames = 150
			b := tt.clip.make(t)
			whole := decodeAll(t, b, DecodeOptions{Rate: tt.rate})
			sampled := pictures(t, bytes.NewReader(b), DecodeOptions{Rate: tt.rate})
			if diff := cmp.Diff(sampledFromAll(t, b, tt.rate), sampled); diff != "" {
				t.Errorf("of all that were decoded (-) and of those that had to be (+):\n%s", diff)
			}
			for i, n := range tt.want {
				if i >= len(whole) || whole[i].Number != n {
					t.Fatalf("sampled %v, want frames %v first", whole[:min(len(whole), 2*len(tt.want))], tt.want)
				}
			}
			var parts []seen
			for _, s := range cutAll(t, bytes.NewReader(b), CutOptions{Length: 900_000}) {
				body, err := s.Bytes()
				if err != nil {
					t.Fatal(err)
				}
				parts = append(parts, decodeAll(t, body, DecodeOptions{Span: &s.Span, Rate: tt.rate})...)
			}
			if diff := cmp.Diff(whole, parts); diff != "" {
				t.Errorf("of the whole (-) and of the segments (+):\n%s", diff)
			}
		})
	}
}

// sampledFromAll decodes every frame and picks those on display at the grid's points.
func sampledFromAll(t testing.TB, b []byte, rate float64) (sampled []picture) {
	t.Helper()
	all := pictures(t, bytes.NewReader(b), DecodeOptions{})
	for i, p := range all {
		next := p.PTS + 33_333
		if i+1 < len(all) {
			next = all[i+1].PTS
		}
		for point := 0; ; point++ {
			at := float64(point) * 1e6 / rate
			if at >= float64(next) {
				break
			}
			if at >= float64(p.PTS) {
				sampled = append(sampled, p)
				break
			}
		}
	}
	return sampled
}

// quadrants are the mean luma of the corners: top left, top right, bottom left, bottom right.
func quadrants(f *Frame) (q [4]int) {
	p, stride := f.Plane(0)
	pixel := f.RowBytes(0) / f.Width()
	w, h := f.Width()/2, f.Height()/2
	for i := range q {
		for y := range h {
			for x := range w {
				q[i] += int(p[(y+i/2*h)*stride+(x+i%2*w)*pixel])
			}
		}
		q[i] /= w * h
	}
	return q
}

func TestDecodeTurnsScalesAndConverts(t *testing.T) {
	for name, tt := range map[string]struct {
		clip          clip
		options       DecodeOptions
		width, height int
		corner        int // to which the top left one goes
	}{
		"as it is":           {clip{}, DecodeOptions{}, 128, 96, 0},
		"smaller":            {clip{}, DecodeOptions{MaxWidth: 64, MaxHeight: 64}, 64, 48, 0},
		"never larger":       {clip{}, DecodeOptions{MaxWidth: 1000, MaxHeight: 1000}, 128, 96, 0},
		"turned":             {clip{rotation: 90}, DecodeOptions{}, 96, 128, 1},
		"turned, smaller":    {clip{rotation: 90}, DecodeOptions{MaxWidth: 48, MaxHeight: 1000}, 48, 64, 1},
		"head down":          {clip{rotation: 180}, DecodeOptions{}, 128, 96, 3},
		"other turn":         {clip{rotation: 270}, DecodeOptions{Scaling: Fast, MaxWidth: 50, MaxHeight: 50}, 38, 50, 2},
		"wide pixels":        {clip{aspect: astiav.NewRational(2, 1)}, DecodeOptions{}, 256, 96, 0},
		"wide, turned":       {clip{aspect: astiav.NewRational(2, 1), rotation: 90}, DecodeOptions{}, 96, 256, 1},
		"high pixels, small": {clip{aspect: astiav.NewRational(1, 2)}, DecodeOptions{MaxHeight: 48}, 32, 48, 0},
	} {
		for _, format := range []Format{YUV420, YUVJ420, RGB24, Gray} {
			t.Run(name+" to "+format.String(), func(t *testing.T) {
				c := tt.clip
				c.codec, c.container, c.frames, c.corner = "libx264", "mp4", 3, true
				o := tt.options
				o.Format = format
				d, err := Decode(context.Background(), bytes.NewReader(c.make(t)), o)
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				for range 3 {
					f, err := d.Next()
					if err != nil {
						t.Fatal(err)
					}
					if f.Width() != tt.width || f.Height() != tt.height || f.Format() != format {
						t.Fatalf("%dx%d %s, want %dx%d", f.Width(), f.Height(), f.Format(), tt.width, tt.height)
					}
					// Luma 235 is white in limited range, 255 in full; 16 and 0 are black.
					white, black := 255, 0
					if format == YUV420 {
						white, black = 235, 16
					}
					for i, v := range quadrants(f) {
						want := black
						if i == tt.corner {
							want = white
						}
						if v < want-12 || v > want+12 {
							t.Errorf("corners %v, want %d at %d and else %d", quadrants(f), white, tt.corner, black)
							break
						}
					}
				}
			})
		}
	}
}

func TestKeptFramesStay(t *testing.T) {
	b := clip{codec: "libx264", container: "mp4", frames: 40, bframes: 2}.make(t)
	for name, o := range map[string]DecodeOptions{"native": {}, "scaled": {MaxWidth: 64}} {
		t.Run(name, func(t *testing.T) {
			d, err := Decode(context.Background(), bytes.NewReader(b), o)
			if err != nil {
				t.Fatal(err)
			}
			var kept []*Frame
			var sums []uint32
			for {
				f, err := d.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				sums = append(sums, sum(f))
				k, err := f.Keep()
				if err != nil {
					t.Fatal(err)
				}
				kept = append(kept, k)
				f.Close() // harmless: it is borrowed
				drawn, err := f.Keep()
				if err != nil {
					t.Fatal(err)
				}
				if err := drawn.MakeWritable(); err != nil {
					t.Fatal(err)
				}
				p, _ := drawn.Plane(0)
				clear(p)
				drawn.Close()
			}
			d.Close()
			for i, f := range kept {
				if sum(f) != sums[i] || f.PTS != int64(i)*40_000 {
					t.Errorf("frame %d changed after it was kept", i)
				}
				f.Close()
				f.Close()
			}
		})
	}
}

func TestDamagedFramesAreSkipped(t *testing.T) {
	for name, c := range map[string]clip{
		"h264":  {codec: "libx264", container: "mpegts", frames: 100, bframes: 2},
		"hevc":  {codec: "libx265", container: "matroska", frames: 100, options: map[string]string{"x265-params": "log-level=none:pools=none"}},
		"mjpeg": {codec: "mjpeg", container: "avi", frames: 100, pixels: astiav.PixelFormatYuvj420P},
		"vp9":   {codec: "libvpx-vp9", container: "webm", frames: 100, options: map[string]string{"deadline": "realtime", "cpu-used": "8"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := c.make(t)
			r := rand.New(rand.NewPCG(1, 2))
			for range len(b) / 200 {
				b[len(b)/5+r.IntN(len(b)*4/5)] ^= byte(1 << r.IntN(8))
			}
			d, err := Decode(context.Background(), bytes.NewReader(b), DecodeOptions{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			n, last := 0, int64(-1)
			for {
				f, err := d.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if f.PTS <= last {
					t.Errorf("frame at %d after %d", f.PTS, last)
				}
				last = f.PTS
				n++
			}
			if n < 20 {
				t.Errorf("%d frames of 100, %d skipped", n, d.Skipped())
			}
		})
	}
}

func TestNothingDecodable(t *testing.T) {
	b := clip{codec: "mjpeg", container: "avi", frames: 10, pixels: astiav.PixelFormatYuvj420P}.make(t)
	for i := bytes.Index(b, []byte("movi")) + 12; i < len(b)-200; i++ {
		if b[i] != '0' && b[i] != 'd' && b[i] != 'c' {
			b[i] = 0x55
		}
	}
	d, err := Decode(context.Background(), bytes.NewReader(b), DecodeOptions{})
	if err == nil {
		defer d.Close()
		for err == nil {
			_, err = d.Next()
		}
	}
	var u *Unreadable
	if !errors.As(err, &u) {
		t.Errorf("a clip of noise: %v", err)
	}
}
