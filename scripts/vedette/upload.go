package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"vedette.dev/shared/store"
)

// upload puts files into the bucket of clips.
func upload(ctx context.Context, c *console, args []string) (int, error) {
	f := newOptions(c, "upload", "CLIP... [options]", "Puts clips into the bucket of a Vedette that is running, and prints their keys.")
	camera := f.String("camera", "", "`name` of the camera that took the clips")
	captured := f.String("captured", "", "when the first frame was taken, as RFC 3339 `time`")
	files, err := f.parse(args)
	if err != nil || len(files) == 0 {
		return f.misusedOr(err, "upload needs a clip")
	}
	metadata := map[string]string{}
	if *captured != "" {
		if _, err := time.Parse(time.RFC3339, *captured); err != nil {
			return f.misused("--captured is no RFC 3339 time such as 2024-05-01T12:00:00Z: %v", err)
		}
		metadata["captured"] = *captured
	}
	list, err := openClips(files, *camera)
	if err != nil {
		return exitFailed, err
	}
	h, err := openHome(os.Getenv)
	if err != nil {
		return exitFailed, err
	}
	p, err := attach(ctx, h)
	if err != nil {
		return exitFailed, errors.New("no Vedette is running on this data folder: start one with `vedette up`, or use `vedette process`")
	}
	defer p.close()
	for _, clip := range list {
		there, err := clip.put(ctx, p, metadata)
		if err != nil {
			return exitFailed, err
		}
		if there {
			c.say("%s is there already", clip.name)
		}
		c.print(clip.key)
	}
	return exitDone, nil
}

// newSection reads an object from its beginning to its end.
func newSection(o *store.Object) io.Reader { return io.NewSectionReader(o, 0, o.Size()) }
