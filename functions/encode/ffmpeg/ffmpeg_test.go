package ffmpeg

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"testing"

	"vedette.dev/functions/encode"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/media"
	"vedette.dev/shared/overlay"
	"vedette.dev/shared/vision"
)

type source struct{ *bytes.Reader }

func (source) Close() error { return nil }

// film makes grey frames, five a second, of a segment that begins at second 20 of its clip.
func film(t *testing.T, frames int) []byte {
	t.Helper()
	var s media.Stage
	defer s.Close()
	for i := range frames {
		f, err := media.NewFrame(media.YUVJ420, 640, 360)
		if err != nil {
			t.Fatal(err)
		}
		for plane := range 3 {
			pix, _ := f.Plane(plane)
			for j := range pix {
				pix[j] = 128
			}
		}
		f.PTS = int64(i) * 200_000
		if err := s.Add(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	b, _, err := s.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEncodeDrawsTracks: a box is where it should be between two observations, in the video and on the poster.
func TestEncodeDrawsTracks(t *testing.T) {
	seen := func(us int64, left float64) findings.Observation {
		return findings.Observation{US: us, Box: vision.Box{X: left, Y: .25, W: .25, H: .5}}
	}
	v, err := Encoder{}.Encode(context.Background(), source{bytes.NewReader(film(t, 10))}, encode.Order{
		EndUS: 2_000_000, ClipWidth: 640, ClipHeight: 360, Width: 320, Height: 320, Sound: true, PosterUS: 1_000_000,
		Tracks: []overlay.Track{{Number: 1, Points: []findings.Observation{seen(0, 0), seen(2_000_000, .5)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if v.Width != 320 || v.Height != 180 {
		t.Errorf("%dx%d", v.Width, v.Height)
	}
	poster, err := jpeg.Decode(bytes.NewReader(v.Poster))
	if err != nil {
		t.Fatal(err)
	}
	// Half of the way: from .25 to .5 of the width. Its left side is coloured, its middle is not.
	if poster.Bounds() != image.Rect(0, 0, 320, 180) {
		t.Fatalf("the poster is %v", poster.Bounds())
	}
	if grey(poster.At(81, 100)) || !grey(poster.At(120, 90)) || !grey(poster.At(60, 90)) {
		t.Errorf("left side %v, within %v, beside %v", poster.At(81, 100), poster.At(120, 90), poster.At(60, 90))
	}
	info, err := media.Probe(context.Background(), bytes.NewReader(v.MP4))
	if err != nil {
		t.Fatal(err)
	}
	if info.Video.Width != 320 || info.Audio == nil {
		t.Errorf("%+v", info)
	}
}

func grey(c interface{ RGBA() (r, g, b, a uint32) }) bool {
	r, g, b, _ := c.RGBA()
	return max(r, g, b)-min(r, g, b) < 20<<8
}

func TestUndecodableSegmentIsPermanent(t *testing.T) {
	_, err := Encoder{}.Encode(context.Background(), source{bytes.NewReader([]byte("no media"))}, encode.Order{
		EndUS: 1_000_000, ClipWidth: 640, ClipHeight: 360, Width: 320, Height: 320,
	})
	if function.Status(err) != 422 || function.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
}
