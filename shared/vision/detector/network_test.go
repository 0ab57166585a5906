package detector_test

import (
	"bytes"
	"fmt"
	"image"
	_ "image/jpeg"
	"math"
	"os"
	"syscall"
	"testing"
	"time"

	"vedette.dev/models"
	"vedette.dev/shared/infer"
	"vedette.dev/shared/vision"
	"vedette.dev/shared/vision/detector"
	"vedette.dev/shared/vision/face"
)

// network loads one of the product's models. Without ONNX Runtime these tests fail, since set-up is a part of testing.
func network(t testing.TB, get func() ([]byte, models.Model, error)) *infer.Session {
	t.Helper()
	library := os.Getenv("VEDETTE_ONNXRUNTIME")
	if library == "" {
		t.Fatal("VEDETTE_ONNXRUNTIME is not set: run scripts/setup, then source the env file that it names")
	}
	weights, _, err := get()
	if err != nil {
		t.Fatal(err)
	}
	s, err := infer.Open(weights, infer.Options{Library: library, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// group is a photo of five people.
func group(t testing.TB) vision.Image {
	t.Helper()
	data, err := os.ReadFile("testdata/group.jpg")
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return vision.FromImage(m)
}

// theFaces are where the faces are in group, as fractions, marked by hand.
var theFaces = []vision.Box{
	{X: .410, Y: .082, W: .083, H: .155}, {X: .311, Y: .300, W: .090, H: .186}, {X: .734, Y: .283, W: .100, H: .191},
	{X: .580, Y: .147, W: .089, H: .167}, {X: .188, Y: .627, W: .105, H: .205},
}

func TestFacesInAPhoto(t *testing.T) {
	f := detector.Faces{Network: network(t, models.Faces)}
	m := group(t)
	found, err := f.Detect(t.Context(), []vision.Image{m, m.Mirror()})
	if err != nil {
		t.Fatal(err)
	}
	for i, faces := range found {
		if len(faces) != len(theFaces) {
			t.Errorf("picture %d: %d faces", i, len(faces))
		}
		verified, err := f.Verify(t.Context(), []vision.Image{m, m.Mirror()}[i], faces)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range theFaces {
			if i == 1 {
				want.X = 1 - want.X - want.W
			}
			best := nearest(faces, want)
			if best < 0 {
				t.Errorf("picture %d: no face at %v", i, want)
				continue
			}
			g := faces[best]
			if g.Score < .8 || verified[best] <= detector.Verified || !detector.Sound(g, 0, m.W, m.H) {
				t.Errorf("picture %d: %+v, verified %.2f, is not sound", i, g, verified[best])
			}
			for k, p := range g.Landmarks {
				if !want.Grow(.2, .2).Contains(p) {
					t.Errorf("picture %d: landmark %d of %v at %v", i, k, want, p)
				}
			}
			if l := g.Landmarks; l[face.RightEye].X > l[face.LeftEye].X || l[face.RightEye].Y > l[face.RightMouth].Y {
				t.Errorf("picture %d: landmarks out of order: %v", i, l)
			}
		}
	}
}

func nearest(faces []face.Face, want vision.Box) int {
	for i, g := range faces {
		if vision.IoU(g.Box, want) > .6 {
			return i
		}
	}
	return -1
}

func TestFacesOfManySizes(t *testing.T) {
	f := detector.Faces{Network: network(t, models.Faces)}
	m := group(t)
	var pictures []vision.Image
	for _, width := range []int{640, 480, 320, 200} { // the smallest face is 53, 40, 27 and 17 pixels wide
		pictures = append(pictures, vision.Resize(m, width, m.H*width/m.W))
	}
	found, err := f.Detect(t.Context(), pictures)
	if err != nil {
		t.Fatal(err)
	}
	for i, faces := range found {
		for _, want := range theFaces {
			if nearest(faces, want) < 0 {
				t.Errorf("at %d pixels of width: no face at %v", pictures[i].W, want)
			}
		}
	}
}

func TestPersonsInAPhoto(t *testing.T) {
	p := detector.Persons{Network: network(t, models.Persons)}
	m := group(t)
	found, err := p.Detect(t.Context(), []vision.Image{m})
	if err != nil {
		t.Fatal(err)
	}
	var persons []vision.Box
	for _, d := range found[0] {
		if d.Score >= .4 {
			persons = append(persons, d.Box.Scale(float64(m.W), float64(m.H)))
		}
	}
	if len(persons) < 4 || len(persons) > 6 {
		t.Errorf("%d persons: %v", len(persons), found[0])
	}
	// The faces must be their heads.
	var faces []vision.Box
	for _, b := range theFaces {
		faces = append(faces, b.Scale(float64(m.W), float64(m.H)))
	}
	owned := 0
	for _, o := range face.Owners(faces, persons) {
		if o >= 0 {
			owned++
		}
	}
	if owned < 4 {
		t.Errorf("%d of %d faces belong to somebody", owned, len(faces))
	}
}

func TestNothingIsFoundInNothing(t *testing.T) {
	p := detector.Persons{Network: network(t, models.Persons)}
	f := detector.Faces{Network: network(t, models.Faces)}
	black := vision.NewImage(640, 360)
	bright := vision.NewImage(640, 360)
	for i := range bright.Pix {
		bright.Pix[i] = byte(i / 3 % 640 * 255 / 640)
	}
	persons, err := p.Detect(t.Context(), []vision.Image{black, bright})
	if err != nil {
		t.Fatal(err)
	}
	faces, err := f.Detect(t.Context(), []vision.Image{black, bright})
	if err != nil {
		t.Fatal(err)
	}
	for i := range persons {
		if len(persons[i]) > 0 || len(faces[i]) > 0 {
			t.Errorf("picture %d: persons %v, faces %v", i, persons[i], faces[i])
		}
	}
}

// TestCompanyChangesNothing: what is found in a picture is the same, alone and in a batch.
func TestCompanyChangesNothing(t *testing.T) {
	m := group(t)
	pictures := []vision.Image{
		m, m.Mirror(), vision.NewImage(m.W, m.H), darker(m), vision.Resize(vision.Resize(m, m.W/3, m.H/3), m.W, m.H),
	}
	persons, faces := network(t, models.Persons), network(t, models.Faces)
	find := func(batch int) (ps [][]vision.Detection, fs [][]face.Face) {
		t.Helper()
		ps, err := detector.Persons{Network: persons, Batch: batch}.Detect(t.Context(), pictures)
		if err != nil {
			t.Fatal(err)
		}
		fs, err = detector.Faces{Network: faces, Batch: batch}.Detect(t.Context(), pictures)
		if err != nil {
			t.Fatal(err)
		}
		return ps, fs
	}
	const close = 1e-3
	off := func(a, b vision.Detection) float64 {
		return max(math.Abs(a.Score-b.Score), math.Abs(a.Box.X-b.Box.X), math.Abs(a.Box.Y-b.Box.Y), math.Abs(a.Box.W-b.Box.W), math.Abs(a.Box.H-b.Box.H))
	}
	wantPersons, wantFaces := find(1)
	for _, batch := range []int{2, 5} {
		gotPersons, gotFaces := find(batch)
		worst := 0.0
		for i := range pictures {
			if len(gotPersons[i]) != len(wantPersons[i]) || len(gotFaces[i]) != len(wantFaces[i]) {
				t.Fatalf("batch of %d, picture %d: %d persons and %d faces, alone %d and %d", batch, i,
					len(gotPersons[i]), len(gotFaces[i]), len(wantPersons[i]), len(wantFaces[i]))
			}
			for k := range gotPersons[i] {
				worst = max(worst, off(gotPersons[i][k], wantPersons[i][k]))
			}
			for k := range gotFaces[i] {
				worst = max(worst, off(gotFaces[i][k].Detection, wantFaces[i][k].Detection))
				for l := range gotFaces[i][k].Landmarks {
					worst = max(worst, gotFaces[i][k].Landmarks[l].Distance(wantFaces[i][k].Landmarks[l]))
				}
			}
		}
		if worst > close {
			t.Errorf("batch of %d: off by %v", batch, worst)
		}
		t.Logf("batch of %d: off by %.2g at most", batch, worst)
	}
}

func darker(m vision.Image) vision.Image {
	dark := vision.NewImage(m.W, m.H)
	for i, p := range m.Pix {
		dark.Pix[i] = p / 2
	}
	return dark
}

func BenchmarkPersons(b *testing.B) {
	net, m := network(b, models.Persons), vision.Resize(group(b), 512, 288)
	bench(b, []vision.Image{m, m, m, m, m, m, m, m}, func(batch int, ms []vision.Image) error {
		_, err := detector.Persons{Network: net, Batch: batch}.Detect(b.Context(), ms)
		return err
	})
}

func BenchmarkFaces(b *testing.B) {
	net, m := network(b, models.Faces), vision.Resize(group(b), 960, 540)
	bench(b, []vision.Image{m, m, m, m, m, m, m, m}, func(batch int, ms []vision.Image) error {
		_, err := detector.Faces{Network: net, Batch: batch}.Detect(b.Context(), ms)
		return err
	})
}

// bench says what a picture costs by the size of the batch.
func bench(b *testing.B, pictures []vision.Image, detect func(batch int, ms []vision.Image) error) {
	for _, batch := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprint("batch=", batch), func(b *testing.B) {
			before := cpuSeconds(b)
			for b.Loop() {
				if err := detect(batch, pictures); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpuSeconds(b)-before)*1e3/float64(b.N*len(pictures)), "cpu-ms/picture")
		})
	}
}

// cpuSeconds is what the process has used of processors: on a busy machine that says more than the clock.
func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func BenchmarkVerify(b *testing.B) {
	net, m := network(b, models.Faces), group(b)
	bench(b, []vision.Image{m}, func(batch int, ms []vision.Image) error {
		f := detector.Faces{Network: net, Batch: batch}
		found, err := f.Detect(b.Context(), ms)
		if err != nil {
			return err
		}
		_, err = f.Verify(b.Context(), m, found[0]) // five faces
		return err
	})
}
