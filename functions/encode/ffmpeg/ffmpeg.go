// Package ffmpeg encodes segments with FFmpeg for package encode, and draws on them.
package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"image"

	"vedette.dev/functions/encode"
	"vedette.dev/shared/function"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/media"
	"vedette.dev/shared/overlay"
)

const (
	// held is up to which size a segment with sound is read once into memory, since it is gone through twice.
	held          = 64 << 20
	posterWidth   = 480
	posterQuality = 80
)

// Encoder encodes segments.
type Encoder struct{ Threads int }

// Encode encodes a segment. What cannot be decoded is a permanent error.
func (e Encoder) Encode(ctx context.Context, s ledger.Source, o encode.Order) (encode.Video, error) {
	var source media.Source = s
	if o.Sound {
		var err error
		if source, err = media.Hold(s, held); err != nil {
			return encode.Video{}, fmt.Errorf("hold the segment: %w", err)
		}
	}
	width, height := media.EncodedSize(o.ClipWidth, o.ClipHeight, o.Width, o.Height)
	wanted := 0
	if o.StartUS <= o.PosterUS && o.PosterUS < o.EndUS {
		wanted = posterWidth
	}
	draw := func(p *image.YCbCr, us int64) { overlay.Draw(p, o.Tracks, us) }
	if o.Plain {
		draw = nil
	}
	made, err := media.Encode(ctx, source, media.EncodeOptions{
		Span:        media.Span{Start: o.StartUS, End: o.EndUS},
		Width:       width,
		Height:      height,
		Sound:       o.Sound,
		Threads:     e.Threads,
		Draw:        draw,
		Poster:      o.PosterUS,
		PosterWidth: wanted,
	})
	if u, ok := errors.AsType[*media.Unreadable](err); ok {
		return encode.Video{}, function.Hint(function.Permanent(err), u.Hint)
	}
	if err != nil {
		return encode.Video{}, err
	}
	v := encode.Video{MP4: made.MP4, Width: width, Height: height}
	if made.Poster != nil {
		if v.Poster, err = media.EncodeJPEG(*made.Poster, posterQuality); err != nil {
			return encode.Video{}, err
		}
	}
	return v, nil
}
