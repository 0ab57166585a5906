// Package ffmpeg joins encoded segments with FFmpeg for package assemble.
package ffmpeg

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"vedette.dev/shared/ledger"
	"vedette.dev/shared/media"
)

// Joiner joins by way of a temporary file: the index of an MP4 comes to its front only when all of it is written.
type Joiner struct{}

// Join copies the segments one after another into one MP4.
func (Joiner) Join(ctx context.Context, segments []ledger.Source) ([]byte, error) {
	dir, err := os.MkdirTemp("", "join")
	if err != nil {
		return nil, fmt.Errorf("a directory to join in: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "annotated.mp4")
	sources := make([]media.Source, len(segments))
	for i, s := range segments {
		sources[i] = s
	}
	if _, err := media.Join(ctx, path, sources); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}
