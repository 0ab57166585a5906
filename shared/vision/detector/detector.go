// Package detector finds persons and faces in pictures: it turns pictures into the input of a network and the network's output into
// boxes. Pictures enter, fractions of the picture leave.
//
// Guaranteed: what is found in a picture does not depend on the company it is given in, beyond the last digits of the
// arithmetic (a thousandth in score and box); the network itself is the caller's, so that nothing here needs native code.
//
// Pictures of the size that Letterbox tells cost no resizing: let the decoder's scaler deliver them so.
package detector

import (
	"context"
	"fmt"

	"vedette.dev/shared/infer/tensor"
	"vedette.dev/shared/vision"
	"vedette.dev/shared/vision/face"
)

// A Network is a loaded model.
type Network interface {
	Run(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error)
}

// step is the largest stride of the networks: their inputs are multiples of it.
const step = 32

// Persons finds persons with NanoDet-g.
type Persons struct {
	Network Network
	Area    int     // of the network's input at most, in pixels; 0: 416·416, which is 512x288 for a picture of 16:9
	Least   float64 // score under which nothing is reported; 0: .15
	Overlap float64 // of which two boxes (IoU) only the better stays; 0: .5
	Batch   int     // pictures given to the network at once; 0: 8
}

// Faces finds faces and their landmarks with YuNet.
type Faces struct {
	Network Network
	Area    int     // of the network's input at most, in pixels; 0: 960·544, half of a 1080p picture's width
	Least   float64 // score under which nothing is reported; 0: .5
	Overlap float64 // of which two boxes (IoU) only the better stays; 0: .3
	Batch   int     // pictures given to the network at once; 0: 1, since on a processor this network's data leave the cache with two
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Letterbox is how a picture of that size is shown to the network; its PictureW and PictureH are the size to deliver it in. A small
// picture is enlarged, twice at most: people in it come nearer to the size at which they are found best.
func (p Persons) Letterbox(w, h int) vision.Letterbox {
	return vision.Fit(w, h, or(p.Area, 416*416), step, 2)
}

// Letterbox is how a picture of that size is shown to the network; its PictureW and PictureH are the size to deliver it in. Nothing is
// enlarged: a face smaller than the network finds is too small for whatever comes after.
func (f Faces) Letterbox(w, h int) vision.Letterbox {
	return vision.Fit(w, h, or(f.Area, 960*544), step, 1)
}

// Detect finds the persons in each picture, best first.
func (p Persons) Detect(ctx context.Context, pictures []vision.Image) ([][]vision.Detection, error) {
	found := make([][]vision.Detection, 0, len(pictures))
	err := batches(ctx, p.Network, pictures, p.Letterbox, or(p.Batch, 8), func(box vision.Letterbox, out []tensor.Tensor, n int) error {
		dist, err := output(out, "dist", n, cellCount(box.W, box.H), 4)
		if err != nil {
			return err
		}
		scores, err := output(out, "scores", n, cellCount(box.W, box.H), 1)
		if err != nil {
			return err
		}
		for i := range n {
			ds := nanoDet(dist.Item(i), scores.Item(i), box.W, box.H, float32(or(p.Least, .15)))
			found = append(found, p.finish(ds, box))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("detector: persons: %w", err)
	}
	return found, nil
}

// finish suppresses doubles and turns input pixels into fractions.
func (p Persons) finish(ds []vision.Detection, box vision.Letterbox) []vision.Detection {
	kept := []vision.Detection{}
	for _, i := range vision.Suppress(ds, or(p.Overlap, .5)) {
		d := ds[i]
		d.Box = d.Box.Scale(1/float64(box.PictureW), 1/float64(box.PictureH)).Clip(1, 1)
		if d.Box.Area() > 0 {
			kept = append(kept, d)
		}
	}
	return kept
}

// Detect finds the faces in each picture, best first.
func (f Faces) Detect(ctx context.Context, pictures []vision.Image) ([][]face.Face, error) {
	found := make([][]face.Face, 0, len(pictures))
	err := batches(ctx, f.Network, pictures, f.Letterbox, or(f.Batch, 1), func(box vision.Letterbox, out []tensor.Tensor, n int) error {
		grids, err := yuNetGrids(out, box, n)
		if err != nil {
			return err
		}
		for i := range n {
			var faces []face.Face
			for s, stride := range strides {
				faces = grids[s][i].decode(faces, box.W, box.H, stride, or(f.Least, .5))
			}
			found = append(found, f.finish(faces, box))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("detector: faces: %w", err)
	}
	return found, nil
}

func (f Faces) finish(faces []face.Face, box vision.Letterbox) []face.Face {
	ds := make([]vision.Detection, len(faces))
	for i := range faces {
		ds[i] = faces[i].Detection
	}
	kept := []face.Face{}
	x, y := 1/float64(box.PictureW), 1/float64(box.PictureH)
	for _, i := range vision.Suppress(ds, or(f.Overlap, .3)) {
		g := faces[i]
		g.Box = g.Box.Scale(x, y).Clip(1, 1)
		if g.Box.Area() == 0 {
			continue
		}
		for k, p := range g.Landmarks {
			g.Landmarks[k] = p.Scale(x, y)
		}
		kept = append(kept, g)
	}
	return kept
}

// batches gives the network as many pictures at once as are asked for and lie in the same letterbox.
func batches(ctx context.Context, net Network, pictures []vision.Image, letterbox func(w, h int) vision.Letterbox, most int,
	decode func(box vision.Letterbox, out []tensor.Tensor, n int) error) error {
	boxes := make([]vision.Letterbox, len(pictures))
	for i, m := range pictures {
		if err := m.Check(); err != nil {
			return fmt.Errorf("picture %d: %w", i, err)
		}
		boxes[i] = letterbox(m.W, m.H)
	}
	var in tensor.Tensor
	for from := 0; from < len(pictures); {
		box, n := boxes[from], 1
		for n < most && from+n < len(pictures) && boxes[from+n] == box {
			n++
		}
		if shape := []int{n, 3, box.H, box.W}; tensor.Size(shape) > cap(in.Data) {
			in = tensor.New(shape...)
		} else {
			in = tensor.Tensor{Shape: shape, Data: in.Data[:tensor.Size(shape)]}
		}
		for i := range n {
			box.WriteBGR(in.Item(i), pictures[from+i])
		}
		out, err := net.Run(ctx, []tensor.Tensor{in})
		if err != nil {
			return err
		}
		if err := decode(box, out, n); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// output finds a network's output and checks its size: a model of another kind must not be read as if it were ours.
func output(out []tensor.Tensor, name string, shape ...int) (tensor.Tensor, error) {
	t, ok := tensor.Find(out, name)
	if !ok {
		return t, fmt.Errorf("the network has no output %q: it is another model than this code reads", name)
	}
	if len(t.Data) != tensor.Size(shape) {
		return t, fmt.Errorf("output %q has shape %v, want %v: it is another model than this code reads", name, t.Shape, shape)
	}
	t.Shape = shape
	return t, nil
}

// yuNetGrids sorts YuNet's outputs by stride and picture.
func yuNetGrids(out []tensor.Tensor, box vision.Letterbox, n int) ([len(strides)][]yuNetGrid, error) {
	var grids [len(strides)][]yuNetGrid
	for s, stride := range strides {
		grids[s] = make([]yuNetGrid, n)
		count := cells(box.W, stride) * cells(box.H, stride)
		for _, o := range []struct {
			name  string
			width int
			into  func(*yuNetGrid) *[]float32
		}{
			{"cls", 1, func(g *yuNetGrid) *[]float32 { return &g.cls }},
			{"obj", 1, func(g *yuNetGrid) *[]float32 { return &g.obj }},
			{"bbox", 4, func(g *yuNetGrid) *[]float32 { return &g.bbox }},
			{"kps", 10, func(g *yuNetGrid) *[]float32 { return &g.kps }},
		} {
			t, err := output(out, fmt.Sprintf("%s_%d", o.name, stride), n, count, o.width)
			if err != nil {
				return grids, err
			}
			for i := range n {
				*o.into(&grids[s][i]) = t.Item(i)
			}
		}
	}
	return grids, nil
}
