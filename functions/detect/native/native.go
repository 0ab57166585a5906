// Package native reads staged frames and photos with FFmpeg for package detect.
package native

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"math"

	"vedette.dev/functions/detect"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/media"
	"vedette.dev/shared/vision"
)

// quality of the pictures that are kept of tracks and faces.
const quality = 90

// Pictures reads and makes pictures. ForPersons and ForFaces are the sizes in which the networks take a picture.
type Pictures struct {
	ForPersons, ForFaces func(width, height int) vision.Letterbox
}

// Frames reads staged frames.
func (p Pictures) Frames(ctx context.Context, s ledger.Source, d findings.Decoded) (detect.Frames, error) {
	whole, err := media.Hold(s, s.Size()) // every byte is needed once, so one request is the cheapest
	if err != nil {
		return nil, fmt.Errorf("hold staged frames: %w", err)
	}
	persons, faces := p.ForPersons(d.StagedWidth, d.StagedHeight), p.ForFaces(d.StagedWidth, d.StagedHeight)
	staged, err := media.OpenStaged(ctx, whole, d.Frames,
		media.Size{W: persons.PictureW, H: persons.PictureH}, media.Size{W: faces.PictureW, H: faces.PictureH})
	if err != nil {
		return nil, err
	}
	return &frames{staged}, nil
}

type frames struct{ staged *media.Staged }

func (f *frames) Close() error {
	f.staged.Close()
	return nil
}

func (f *frames) Next() (detect.Frame, error) {
	s, err := f.staged.Next()
	if err != nil {
		return nil, err
	}
	kept, err := s.Keep()
	if err != nil {
		return nil, err
	}
	n := &frame{whole: kept}
	for i, m := range s.Pictures {
		n.pictures[i] = picture(m)
		n.pictures[i].Pix = bytes.Clone(m.Pix)
	}
	return n, nil
}

type frame struct {
	whole    *media.Frame
	pictures [2]vision.Image
}

func (f *frame) US() int64                { return f.whole.PTS }
func (f *frame) ForPersons() vision.Image { return f.pictures[0] }
func (f *frame) ForFaces() vision.Image   { return f.pictures[1] }

func (f *frame) Close() error {
	f.whole.Close()
	return nil
}

func (f *frame) Cut(box vision.Box, height int) (vision.Image, error) {
	b := box.Scale(float64(f.whole.Width()), float64(f.whole.Height()))
	r := image.Rect(int(b.X), int(b.Y), int(math.Ceil(b.X+b.W)), int(math.Ceil(b.Y+b.H)))
	w, h := 0, 0
	if height > 0 && r.Dy() > height {
		w, h = max(1, r.Dx()*height/r.Dy()), height
	}
	m, err := f.whole.Picture(r, w, h)
	return picture(m), err
}

// JPEG encodes a picture.
func (Pictures) JPEG(m vision.Image) ([]byte, error) {
	return media.EncodeJPEG(media.Picture{Pix: m.Pix, W: m.W, H: m.H, Stride: m.Stride}, quality)
}

// Open decodes a photo.
func (Pictures) Open(photo []byte, side int) (vision.Image, error) {
	m, err := media.DecodePhoto(photo, side, side)
	return picture(m), err
}

// Resize scales a picture.
func (Pictures) Resize(m vision.Image, width, height int) vision.Image {
	return vision.Resize(m, width, height)
}

func picture(m media.Picture) vision.Image {
	return vision.Image{Pix: m.Pix, W: m.W, H: m.H, Stride: m.Stride}
}
