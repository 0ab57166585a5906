// Package ffmpeg decodes segments with FFmpeg for package decode.
package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

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
	c := &clip{threads: d.Threads, source: s, span: media.Span{Start: startUS, End: endUS}}
	if s.Size() <= held {
		whole := make([]byte, s.Size())
		if _, err := s.ReadAt(whole, 0); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read the segment: %w", err)
		}
		c.source = bytes.NewReader(whole)
	}
	info, err := media.Probe(ctx, c.source)
	if err != nil {
		return nil, err
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
		return nil, err
	}
	defer r.Close()
	all, err := r.All()
	if err != nil {
		return nil, err
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
		return nil, err
	}
	return &pictures{d: d}, nil
}

type pictures struct {
	d   *media.Decoder
	pix []byte
}

func (p *pictures) Next() (decode.Picture, error) {
	f, err := p.d.Next()
	if err != nil {
		return decode.Picture{}, err
	}
	pix, stride := f.Plane(0)
	if stride != f.Width() {
		p.pix = p.pix[:0]
		for y := range f.Height() {
			p.pix = append(p.pix, pix[y*stride:y*stride+f.Width()]...)
		}
		pix = p.pix
	}
	return decode.Picture{US: f.PTS, Width: f.Width(), Height: f.Height(), Pix: pix}, nil
}

func (p *pictures) Close() error {
	p.d.Close()
	return nil
}

func (c *clip) Sample(ctx context.Context, rate float64, width, height int) (decode.Sampled, error) {
	d, err := media.Decode(ctx, c.source, media.DecodeOptions{
		Span:      &c.span,
		Rate:      rate,
		Format:    media.YUVJ420,
		MaxWidth:  width,
		MaxHeight: height,
		Threads:   c.threads,
	})
	if err != nil {
		return decode.Sampled{}, err
	}
	defer d.Close()
	var stage media.Stage
	defer stage.Close()
	var s decode.Sampled
	for {
		f, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s, err
		}
		if err := stage.Add(f); err != nil {
			return s, err
		}
		s.Width, s.Height = f.Width(), f.Height()
		if rate == 0 {
			break // one is enough
		}
	}
	s.Broken = d.Skipped()
	s.Matroska, s.Times, err = stage.Finish()
	return s, err
}
