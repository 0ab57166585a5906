package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"

	"vedette.dev/shared/media"
	"vedette.dev/shared/media/mediatest"
)

// What a clip is like: what most cameras make, for a minute, with a keyframe every two seconds.
const (
	width, height = 1920, 1080
	rate          = 30
	seconds       = 60
	gop           = 2 * rate
)

// clip returns one of the clips that everything is measured on: "street", on which people walk all the time, and "empty",
// the same place with nothing but the sensor's noise. They are made of the sample once, and kept.
func clip(ctx context.Context, sample, folder, name string) ([]byte, error) {
	path := filepath.Join(folder, name+"-2.mp4") // count up when the making changes
	if body, err := os.ReadFile(path); err == nil {
		return body, nil
	}
	slog.Info("making a test clip, once", "clip", path)
	body, err := makeClip(ctx, sample, name == "street")
	if err != nil {
		return nil, fmt.Errorf("make the clip %s: %w", name, err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	half, err := os.CreateTemp(folder, name)
	if err != nil {
		return nil, err
	}
	defer os.Remove(half.Name())
	if _, err := half.Write(body); err != nil {
		return nil, err
	}
	if err := half.Close(); err != nil {
		return nil, err
	}
	return body, os.Rename(half.Name(), path)
}

func makeClip(ctx context.Context, sample string, moving bool) ([]byte, error) {
	body, err := os.ReadFile(sample)
	if err != nil {
		return nil, fmt.Errorf("the sample is missing; run scripts/setup, and source the file of environment that it names: %w", err)
	}
	d, err := media.Decode(ctx, bytes.NewReader(body), media.DecodeOptions{Format: media.RGB24})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	f := &footage{decoder: d, moving: moving, noise: sensorNoise()}
	// With this quality the street takes three or four megabits a second, as cameras do.
	v := mediatest.Video{Width: width, Height: height, Rate: rate, GOP: gop, Options: map[string]string{"crf": "18"}}
	made, err := v.Encode(seconds*rate, f.paint)
	if err == nil {
		err = f.err
	}
	return made, err
}

// footage is the sample, which has ten small frames a second, as a larger and faster camera would have seen it.
type footage struct {
	decoder    *media.Decoder
	moving     bool
	from, to   []byte // the frames of the sample before and after
	at         int    // which of them from is
	noise      []int8
	randomness *rand.Rand
	err        error
}

// sampleRate is that of the sample, frames a second.
const sampleRate = 10

func (f *footage) paint(rgb []byte, i int) {
	if f.from == nil {
		f.randomness = rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same clip every time
		f.from, f.to = f.next(), f.next()
	}
	const between = rate / sampleRate
	for f.moving && f.at < i/between {
		f.from, f.to = f.to, f.next()
		f.at++
	}
	if f.err != nil {
		return
	}
	part := 0
	if f.moving {
		part = i % between
	}
	for y := range height {
		noise := f.noise[f.randomness.IntN(len(f.noise)-width):]
		at := 3 * width * y
		from, to, row := f.from[at:at+3*width], f.to[at:at+3*width], rgb[at:at+3*width]
		for x := range width {
			n := int(noise[x])
			for c := 3 * x; c < 3*x+3; c++ {
				row[c] = byte(min(max(((between-part)*int(from[c])+part*int(to[c]))/between+n, 0), 255))
			}
		}
	}
}

// next is the next frame of the sample, cut and enlarged to fill the picture.
func (f *footage) next() []byte {
	frame, err := f.decoder.Next()
	if err != nil {
		f.err = err
		return nil
	}
	w, h := frame.Width(), frame.Width()*height/width
	top := (frame.Height() - h) / 2
	p, err := frame.Picture(image.Rect(0, top, w, top+h), width, height)
	if err != nil {
		f.err = err
		return nil
	}
	tight := make([]byte, 0, 3*width*height)
	for y := range height {
		tight = append(tight, p.Pix[y*p.Stride:y*p.Stride+3*width]...)
	}
	return tight
}

// sensorNoise is a supply of it, as strong as in a lit place.
func sensorNoise() []int8 {
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same clip every time
	noise := make([]int8, 1<<20)
	for i := range noise {
		noise[i] = int8(r.NormFloat64() * 1.5)
	}
	return noise
}
