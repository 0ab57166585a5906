// Package ffmpeg joins encoded segments with FFmpeg for package assemble.
package ffmpeg

import (
	"context"

	"vedette.dev/shared/ledger"
	"vedette.dev/shared/media"
)

// Joiner joins without encoding.
type Joiner struct{}

// Join copies the segments one after another into an MP4 at path.
func (Joiner) Join(ctx context.Context, path string, segments []ledger.Source) error {
	sources := make([]media.Source, len(segments))
	for i, s := range segments {
		sources[i] = s
	}
	_, err := media.Join(ctx, path, sources)
	return err
}
