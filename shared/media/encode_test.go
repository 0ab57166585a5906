package media

import (
	"bytes"
	"context"
	"errors"
	"image"
	"io"
	"math"
	"testing"

	"github.com/asticode/go-astiav"
	"github.com/google/go-cmp/cmp"
)

// span of a test clip.
func (c clip) span() Span {
	c = c.withDefaults()
	tick := int64(1_000_000 / c.rate)
	return Span{Start: c.first * tick, End: (c.first + c.times(c.frames-1) + 1) * tick}
}

func encodeClip(t testing.TB, c clip, o EncodeOptions) *Encoded {
	t.Helper()
	o.Span, o.Sound = c.span(), c.sound
	if o.Width == 0 {
		o.Width, o.Height = 128, 96
	}
	e, err := Encode(context.Background(), bytes.NewReader(c.make(t)), o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestEncodeKeepsPicturesAndTimes: every picture once, in order, at its distance from the segment's start.
func TestEncodeKeepsPicturesAndTimes(t *testing.T) {
	uneven := func(i int) int64 { return int64(i) + int64(i/10)*7 } // a camera that stalls
	tests := map[string]clip{
		"constant rate":              {codec: "libx264", container: "mp4", frames: 40},
		"reordered":                  {codec: "libx264", container: "mp4", frames: 40, bframes: 3},
		"variable rate":              {codec: "libx264", container: "mp4", frames: 40, times: uneven},
		"the second of two segments": {codec: "libx264", container: "mp4", frames: 30, first: 250},
		"full range":                 {codec: "mjpeg", container: "matroska", frames: 12, pixels: astiav.PixelFormatYuvj420P},
		"half a frame a second":      {codec: "libx264", container: "matroska", frames: 4, rate: 25, times: func(i int) int64 { return int64(i) * 50 }},
		"one picture":                {codec: "libx264", container: "mp4", frames: 1},
		"with sound":                 {codec: "libx264", container: "mp4", frames: 40, sound: true},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			span := c.span()
			e := encodeClip(t, c, EncodeOptions{})
			if e.Frames != c.frames || e.Skipped != 0 {
				t.Errorf("%d frames, %d skipped, want %d", e.Frames, e.Skipped, c.frames)
			}
			d := c.withDefaults()
			for i, got := range decodeAll(t, e.MP4, DecodeOptions{}) {
				want := d.times(i) * 1_000_000 / int64(d.rate)
				if got.Number != i || got.PTS != want {
					t.Errorf("picture %d is number %d at %d µs, want %d", i, got.Number, got.PTS, want)
				}
			}
			info, err := Probe(context.Background(), bytes.NewReader(e.MP4))
			if err != nil {
				t.Fatal(err)
			}
			// The file lasts as long as its longer track, and sound ends in whole packets.
			length := span.End - span.Start
			if beyond := info.Duration - length; beyond < 0 || beyond > 0 && !c.sound || beyond > 22_000 {
				t.Errorf("lasts %d µs, want %d", info.Duration, length)
			}
			if info.Video.Codec != "h264" || (info.Audio != nil) != c.sound {
				t.Errorf("%+v", info)
			}
			in, err := openInput(context.Background(), bytes.NewReader(e.MP4))
			if err != nil {
				t.Fatal(err)
			}
			defer in.close()
			if got := rescale(in.video.Duration(), in.base, microsecond); got != length {
				t.Errorf("its video lasts %d µs, want %d", got, length)
			}
		})
	}
}

// TestEncodeStretch encodes a part of a segment, which begins and ends between pictures and keyframes.
func TestEncodeStretch(t *testing.T) {
	c := clip{codec: "libx264", container: "mp4", frames: 50, first: 250, gop: 50}
	b := withBeeps(t, c, 10_200_000, 10_900_000, 11_500_000)
	e, err := Encode(context.Background(), bytes.NewReader(b), EncodeOptions{
		Span: Span{Start: 10_510_000, End: 11_110_000}, Width: 128, Height: 96, Sound: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []seen
	for i := 13; i <= 27; i++ { // at 10.52 to 11.08 s
		want = append(want, seen{Number: i, PTS: int64(i)*40_000 - 510_000})
	}
	want[0].PTS = 0
	if diff := cmp.Diff(want, decodeAll(t, e.MP4, DecodeOptions{})); diff != "" {
		t.Error(diff)
	}
	near(t, beepsIn(t, e.MP4), []int64{390_000}, 2000)
}

// TestEncodeSaysWhatColoursAre: players guess otherwise, each in its own way.
func TestEncodeSaysWhatColoursAre(t *testing.T) {
	tests := map[string]struct {
		clip
		want astiav.ColorSpace
	}{
		"told":   {clip{codec: "libx264", container: "mp4", frames: 3, options: map[string]string{"colorspace": "bt709"}}, astiav.ColorSpaceBt709},
		"untold": {clip{codec: "libx264", container: "mp4", frames: 3}, astiav.ColorSpaceSmpte170M},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, o := range []EncodeOptions{{Width: 128, Height: 96}, {Width: 64, Height: 48}} {
				in, err := openInput(context.Background(), bytes.NewReader(encodeClip(t, test.clip, o).MP4))
				if err != nil {
					t.Fatal(err)
				}
				defer in.close()
				if p := in.video.CodecParameters(); p.ColorSpace() != test.want || p.ColorRange() != astiav.ColorRangeMpeg {
					t.Errorf("at %dx%d it says %v, %v", o.Width, o.Height, p.ColorSpace(), p.ColorRange())
				}
			}
		})
	}
}

// TestMatrixIsWhatTheScalerUsed looks at what becomes of red, whose luma tells.
func TestMatrixIsWhatTheScalerUsed(t *testing.T) {
	luma := map[astiav.ColorSpace]byte{astiav.ColorSpaceSmpte170M: 81, astiav.ColorSpaceBt709: 63}
	for _, told := range []astiav.ColorSpace{astiav.ColorSpaceUnspecified, astiav.ColorSpaceRgb, astiav.ColorSpaceBt709} {
		red, err := NewFrame(RGB24, 16, 16)
		if err != nil {
			t.Fatal(err)
		}
		defer red.Close()
		pix, stride := red.Plane(0)
		clear(pix)
		for y := range 16 {
			for x := range 16 {
				pix[y*stride+3*x] = 255
			}
		}
		red.av.SetColorSpace(told)
		f, err := NewFrame(YUV420, 16, 16)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s := scaler{format: YUV420, width: 16, height: 16}
		defer s.close()
		if err := s.run(red.av, f); err != nil {
			t.Fatal(err)
		}
		y, _ := f.Plane(0)
		if want := luma[f.matrix()]; y[0] < want-2 || y[0] > want+2 {
			t.Errorf("%v: red has luma %d, and is said to be %v, where it has %d", told, y[0], f.matrix(), want)
		}
	}
}

func TestEncodeDraws(t *testing.T) {
	c := clip{codec: "libx264", container: "mp4", frames: 10, first: 100, width: 320, height: 240}
	var times []int64
	e := encodeClip(t, c, EncodeOptions{
		Width: 160, Height: 120, Poster: 4_100_000, PosterWidth: 80,
		Draw: func(p *image.YCbCr, us int64) {
			times = append(times, us)
			if p.Rect != image.Rect(0, 0, 160, 120) {
				t.Errorf("drawing on %v", p.Rect)
			}
			for y := 40; y < 60; y++ {
				for x := 120; x < 140; x++ {
					p.Y[p.YOffset(x, y)] = byte(16 + 20*len(times))
					p.Cb[p.COffset(x, y)], p.Cr[p.COffset(x, y)] = 128, 128
				}
			}
		},
	})
	var want []int64
	for i := range 10 {
		want = append(want, 4_000_000+int64(i)*40_000)
	}
	if diff := cmp.Diff(want, times); diff != "" {
		t.Errorf("times of the clip: %s", diff)
	}
	d, err := Decode(context.Background(), bytes.NewReader(e.MP4), DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := 1; ; i++ {
		f, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		y, stride := f.Plane(0)
		if got, want := int(y[50*stride+130]), 16+20*i; got < want-6 || got > want+6 {
			t.Errorf("picture %d has %d where %d was drawn", i, got, want)
		}
	}
	if e.Poster == nil || e.Poster.W != 80 || e.Poster.H != 60 {
		t.Fatalf("poster %+v", e.Poster)
	}
	// The poster is the picture at 4.12 s, the fourth: 16+20·4 of limited range are 93 of full range.
	if got := int(e.Poster.Pix[25*e.Poster.Stride+65*3+1]); got < 88 || got > 98 {
		t.Errorf("poster has %d where it was drawn on", got)
	}
}

func TestEncodeRefuses(t *testing.T) {
	whole := clip{codec: "libx264", container: "mp4", frames: 3}
	good := whole.make(t)
	ok := EncodeOptions{Span: whole.span(), Width: 128, Height: 96}
	odd, empty, elsewhere := ok, ok, ok
	odd.Width = 127
	empty.Span.End = 0
	elsewhere.Span = Span{Start: 60e6, End: 70e6}
	tests := map[string]struct {
		b    []byte
		o    EncodeOptions
		want Reason
	}{
		"an odd width":        {good, odd, ""},
		"an empty span":       {good, empty, ""},
		"a span with nothing": {good, elsewhere, Undecodable},
		"text":                {[]byte("no media at all"), ok, NotVideo},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Encode(context.Background(), bytes.NewReader(test.b), test.o)
			if err == nil {
				t.Fatal("encoded")
			}
			var u *Unreadable
			if errors.As(err, &u) != (test.want != "") || u != nil && u.Reason != test.want {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestEncodeStopsWhenCancelled(t *testing.T) {
	c := clip{codec: "libx264", container: "mp4", frames: 50, sound: true}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	drawn := 0
	_, err := Encode(ctx, bytes.NewReader(c.make(t)), EncodeOptions{
		Span: c.span(), Width: 128, Height: 96, Sound: true,
		Draw: func(*image.YCbCr, int64) {
			if drawn++; drawn == 5 {
				cancel()
			}
		},
	})
	if !errors.Is(err, context.Canceled) || drawn != 5 {
		t.Errorf("drew %d pictures, then: %v", drawn, err)
	}
}

// withBeeps gives a silent clip a sound track that beeps for a tenth of a second at the given times of the clip.
func withBeeps(t testing.TB, c clip, beeps ...int64) []byte {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("add sound: %v", err)
		}
	}
	span := c.span()
	s := &soundtrack{total: rescale(span.End-span.Start, microsecond, sample)}
	defer s.close()
	check(s.open())
	tone := make([]float32, soundRate/10)
	for i := range tone {
		tone[i] = float32(.5 * math.Sin(float64(i)*2*math.Pi*1000/soundRate))
	}
	for _, us := range beeps {
		check(s.put(rescale(us-span.Start, microsecond, sample), tone, tone))
	}
	check(s.end())

	in, err := openInput(context.Background(), bytes.NewReader(c.make(t)))
	check(err)
	defer in.close()
	out := &memory{}
	k, err := newSink("matroska", out)
	check(err)
	defer k.close()
	video, err := k.add(in.video.CodecParameters().Copy, in.base)
	check(err)
	audio, err := k.add(s.codec.ToCodecParameters, sample)
	check(err)
	check(k.begin(nil))
	for _, p := range s.packets {
		p.SetPts(p.Pts() + rescale(span.Start, microsecond, sample))
		p.SetDts(p.Pts())
		check(k.write(p, audio, sample))
	}
	for {
		p, err := in.read()
		if errors.Is(err, io.EOF) {
			break
		}
		check(err)
		check(k.write(p, video, in.base))
		p.Free()
	}
	check(k.end())
	return out.b
}

// beepsIn are the times at which sound begins.
func beepsIn(t testing.TB, b []byte) []int64 {
	t.Helper()
	in, err := openInput(context.Background(), bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	if in.audio == nil {
		t.Fatal("no sound")
	}
	decoder := astiav.FindDecoder(astiav.CodecIDAac)
	codec, frame := astiav.AllocCodecContext(decoder), astiav.AllocFrame()
	defer codec.Free()
	defer frame.Free()
	if err := errors.Join(codec.FromCodecParameters(in.audio.CodecParameters()), codec.Open(decoder, nil)); err != nil {
		t.Fatal(err)
	}
	var times []int64
	next, loud, last := int64(0), false, int64(0)
	for {
		p, err := in.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if in.isVideo(p) {
			p.Free()
			continue
		}
		if p.Pts() != next {
			t.Errorf("a packet of sound begins at %d, the one before ended at %d", p.Pts(), next)
		}
		next = p.Pts() + p.Duration()
		at := p.Pts()
		err = codec.SendPacket(p)
		p.Free()
		if err != nil {
			t.Fatal(err)
		}
		for codec.ReceiveFrame(frame) == nil {
			left, _ := channels(frame)
			for i, v := range left {
				switch sampled := at + int64(i); {
				case v > .3 && !loud:
					loud, last = true, sampled
					times = append(times, rescale(sampled, sample, microsecond))
				case v > .3:
					last = sampled
				case loud && sampled-last > soundRate/50:
					loud = false
				}
			}
		}
	}
	return times
}

// near compares times that may differ by so many microseconds.
func near(t *testing.T, got, want []int64, by int64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %d, want %d", got, want)
		return
	}
	for i := range want {
		if off := got[i] - want[i]; off < -by || off > by {
			t.Errorf("got %d, want %d", got, want)
			return
		}
	}
}

func TestEncodeKeepsSoundInStep(t *testing.T) {
	c := clip{codec: "libx264", container: "mp4", frames: 75, first: 250}
	b := withBeeps(t, c, 10_500_000, 11_200_000, 12_800_000)
	e, err := Encode(context.Background(), bytes.NewReader(b), EncodeOptions{Span: c.span(), Width: 128, Height: 96, Sound: true})
	if err != nil {
		t.Fatal(err)
	}
	near(t, beepsIn(t, e.MP4), []int64{500_000, 1_200_000, 2_800_000}, 2000)
}

// TestSoundIsPutWhereItBelongs: at the start to the sample, later as long as a clock only wavers without a seam.
func TestSoundIsPutWhereItBelongs(t *testing.T) {
	tests := map[string]struct {
		at   []int64 // where 4000 samples each are put, of 10000
		want int64   // samples taken in the end
	}{
		"from the start":               {[]int64{0, 4000}, 8000},
		"a little late":                {[]int64{700}, 4700},
		"from before the start":        {[]int64{-1500}, 2500},
		"long before":                  {[]int64{-9000}, 0},
		"a clock that wavers":          {[]int64{0, 4300}, 8000},
		"a clock that wavers back":     {[]int64{0, 3700}, 8000},
		"a hole":                       {[]int64{0, 7000}, 10000},
		"the same twice":               {[]int64{0, 0}, 4000},
		"after the end":                {[]int64{12000}, 10000},
		"over the end":                 {[]int64{0, 4000, 8000}, 10000},
		"a hole, then what was before": {[]int64{0, 7000, 2000}, 10000},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &soundtrack{total: 10000}
			defer s.close()
			if err := s.open(); err != nil {
				t.Fatal(err)
			}
			tone := make([]float32, 4000)
			for _, at := range test.at {
				if err := s.put(at, tone, tone); err != nil {
					t.Fatal(err)
				}
			}
			if s.at != test.want {
				t.Errorf("%d samples, want %d", s.at, test.want)
			}
			if err := s.end(); err != nil || len(s.packets) != 10 {
				t.Errorf("%d packets, %v", len(s.packets), err)
			}
		})
	}
}

func TestEncodeMakesSilenceWhereThereIsNoSound(t *testing.T) {
	c := clip{codec: "libx264", container: "mp4", frames: 25}
	e, err := Encode(context.Background(), bytes.NewReader(c.make(t)), EncodeOptions{Span: c.span(), Width: 128, Height: 96, Sound: true})
	if err != nil {
		t.Fatal(err)
	}
	near(t, beepsIn(t, e.MP4), nil, 0)
	holes := clip{codec: "libx264", container: "matroska", frames: 100, sound: true, silent: func(s float64) bool { return s > 1 && s < 3 }}
	near(t, beepsIn(t, encodeClip(t, holes, EncodeOptions{}).MP4), nil, 0)
}

// TestSoundOfAnyKind: what cameras record is resampled.
func TestSoundOfAnyKind(t *testing.T) {
	for name, c := range map[string]clip{
		"mono μ-law": {codec: "mpeg4", container: "avi", frames: 50, sound: true},
		"opus":       {codec: "libvpx", container: "webm", frames: 20, sound: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := encodeClip(t, c, EncodeOptions{})
			near(t, beepsIn(t, e.MP4), nil, 0)
		})
	}
}

func TestEncodedSize(t *testing.T) {
	type size = [4]int
	got := map[size][2]int{{1920, 1080, 1280, 720}: {}, {640, 361, 1280, 720}: {}, {1080, 1920, 1280, 720}: {}, {4000, 100, 1280, 720}: {}}
	for k := range got {
		w, h := EncodedSize(k[0], k[1], k[2], k[3])
		got[k] = [2]int{w, h}
	}
	want := map[size][2]int{{1920, 1080, 1280, 720}: {1280, 720}, {640, 361, 1280, 720}: {640, 362}, {1080, 1920, 1280, 720}: {406, 720}, {4000, 100, 1280, 720}: {1280, 32}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
