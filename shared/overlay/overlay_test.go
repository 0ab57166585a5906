package overlay

import (
	"flag"
	"image"
	"image/png"
	"math"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/vision"
)

func seen(us int64, left float64, face *vision.Box) findings.Observation {
	return findings.Observation{US: us, Box: vision.Box{X: left, Y: .2, W: .1, H: .4}, Score: .5, Face: face}
}

func TestInterpolate(t *testing.T) {
	face := &vision.Box{X: .13, Y: .22, W: .02, H: .04}
	points := []findings.Observation{seen(1_000_000, .1, face), seen(1_200_000, .2, nil), seen(4_000_000, .6, nil)}
	tests := map[string]struct {
		us   int64
		left float64 // -1: not there
		face float64 // 0: none
	}{
		"long before":            {700_000, -1, 0},
		"just before":            {800_000, .1, .13},
		"at an observation":      {1_000_000, .1, .13},
		"a quarter of the way":   {1_050_000, .125, .155},
		"nearer to the faceless": {1_150_000, .175, 0},
		"just after a sighting":  {1_400_000, .2, 0},
		"within too long a gap":  {2_600_000, -1, 0},
		"just before the next":   {3_900_000, .6, 0},
		"just after the last":    {4_200_000, .6, 0},
		"long after":             {4_300_000, -1, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			at, ok := Interpolate(points, test.us)
			if ok != (test.left >= 0) {
				t.Fatalf("there: %v", ok)
			}
			if !ok {
				return
			}
			if math.Abs(at.Box.X-test.left) > 1e-9 || at.Box.W != .1 {
				t.Errorf("box %v, want left %v", at.Box, test.left)
			}
			if (at.Face != nil) != (test.face > 0) || at.Face != nil && math.Abs(at.Face.X-test.face) > 1e-9 {
				t.Errorf("face %v, want left %v", at.Face, test.face)
			}
		})
	}
	if _, ok := Interpolate(nil, 0); ok {
		t.Error("an object that was never seen is there")
	}
	if *face != (vision.Box{X: .13, Y: .22, W: .02, H: .04}) {
		t.Error("the findings were changed")
	}
}

func TestClock(t *testing.T) {
	got := map[int64]string{0: "", 99_999: "", 59_950_000: "", 3_599_999_999: "", 359_999_900_000: "", -1_500_000: ""}
	for us := range got {
		got[us] = Clock(us)
	}
	want := map[int64]string{0: "00:00:00.0", 99_999: "00:00:00.0", 59_950_000: "00:00:59.9", 3_599_999_999: "00:59:59.9",
		359_999_900_000: "99:59:59.9", -1_500_000: "-00:00:01.5"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestDrawOnlyWhereSomethingIs looks at pixels: the box is drawn where the object is, inside it the picture stays, and what
// is far from both box and clock is untouched.
func TestDrawOnlyWhereSomethingIs(t *testing.T) {
	p := grey(640, 360)
	tracks := []Track{{Number: 3, Points: []findings.Observation{{US: 0, Box: vision.Box{X: .5, Y: .5, W: .25, H: .25}}}}}
	Draw(p, tracks, 0)
	colour := colourOf(3)
	for _, at := range []image.Point{{320, 180}, {479, 180}, {320, 269}, {479, 269}, {400, 180}, {320, 225}} {
		if got := p.YCbCrAt(at.X, at.Y); got != colour {
			t.Errorf("edge at %v is %v, want %v", at, got, colour)
		}
	}
	for _, at := range []image.Point{{400, 225}, {100, 100}, {600, 300}, {318, 225}, {481, 225}} {
		if got := p.YCbCrAt(at.X, at.Y); got.Y != 120 || got.Cb != 128 || got.Cr != 128 {
			t.Errorf("picture at %v was changed to %v", at, got)
		}
	}

	gone := grey(640, 360)
	Draw(gone, tracks, 10_000_000)
	if got := gone.YCbCrAt(320, 180); got.Y != 120 {
		t.Errorf("an object that is gone is drawn: %v", got)
	}
}

func TestColoursDiffer(t *testing.T) {
	for a := range 12 {
		for b := a + 1; b < 12; b++ {
			ca, cb := colourOf(a), colourOf(b)
			if math.Abs(float64(ca.Cb)-float64(cb.Cb))+math.Abs(float64(ca.Cr)-float64(cb.Cr)) < 8 {
				t.Errorf("tracks %d and %d look alike: %v and %v", a, b, ca, cb)
			}
		}
	}
}

// FuzzDraw: whatever the findings say, drawing stays within the picture (an access beyond it panics or is caught by the
// rows added around it).
func FuzzDraw(f *testing.F) {
	f.Add(.1, .1, .5, .5, 64, 36, "7")
	f.Add(-5., 2., 9., -1., 2, 2, "\x00é~")
	f.Add(math.Inf(1), math.NaN(), 1e300, -1e300, 128, 2, "")
	f.Fuzz(func(t *testing.T, x, y, w, h float64, width, height int, label string) {
		if width < 2 || height < 2 || width > 300 || height > 300 || len(label) > 40 {
			t.Skip("no picture of ours")
		}
		width, height = width/2*2, height/2*2
		whole := grey(width+32, height+32)
		inner := whole.SubImage(image.Rect(16, 16, 16+width, 16+height)).(*image.YCbCr)
		box := vision.Box{X: x, Y: y, W: w, H: h}
		Draw(inner, []Track{{Number: 1, Label: label, Points: []findings.Observation{{Box: box, Face: &box}}}}, 0)
		for py := range height + 32 {
			for px := range width + 32 {
				if got := whole.YCbCrAt(px, py); !image.Pt(px, py).In(inner.Rect) && (got.Y != 120 || got.Cb != 128 || got.Cr != 128) {
					t.Fatalf("drawn outside, at %d,%d: %v", px, py, got)
				}
			}
		}
	})
}

func TestPictureOfAnotherKindIsLeftAlone(t *testing.T) {
	p := image.NewYCbCr(image.Rect(0, 0, 64, 36), image.YCbCrSubsampleRatio444)
	want := image.NewYCbCr(p.Rect, p.SubsampleRatio)
	Draw(p, nil, 0)
	if diff := cmp.Diff(want, p, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("drew on a picture that is not 4:2:0: %s", diff)
	}
}

var look = flag.String("look", "", "write a picture with drawings to this PNG, to be looked at")

// TestCrowd draws all there is at once: labels that find no room above, tiny boxes, a long label at the edge.
func TestCrowd(t *testing.T) {
	p := grey(1280, 720)
	face := &vision.Box{X: .14, Y: .32, W: .04, H: .08}
	var tracks []Track
	for i := range 8 {
		tracks = append(tracks, Track{Number: i * 3, Points: []findings.Observation{seen(0, .01+.12*float64(i), face)}})
		face = nil
	}
	tracks = append(tracks, Track{Number: 40, Label: "40 mask?", Points: []findings.Observation{{Box: vision.Box{X: .8, Y: -.1, W: .3, H: .2}}}},
		Track{Number: 41, Points: []findings.Observation{{Box: vision.Box{X: .5, Y: .8, W: .01, H: .02}}}})
	for _, track := range tracks {
		track.Points[0].US = 3_723_400_000
	}
	Draw(p, tracks, 3_723_400_000)
	if p.YCbCrAt(1026, 2) != colourOf(40) {
		t.Error("the box that begins above the picture has no label")
	}
	if *look == "" {
		return
	}
	file, err := os.Create(*look)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(file, p); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func grey(w, h int) *image.YCbCr {
	p := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	for i := range p.Y {
		p.Y[i] = 120
	}
	for i := range p.Cb {
		p.Cb[i], p.Cr[i] = 128, 128
	}
	return p
}
