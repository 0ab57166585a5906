// Package ffmpeg cuts clips with FFmpeg for package split.
package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vedette.dev/functions/split"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/media"
)

// Cutter cuts clips.
type Cutter struct{}

// Cut opens a clip to be cut from a time on.
func (Cutter) Cut(ctx context.Context, clip ledger.Source, fromUS int64, length time.Duration) (split.Cuts, error) {
	if clip.Size() == 0 {
		return nil, &split.Rejection{Reason: string(media.Empty), Hint: "The file has no bytes. Check the recording, and upload it again."}
	}
	c, err := media.Cut(ctx, clip, media.CutOptions{Length: length.Microseconds(), From: fromUS})
	if err != nil {
		return nil, blame(err)
	}
	if missing := c.Info().Missing; missing > 0 {
		c.Close()
		return nil, &split.Rejection{
			Reason: string(media.Truncated),
			Hint:   fmt.Sprintf("The last %d bytes that the file announces are missing: upload it again, whole.", missing),
		}
	}
	return cuts{c}, nil
}

type cuts struct{ cutter *media.Cutter }

func (c cuts) Close() error {
	c.cutter.Close()
	return nil
}

func (c cuts) About() split.About {
	info := c.cutter.Info()
	a := split.About{
		Width:  info.Video.Width,
		Height: info.Video.Height,
		Codec:  info.Video.Codec,
		Tagged: tagged(info.Tags),
	}
	if info.Audio != nil {
		a.Audio = info.Audio.Codec
	}
	return a
}

func (c cuts) Next() (split.Cut, error) {
	s, err := c.cutter.Next()
	if err != nil {
		return split.Cut{}, blame(err)
	}
	return split.Cut{StartUS: s.Start, EndUS: s.End, Container: s.Container, Header: s.Header, Body: segment{s}}, nil
}

// segment is a segment's file, in memory or, if it is long, on disk until it is closed.
type segment struct{ *media.Segment }

func (s segment) Close() error {
	s.Segment.Close()
	return nil
}

// tagged is when a clip was taken, by its container's tags: Apple's has the time zone, the other is UTC.
func tagged(tags map[string]string) time.Time {
	for _, tag := range []string{"com.apple.quicktime.creationdate", "creation_time"} {
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05-0700"} {
			// Cameras without a clock write the epoch of their format.
			if t, err := time.Parse(layout, tags[tag]); err == nil && t.Year() > 1990 {
				return t
			}
		}
	}
	return time.Time{}
}

// blame turns what FFmpeg says of a clip into a rejection.
func blame(err error) error {
	if u, ok := errors.AsType[*media.Unreadable](err); ok {
		return &split.Rejection{Reason: string(u.Reason), Hint: u.Hint}
	}
	return err
}
