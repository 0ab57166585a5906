// Package ffmpeg decodes segments with FFmpeg for package decode.
package ffmpeg

import (
	"context"
	"errors"
	"fmt"

	"vedette.dev/functions/decode"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/media"
)

// held is up to which size a segment is read once into memory, since it is gone through several times.
const held = 64 << 20

// Decoder opens segments.
type Decoder struct{ Threads int }

// Open opens a segment, which must stay open as long as the clip.
func (d Decoder) Open(ctx context.Context, s ledger.Source, startUS, endUS int64) (decode.Clip, error) {
	source, err := media.Hold(s, held)
	if err != nil {
		return nil, fmt.Errorf("hold the segment: %w", err)
	}
	c := &clip{threads: d.Threads, source: source, span: media.Span{Start: startUS, End: endUS}}
	info, err := media.Probe(ctx, c.source)
	if err != nil {
		return nil, blame(err)
	}
	c.width, c.height = info.Video.Width, info.Video.Height
	return c, nil
}

type clip struct {
	threads       int
	source        media.Source
	span          media.Span
	width, height int
}

func (c *clip) Close() error { return nil }

func (c *clip) Size() (width, height int) { return c.width, c.height }

func (c *clip) Packets(ctx context.Context) ([]decode.Packet, error) {
	r, err := media.Packets(ctx, c.source, &c.span)
	if err != nil {
		return nil, blame(err)
	}
	defer r.Close()
	all, err := r.All()
	if err != nil {
		return nil, blame(err)
	}
	packets := make([]decode.Packet, len(all))
	for i, p := range all {
		packets[i] = decode.Packet{US: p.PTS, Size: p.Size, Key: p.Key}
	}
	return packets, nil
}

func (c *clip) Look(ctx context.Context, untilUS int64) (decode.Pictures, error) {
	d, err := media.Decode(ctx, c.source, media.DecodeOptions{
		Span:      &media.Span{Start: c.span.Start, End: untilUS},
		Rate:      decode.LookRate,
		Format:    media.Gray,
		MaxWidth:  decode.LookWidth,
		MaxHeight: decode.LookHeight,
		Threads:   c.threads,
	})
	if err != nil {
		return nil, blame(err)
	}
	return &look{d: d}, nil
}

// look yields small grey pictures.
type look struct {
	d   *media.Decoder
	pix []byte
}

func (l *look) Next() (decode.Picture, error) {
	f, err := l.d.Next()
	if err != nil {
		return decode.Picture{}, blame(err)
	}
	l.pix = shrink(l.pix[:0], f, 1)
	return decode.Picture{US: f.PTS, Width: f.Width(), Height: f.Height(), Pix: l.pix}, nil
}

func (l *look) Close() error {
	l.d.Close()
	return nil
}

func (c *clip) Sample(ctx context.Context, rate float64, width, height int) (decode.Samples, error) {
	d, err := media.Decode(ctx, c.source, media.DecodeOptions{
		Span:      &c.span,
		Rate:      rate,
		Format:    media.YUVJ420,
		MaxWidth:  width,
		MaxHeight: height,
		Threads:   c.threads,
	})
	if err != nil {
		return nil, blame(err)
	}
	return &samples{d: d}, nil
}

// samples yields sampled frames made small, and stages them.
type samples struct {
	d             *media.Decoder
	shown         *media.Frame
	small         []byte
	stage         media.Stage
	width, height int
}

func (s *samples) Next() (decode.Picture, error) {
	var err error
	if s.shown, err = s.d.Next(); err != nil {
		return decode.Picture{}, blame(err)
	}
	w, h := s.shown.Width(), s.shown.Height()
	by := max(1, (w+decode.LookWidth-1)/decode.LookWidth, (h+decode.LookHeight-1)/decode.LookHeight)
	s.small = shrink(s.small[:0], s.shown, by)
	return decode.Picture{US: s.shown.PTS, Width: w / by, Height: h / by, Pix: s.small}, nil
}

// shrink appends the luma of a frame, averaged over squares of by pixels.
func shrink(to []byte, f *media.Frame, by int) []byte {
	pix, stride := f.Plane(0)
	sums := make([]int, f.Width()/by)
	for y := range f.Height() / by {
		clear(sums)
		for dy := range by {
			row := pix[(y*by+dy)*stride:]
			for x := range sums {
				for _, b := range row[x*by : x*by+by] {
					sums[x] += int(b)
				}
			}
		}
		for _, sum := range sums {
			to = append(to, byte(sum/(by*by)))
		}
	}
	return to
}

func (s *samples) Stage() error {
	s.width, s.height = s.shown.Width(), s.shown.Height()
	return s.stage.Add(s.shown)
}

func (s *samples) Finish() (decode.Staged, error) {
	body, times, err := s.stage.Finish()
	return decode.Staged{Times: times, Width: s.width, Height: s.height, Matroska: body, Broken: s.d.Skipped()}, err
}

func (s *samples) Close() error {
	s.stage.Close()
	s.d.Close()
	return nil
}

// blame says in decode's words that the video is at fault.
func blame(err error) error {
	if u, ok := errors.AsType[*media.Unreadable](err); ok {
		return &decode.Undecodable{Why: u}
	}
	return err
}
