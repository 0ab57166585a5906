package media

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stagedClip stages painted frames at the given times.
func stagedClip(t testing.TB, w, h int, times []int64) []byte {
	t.Helper()
	var s Stage
	defer s.Close()
	for i, us := range times {
		f := painted(t, YUVJ420, w, h, i)
		f.PTS = us
		if err := s.Add(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	b, kept, err := s.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(times, kept); diff != "" {
		t.Fatalf("times: %s", diff)
	}
	return b
}

func painted(t testing.TB, format Format, w, h, n int) *Frame {
	t.Helper()
	f, err := NewFrame(format, w, h)
	if err != nil {
		t.Fatal(err)
	}
	paint(f.av, w, h, n)
	return f
}

func TestStageAndReadBack(t *testing.T) {
	times := []int64{12_345_678, 12_512_345, 12_512_999, 13_000_000, 21_000_001}
	b := stagedClip(t, 160, 96, times)

	s, err := OpenStaged(context.Background(), bytes.NewReader(b), times, Size{80, 48}, Size{32, 64})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []int64
	for i := 0; ; i++ {
		f, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.PTS)
		if n := number(f.Frame); n != i || f.Width() != 160 || f.Height() != 96 {
			t.Errorf("frame %d is number %d of %dx%d", i, n, f.Width(), f.Height())
		}
		for j, size := range []Size{{80, 48}, {32, 64}} {
			p := f.Pictures[j]
			if p.W != size.W || p.H != size.H || len(p.Pix) < (p.H-1)*p.Stride+3*p.W {
				t.Fatalf("picture %d is %dx%d, %d bytes", j, p.W, p.H, len(p.Pix))
			}
			// The bars of the number are black or white in every size.
			for bit := range 16 {
				at := (p.H-p.H/12-1)*p.Stride + (2*bit+1)*p.W/32*3
				want := i>>bit&1 == 1
				if white := p.Pix[at+1] > 128; white != want {
					t.Errorf("frame %d, picture %d: bit %d is %v", i, j, bit, p.Pix[at:at+3])
				}
			}
		}
	}
	if diff := cmp.Diff(times, got); diff != "" {
		t.Error(diff)
	}
}

// TestStagedIsPlayable has the file opened as any clip is.
func TestStagedIsPlayable(t *testing.T) {
	b := stagedClip(t, 160, 96, []int64{0, 200_000, 400_000, 600_000})
	info, err := Probe(context.Background(), bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if info.Container != "matroska" || info.Video.Codec != "mjpeg" || info.Duration < 600_000 || info.Duration > 900_000 {
		t.Errorf("%+v", info)
	}
	if got := decodeAll(t, b, DecodeOptions{}); len(got) != 4 {
		t.Errorf("%d frames", len(got))
	}
}

func TestStageOfNothing(t *testing.T) {
	var s Stage
	defer s.Close()
	b, times, err := s.Finish()
	if b != nil || times != nil || err != nil {
		t.Errorf("%d bytes, times %v, %v", len(b), times, err)
	}
}

func TestStageRefuses(t *testing.T) {
	tests := map[string]func() *Frame{
		"another format":  func() *Frame { return painted(t, YUV420, 64, 48, 0) },
		"another size":    func() *Frame { return painted(t, YUVJ420, 66, 48, 0) },
		"an earlier time": func() *Frame { f := painted(t, YUVJ420, 64, 48, 0); f.PTS = -1; return f },
	}
	for name, second := range tests {
		t.Run(name, func(t *testing.T) {
			var s Stage
			defer s.Close()
			first := painted(t, YUVJ420, 64, 48, 0)
			defer first.Close()
			if err := s.Add(first); err != nil {
				t.Fatal(err)
			}
			f := second()
			defer f.Close()
			if f.PTS == 0 {
				f.PTS = 40_000
			}
			if err := s.Add(f); err == nil {
				t.Error("taken")
			}
		})
	}
}

// TestDamagedStagedFrameIsLeftOut: what follows keeps its time.
func TestDamagedStagedFrameIsLeftOut(t *testing.T) {
	times := []int64{0, 200_000, 400_000}
	b := stagedClip(t, 160, 96, times)
	start := []byte{0xff, 0xd8, 0xff}
	second := bytes.Index(b, start) + 3
	second += bytes.Index(b[second:], start)
	third := second + 3
	third += bytes.Index(b[third:], start)
	clear(b[second : second+(third-second)/2])

	s, err := OpenStaged(context.Background(), bytes.NewReader(b), times)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []int64
	for {
		f, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.PTS)
	}
	if diff := cmp.Diff([]int64{0, 400_000}, got); diff != "" {
		t.Error(diff)
	}
}

func TestStagedOfOtherMedia(t *testing.T) {
	b := clip{codec: "libx264", container: "mp4", frames: 3}.make(t)
	if s, err := OpenStaged(context.Background(), bytes.NewReader(b), []int64{0}); err == nil {
		s.Close()
		t.Error("H.264 was taken for staged frames")
	}
	if s, err := OpenStaged(context.Background(), bytes.NewReader([]byte("no media at all")), []int64{0}); err == nil {
		s.Close()
		t.Error("text was taken for staged frames")
	}
}

func BenchmarkStage1080p(b *testing.B) {
	f := painted(b, YUVJ420, 1920, 1080, 5)
	defer f.Close()
	var s Stage
	defer s.Close()
	for b.Loop() {
		f.PTS += 200_000
		if err := s.Add(f); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(s.out.b))/float64(len(s.times)), "bytes/frame")
}

func BenchmarkReadStaged1080p(b *testing.B) {
	var times []int64
	for i := range 25 {
		times = append(times, int64(i)*200_000)
	}
	mkv := stagedClip(b, 1920, 1080, times)
	b.ResetTimer()
	frames := 0
	for b.Loop() {
		s, err := OpenStaged(context.Background(), bytes.NewReader(mkv), times, Size{960, 540}, Size{512, 288})
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := s.Next(); err != nil {
				break
			}
			frames++
		}
		s.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(frames), "µs/frame")
}
