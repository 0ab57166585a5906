package face

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vedette.dev/shared/vision"
)

// frontal is a face of about 64 pixels in the middle of a picture of 200x200, as the template has it.
func frontal() Face {
	f := Face{Detection: vision.Detection{Box: vision.Box{X: 68, Y: 60, W: 64, H: 80}, Score: .9}}
	s := vision.Similarity{A: .9, X: 50, Y: 44}
	for i, p := range template {
		f.Landmarks[i] = s.Apply(p)
	}
	return f
}

func (f Face) moved(s vision.Similarity) Face {
	c := s.Apply(f.Box.Center())
	f.Box.W, f.Box.H = f.Box.W*s.Scale(), f.Box.H*s.Scale()
	f.Box.X, f.Box.Y = c.X-f.Box.W/2, c.Y-f.Box.H/2
	for i, p := range f.Landmarks {
		f.Landmarks[i] = s.Apply(p)
	}
	return f
}

func TestPlausible(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Face)
		want   bool
	}{
		"frontal":                 {func(*Face) {}, true},
		"leaning":                 {func(f *Face) { *f = f.moved(turn(.5, 100)) }, true},
		"half turned":             {func(f *Face) { f.Landmarks[Nose].X += 10 }, true},
		"upside down":             {func(f *Face) { *f = f.moved(turn(math.Pi, 100)) }, false},
		"lying":                   {func(f *Face) { *f = f.moved(turn(math.Pi/2, 100)) }, false},
		"eyes on one spot":        {func(f *Face) { f.Landmarks[LeftEye] = f.Landmarks[RightEye] }, false},
		"eyes too close":          {func(f *Face) { f.Landmarks[LeftEye].X = f.Landmarks[RightEye].X + 8 }, false},
		"nose above the eyes":     {func(f *Face) { f.Landmarks[Nose].Y = f.Landmarks[RightEye].Y - 5 }, false},
		"nose beside the face":    {func(f *Face) { f.Landmarks[Nose].X += 28 }, false},
		"mouth above the nose":    {func(f *Face) { f.Landmarks[RightMouth].Y -= 30; f.Landmarks[LeftMouth].Y -= 30 }, false},
		"mouth turned round":      {func(f *Face) { l := &f.Landmarks; l[RightMouth], l[LeftMouth] = l[LeftMouth], l[RightMouth] }, false},
		"an eye out of the box":   {func(f *Face) { f.Landmarks[RightEye].X = 20 }, false},
		"a landmark is no number": {func(f *Face) { f.Landmarks[Nose].X = math.NaN() }, false},
	} {
		f := frontal()
		c.change(&f)
		if got := Plausible(f); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// turn turns round a point on the diagonal.
func turn(angle, center float64) vision.Similarity {
	s := vision.Similarity{A: math.Cos(angle), B: math.Sin(angle)}
	p := s.Apply(vision.Point{X: center, Y: center})
	s.X, s.Y = center-p.X, center-p.Y
	return s
}

func TestFrontality(t *testing.T) {
	f := frontal()
	if got := Frontality(f.Landmarks); got < .95 {
		t.Errorf("frontal: %.2f", got)
	}
	if a, b := Frontality(f.Landmarks), Frontality(f.moved(turn(.7, 90)).Landmarks); math.Abs(a-b) > 1e-9 {
		t.Errorf("leaning changes it from %v to %v", a, b)
	}
	last := 1.0
	for shift := 3.0; shift <= 18; shift += 3 {
		g := f
		g.Landmarks[Nose].X += shift
		got := Frontality(g.Landmarks)
		if got >= last && got > 0 {
			t.Errorf("turned by %v: %.2f, not less than %.2f", shift, got, last)
		}
		last = got
	}
	if last != 0 {
		t.Errorf("profile: %.2f", last)
	}
	if got := Frontality(Landmarks{}); got != 0 {
		t.Errorf("no landmarks: %v", got)
	}
}

func TestAlign(t *testing.T) {
	// A dot on each landmark of a turned and larger face must come to lie on the template.
	f := frontal().moved(vision.Similarity{A: 1.5, B: .6, X: 100, Y: 20})
	m := vision.NewImage(500, 500)
	for _, p := range f.Landmarks {
		for y := -4; y <= 4; y++ {
			for x := -4; x <= 4; x++ {
				copy(m.Row(int(p.Y) + y)[3*(int(p.X)+x):], []byte{255, 255, 255})
			}
		}
	}
	crop := Align(m, f.Landmarks)
	if crop.W != Side || crop.H != Side {
		t.Fatalf("%dx%d", crop.W, crop.H)
	}
	for i, p := range template {
		if got := crop.Row(int(p.Y))[3*int(p.X)]; got < 200 {
			t.Errorf("landmark %d: brightness %d", i, got)
		}
	}
	if none := Align(m, Landmarks{}); none.W != Side || none.H != Side || none.Pix[Side*Side] != 0 {
		t.Error("without landmarks the crop is not black")
	}
}

func TestMeasure(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	m := vision.NewImage(200, 200)
	for i := range m.Pix {
		m.Pix[i] = byte(r.Uint32())
	}
	f := frontal()
	good := Measure(f, Align(m, f.Landmarks))
	if v := good.Value(); v < .7 || v > 1 {
		t.Errorf("a sharp frontal face: %+v", good)
	}

	blurred := vision.Resize(vision.Resize(m, 25, 25), 200, 200)
	small := f.moved(vision.Similarity{A: .5})
	turned := f
	turned.Landmarks[Nose].X += 9
	unsure := f
	unsure.Score = .5
	for name, q := range map[string]Quality{
		"blurred": Measure(f, Align(blurred, f.Landmarks)),
		"small":   Measure(small, Align(m, small.Landmarks)),
		"turned":  Measure(turned, Align(m, turned.Landmarks)),
		"unsure":  Measure(unsure, Align(m, unsure.Landmarks)),
	} {
		if q.Value() > .8*good.Value() {
			t.Errorf("%s: %+v is as good as %+v", name, q, good)
		}
	}
}

func TestOwners(t *testing.T) {
	standing := vision.Box{X: 100, Y: 100, W: 80, H: 200}
	for _, c := range []struct {
		name    string
		faces   []vision.Box
		persons []vision.Box
		want    []int
	}{
		{"nobody", []vision.Box{{X: 1, Y: 1, W: 9, H: 9}}, nil, []int{-1}},
		{"no face", nil, []vision.Box{standing}, nil},
		{"a head on a body", []vision.Box{{X: 125, Y: 105, W: 30, H: 36}}, []vision.Box{standing}, []int{0}},
		{"a face on the belly", []vision.Box{{X: 125, Y: 200, W: 30, H: 36}}, []vision.Box{standing}, []int{-1}},
		{"a face beside", []vision.Box{{X: 200, Y: 105, W: 30, H: 36}}, []vision.Box{standing}, []int{-1}},
		{"a head leaning out", []vision.Box{{X: 88, Y: 105, W: 20, H: 26}}, []vision.Box{standing}, []int{0}},
		{"a face larger than the body", []vision.Box{{X: 90, Y: 100, W: 95, H: 120}}, []vision.Box{standing}, []int{-1}},
		{"close to the camera", []vision.Box{{X: 40, Y: 60, W: 60, H: 80}}, []vision.Box{{X: 0, Y: 30, W: 140, H: 170}}, []int{0}},
		{"one body has one face", []vision.Box{{X: 125, Y: 105, W: 30, H: 36}, {X: 110, Y: 120, W: 30, H: 36}}, []vision.Box{standing}, []int{0, -1}},
		{
			"two who overlap", // the left one's head is in the right one's head part too
			[]vision.Box{{X: 170, Y: 104, W: 30, H: 36}, {X: 128, Y: 104, W: 30, H: 36}},
			[]vision.Box{standing, {X: 145, Y: 100, W: 80, H: 200}},
			[]int{1, 0},
		},
		{
			"one behind another", // the child in front has no face to be seen
			[]vision.Box{{X: 125, Y: 105, W: 30, H: 36}},
			[]vision.Box{{X: 105, Y: 180, W: 60, H: 120}, standing},
			[]int{1},
		},
	} {
		if diff := cmp.Diff(c.want, Owners(c.faces, c.persons)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	if InHead(vision.Box{X: 1, Y: 1, W: 2, H: 2}, vision.Box{}) {
		t.Error("an empty person has a head")
	}
}

func TestFaceJSON(t *testing.T) {
	f := frontal()
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var back Face
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-6 })
	if diff := cmp.Diff(f, back, near); diff != "" {
		t.Errorf("%s\n%s", data, diff)
	}
}

func BenchmarkAlignAndMeasure(b *testing.B) {
	m := vision.NewImage(200, 200)
	f := frontal()
	for b.Loop() {
		Measure(f, Align(m, f.Landmarks))
	}
}
