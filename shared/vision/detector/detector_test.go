package detector

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vedette.dev/shared/infer/tensor"
	"vedette.dev/shared/vision"
	"vedette.dev/shared/vision/face"
)

// networkFunc is a network written in Go.
type networkFunc func(in tensor.Tensor) ([]tensor.Tensor, error)

func (f networkFunc) Run(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return f(in[0])
}

// brightCells is a NanoDet that sees a person, 40 wide and 80 high, round each cell of 8 pixels whose middle is brighter than the grey of
// the letterbox. It counts the batches it was given.
func brightCells(batches *[]int) networkFunc {
	return func(in tensor.Tensor) ([]tensor.Tensor, error) {
		n, h, w := in.Shape[0], in.Shape[2], in.Shape[3]
		*batches = append(*batches, n)
		cells := cellCount(w, h)
		dist, scores := tensor.New(n, cells, 4), tensor.New(n, cells, 1)
		dist.Name, scores.Name = "dist", "scores"
		for i := range n {
			for c := range (w / 8) * (h / 8) {
				blue := in.Item(i)[(c/(w/8)*8+4)*w+c%(w/8)*8+4]
				if blue > 120 {
					scores.Item(i)[c] = blue / 255
					copy(dist.Item(i)[4*c:], []float32{20, 40, 20, 40})
				}
			}
		}
		return []tensor.Tensor{scores, dist}, nil
	}
}

// dotted is a black picture with a cell of that blue at x, y.
func dotted(w, h, x, y int, blue byte) vision.Image {
	m := vision.NewImage(w, h)
	for dy := range 8 {
		for dx := range 8 {
			m.Row(y + dy)[3*(x+dx)+2] = blue
		}
	}
	return m
}

func TestPersonsDetect(t *testing.T) {
	var batches []int
	p := Persons{Network: brightCells(&batches), Batch: 3}
	pictures := []vision.Image{
		dotted(512, 288, 96, 96, 255),
		dotted(512, 288, 496, 96, 204), // reaches over the right edge: cut
		vision.NewImage(512, 288),
		dotted(512, 288, 96, 96, 255), // a second batch begins
		dotted(320, 320, 160, 160, 255),
	}
	got, err := p.Detect(t.Context(), pictures)
	if err != nil {
		t.Fatal(err)
	}
	middle := vision.Detection{Box: vision.Box{X: 80. / 512, Y: 60. / 288, W: 40. / 512, H: 80. / 288}, Score: 1}
	edge := vision.Detection{Box: vision.Box{X: 480. / 512, Y: 60. / 288, W: 32. / 512, H: 80. / 288}, Score: .8}
	// The square picture is enlarged to 416x416, and the dot with it.
	if len(got[4]) == 0 || math.Abs(got[4][0].Box.Center().X-.51) > .02 {
		t.Errorf("square picture: %v", got[4])
	}
	want := [][]vision.Detection{{middle}, {edge}, {}, {middle}}
	if diff := cmp.Diff(want, got[:4], near); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{3, 1, 1}, batches); diff != "" {
		t.Errorf("batches: %s", diff)
	}
}

func TestDetectRefuses(t *testing.T) {
	broken := errors.New("broken")
	var batches []int
	picture := vision.NewImage(64, 64)
	outputs := func(ts ...tensor.Tensor) networkFunc {
		return func(tensor.Tensor) ([]tensor.Tensor, error) { return ts, nil }
	}
	for name, c := range map[string]struct {
		network Network
		picture vision.Image
		want    string
	}{
		"no picture":        {brightCells(&batches), vision.Image{}, "picture 0"},
		"a broken network":  {networkFunc(func(tensor.Tensor) ([]tensor.Tensor, error) { return nil, broken }), picture, "broken"},
		"a strange network": {outputs(tensor.New(1)), picture, "another model than this code reads"},
		"a wrong size":      {outputs(tensor.Tensor{Name: "dist", Shape: []int{1, 2, 4}, Data: make([]float32, 8)}), picture, "[1 2 4]"},
	} {
		if _, err := (Persons{Network: c.network}).Detect(t.Context(), []vision.Image{c.picture}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want …%s…", name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Persons{Network: brightCells(&batches)}).Detect(ctx, []vision.Image{picture}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
	if got, err := (Faces{}).Detect(ctx, nil); err != nil || len(got) != 0 {
		t.Errorf("of no pictures: %v, %v", got, err)
	}
}

// yuNetOf is a YuNet that says the same of every picture: one face, of score √(.9·.4), in cell 2,1 of the grid of stride 16.
func yuNetOf(t *testing.T, w, h int) networkFunc {
	return func(in tensor.Tensor) ([]tensor.Tensor, error) {
		if in.Shape[2] != h || in.Shape[3] != w {
			t.Errorf("input %v, want %dx%d", in.Shape, w, h)
		}
		n := in.Shape[0]
		var out []tensor.Tensor
		for s, stride := range strides {
			cells := (w / stride) * (h / stride)
			for name, width := range map[string]int{"cls": 1, "obj": 1, "bbox": 4, "kps": 10} {
				x := tensor.New(n, cells, width)
				x.Name = name + "_" + []string{"8", "16", "32"}[s]
				if stride == 16 {
					c := w/16 + 2
					for i := range n {
						copy(x.Item(i)[c*width:], map[string][]float32{
							"cls": {.9}, "obj": {.4},
							"bbox": {.5, .25, float32(math.Log(2)), float32(math.Log(3))},
							"kps":  {0, 0, 1, 0, .5, .5, 0, 1, 1, 1},
						}[name])
					}
				}
				out = append(out, x)
			}
		}
		return out, nil
	}
}

func TestFacesDetect(t *testing.T) {
	// 1080p is shown at half its size, with four rows of grey below.
	f := Faces{Network: yuNetOf(t, 960, 544)}
	got, err := f.Detect(t.Context(), []vision.Image{vision.NewImage(1920, 1080), vision.NewImage(960, 540)})
	if err != nil {
		t.Fatal(err)
	}
	// The middle is at (2+.5)·16, (1+.25)·16 = 40, 20; the box 32 by 48 reaches above the picture and is cut.
	at := func(x, y float64) vision.Point { return vision.Point{X: x / 960, Y: y / 540} }
	want := face.Face{
		Detection: vision.Detection{Box: vision.Box{X: 24. / 960, Y: 0, W: 32. / 960, H: 44. / 540}, Score: .6},
		Landmarks: face.Landmarks{at(32, 16), at(48, 16), at(40, 24), at(32, 32), at(48, 32)},
	}
	if diff := cmp.Diff([][]face.Face{{want}, {want}}, got, near); diff != "" {
		t.Error(diff)
	}
	f.Least = .61
	if got, _ := f.Detect(t.Context(), []vision.Image{vision.NewImage(960, 540)}); len(got[0]) != 0 {
		t.Errorf("under the threshold: %v", got)
	}
}

func TestNanoDetDecodes(t *testing.T) {
	const w, h = 64, 32
	n := cellCount(w, h) // 32 + 8 + 2
	if n != 42 {
		t.Fatalf("%d cells", n)
	}
	dist, scores := make([]float32, 4*n), make([]float32, n)
	set := func(i int, score, l, t, r, b float32) {
		scores[i] = score
		copy(dist[4*i:], []float32{l, t, r, b})
	}
	set(9, .5, 4, 4, 4, 4)      // stride 8, second row, second cell: middle 12, 12
	set(32+7, .7, 8, 16, 0, 0)  // stride 16, last cell: middle 56, 24
	set(32+8+1, .9, 1, 2, 3, 4) // stride 32, last cell: middle 48, 16
	set(0, .1, 4, 4, 4, 4)      // under the threshold
	set(1, .9, -4, 4, 4, 4)     // no width
	set(2, .9, 1, float32(math.Inf(1)), 1, 1)
	set(3, float32(math.NaN()), 4, 4, 4, 4)
	set(4, .9, float32(math.NaN()), 4, 4, 4)
	want := []vision.Detection{
		{Box: vision.Box{X: 8, Y: 8, W: 8, H: 8}, Score: .5},
		{Box: vision.Box{X: 48, Y: 8, W: 8, H: 16}, Score: .7},
		{Box: vision.Box{X: 47, Y: 14, W: 4, H: 6}, Score: .9},
	}
	if diff := cmp.Diff(want, nanoDet(dist, scores, w, h, .15), near); diff != "" {
		t.Error(diff)
	}
}

func TestSound(t *testing.T) {
	// A frontal face of 60 pixels in a picture of 1000x500.
	at := func(x, y float64) vision.Point { return vision.Point{X: x / 1000, Y: y / 500} }
	g := face.Face{
		Detection: vision.Detection{Box: vision.Box{X: .1, Y: .2, W: .06, H: .16}, Score: .9},
		Landmarks: face.Landmarks{at(115, 130), at(145, 130), at(130, 148), at(118, 165), at(142, 165)},
	}
	unsure, turned := g, g
	unsure.Score = .6
	turned.Landmarks[face.Nose] = at(170, 148)
	for _, c := range []struct {
		name     string
		face     face.Face
		verified float64
		w, h     int
		want     bool
	}{
		{"certain", g, 0, 1000, 500, true},
		{"unsure", unsure, 0, 1000, 500, false},
		{"verified", unsure, .51, 1000, 500, true},
		{"half verified", unsure, .5, 1000, 500, false},
		{"not plausible", turned, .9, 1000, 500, false},
		{"too small", g, .9, 590, 295, false},
	} {
		if got := Sound(c.face, c.verified, c.w, c.h); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestVerifyLooksSixTimes(t *testing.T) {
	var inputs [][]int
	// This network finds the face again, on the first of the three sizes only.
	net := networkFunc(func(in tensor.Tensor) ([]tensor.Tensor, error) {
		inputs = append(inputs, in.Shape)
		n, h, w := in.Shape[0], in.Shape[2], in.Shape[3]
		var out []tensor.Tensor
		for _, stride := range []string{"8", "16", "32"} {
			cells := map[string]int{"8": w / 8 * h / 8, "16": w / 16 * h / 16, "32": w / 32 * h / 32}[stride]
			for name, width := range map[string]int{"cls": 1, "obj": 1, "bbox": 4, "kps": 10} {
				x := tensor.New(n, cells, width)
				x.Name = name + "_" + stride
				if stride == "32" && w == 64 {
					for i := range n { // cell 0,0 of 2x2: the middle of the crop is its lower right corner
						copy(x.Item(i), map[string][]float32{"cls": {.9}, "obj": {.9}, "bbox": {1, 1, 0, 0}}[name])
					}
				}
				out = append(out, x)
			}
		}
		return out, nil
	})
	g := face.Face{Detection: vision.Detection{Box: vision.Box{X: .4, Y: .4, W: .1, H: .1}}}
	corner := face.Face{Detection: vision.Detection{Box: vision.Box{X: 0, Y: .95, W: .05, H: .05}}}
	got, err := Faces{Network: net, Batch: 4}.Verify(t.Context(), vision.NewImage(300, 300), []face.Face{g, corner})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{.3, .3}, got, near); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([][]int{{4, 3, 64, 64}, {4, 3, 128, 128}, {4, 3, 192, 192}}, inputs); diff != "" {
		t.Error(diff)
	}
}

// floatsOf reads fuzzed bytes as numbers of any kind.
func floatsOf(data []byte, n int) []float32 {
	fs := make([]float32, n)
	for i := range fs {
		if len(data) < 4 {
			break
		}
		fs[i] = math.Float32frombits(binary.LittleEndian.Uint32(data))
		data = data[4:]
	}
	return fs
}

func FuzzNanoDet(f *testing.F) {
	f.Add([]byte{0, 0, 0x80, 0x7f, 0, 0, 0xc0, 0x7f}, uint8(2), uint8(3), true)
	f.Fuzz(func(t *testing.T, data []byte, w, h uint8, whole bool) {
		width, height := int(w%8)*32, int(h%8)*32
		n := cellCount(width, height)
		if !whole && n > 0 {
			n = len(data) % n // fewer numbers than there should be
		}
		all := floatsOf(data, 5*n)
		for _, d := range nanoDet(all[:4*n], all[4*n:], width, height, .15) {
			if !sound(d.Box) || !(d.Score >= .15 && d.Score <= 1) {
				t.Errorf("%+v", d)
			}
		}
	})
}

func FuzzYuNet(f *testing.F) {
	f.Add([]byte{0, 0, 0x80, 0x7f, 0, 0, 0xc0, 0x7f}, uint8(2), uint8(3), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, w, h, missing uint8) {
		width, height := int(w%8)*32, int(h%8)*32
		for _, stride := range strides {
			n := cells(width, stride) * cells(height, stride)
			all := floatsOf(data, 16*n)
			g := yuNetGrid{cls: all[:n], obj: all[n : 2*n], bbox: all[2*n : 6*n], kps: all[6*n:]}
			if missing > 0 && n > 0 {
				g.kps = g.kps[:len(g.kps)-min(int(missing), len(g.kps))]
			}
			for _, d := range g.decode(nil, width, height, stride, .5) {
				if !sound(d.Box) || !(d.Score >= .499 && d.Score <= 1) {
					t.Errorf("%+v", d)
				}
				if _, err := json.Marshal(d); err != nil {
					t.Errorf("%+v: %v", d, err)
				}
			}
		}
	})
}

var near = cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-6 })

func BenchmarkDecodeNanoDet(b *testing.B) {
	n := cellCount(512, 288)
	dist, scores := make([]float32, 4*n), make([]float32, n)
	for b.Loop() {
		nanoDet(dist, scores, 512, 288, .15)
	}
}

func BenchmarkDecodeYuNet(b *testing.B) {
	var grids [len(strides)]yuNetGrid
	for i, s := range strides {
		n := cells(960, s) * cells(544, s)
		grids[i] = yuNetGrid{make([]float32, n), make([]float32, n), make([]float32, 4*n), make([]float32, 10*n)}
	}
	for b.Loop() {
		for i, s := range strides {
			grids[i].decode(nil, 960, 544, s, .5)
		}
	}
}
