package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"mime"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
)

// clip is a file to be processed, and what became of it.
type clip struct {
	file string // absolute; "" for one that is known by its id only
	name string // for people
	key  string // in the bucket of clips

	id     string
	run    int
	known  bool // it was answered from the ledger
	report findings.Report
	err    error
}

// Digits of a file's digest in its key: enough to tell apart what one bucket holds.
const digestDigits = 12

// openClip looks at a file. Its key is made of its content, so that a file that is known is recognized and no two
// overwrite each other; the camera is the key's folder, as ingest reads it.
func openClip(file, camera string) (*clip, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open clip", Path: file, Err: errors.New("it is no file")}
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return nil, err
	}
	name := filepath.Base(file)
	key := path.Join(camera, hex.EncodeToString(hash.Sum(nil))[:digestDigits]+"-"+name)
	return &clip{file: file, name: name, key: key}, nil
}

// shortName is a key for people: without folder and digest.
func shortName(key string) string {
	name := path.Base(key)
	if digest, rest, ok := strings.Cut(name, "-"); ok && len(digest) == digestDigits && rest != "" {
		if _, err := hex.DecodeString(digest); err == nil {
			return rest
		}
	}
	return name
}

// put uploads the clip unless it is there already, and says whether it was.
func (c *clip) put(ctx context.Context, p *place, metadata map[string]string) (there bool, err error) {
	bucket := p.store.Clips()
	info, err := bucket.Stat(ctx, c.key)
	switch {
	case err == nil:
		c.id = ledger.ClipID(bucket.Name(), c.key, info.ETag)
		return true, nil
	case !errors.Is(err, ledger.ErrNotExist):
		return false, err
	}
	f, err := os.Open(c.file)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	size, err := f.Stat()
	if err != nil {
		return false, err
	}
	etag, err := bucket.Upload(ctx, c.key, f, size.Size(), mediaType(c.name), metadata)
	if err != nil {
		return false, err
	}
	c.id = ledger.ClipID(bucket.Name(), c.key, etag)
	if os.Getenv("VEDETTE_S3_ENDPOINT") != "" {
		// A store of somebody else's may tell us of it or not; told twice is the same clip.
		return false, c.announce(ctx, p)
	}
	return false, nil
}

// announce tells the broker of an upload as the store would.
func (c *clip) announce(ctx context.Context, p *place) error {
	bucket := p.store.Clips()
	info, err := bucket.Stat(ctx, c.key)
	if err != nil {
		return err
	}
	return p.publish(ctx, events.Stored{
		Bucket: bucket.Name(), Key: c.key, ETag: info.ETag, Size: info.Size, At: info.Modified,
	}.Event("vedette"))
}

// begin sees to it that the clip is being processed, or is done with already.
func (c *clip) begin(ctx context.Context, p *place, again bool) error {
	if c.run > 1 {
		return nil // begun already: whoever runs Vedette now goes on with it
	}
	c.run = 1
	if c.file == "" {
		known, err := one(ctx, p.ledger, c.id)
		if err != nil {
			return err
		}
		c.id, c.name = known.ID, shortName(known.Key)
	} else if there, err := c.put(ctx, p, nil); err != nil || !there {
		return err
	}
	if again {
		return c.replay(ctx, p)
	}
	done, err := p.ledger.DoneRuns(ctx, c.id)
	if err != nil {
		return err
	}
	if len(done) == 0 {
		// Uploaded and not finished: if it is not under way, this begins it.
		return c.announce(ctx, p)
	}
	c.run = slices.MaxFunc(done, func(a, b ledger.Reference) int { return a.Run - b.Run }).Run
	c.known = true
	return nil
}

// replay begins a new run of a clip.
func (c *clip) replay(ctx context.Context, p *place) error {
	record, err := p.ledger.Clip(ctx, c.id)
	if errors.Is(err, ledger.ErrNotExist) && c.file != "" {
		return c.announce(ctx, p) // uploaded, but never processed
	}
	if err != nil {
		return err
	}
	if c.run, err = p.ledger.Replay(ctx, c.id); err != nil {
		return err
	}
	uploaded := events.Uploaded{
		OfRun:  events.OfRun{Clip: c.id, Run: c.run, Camera: record.Origin.Camera},
		Bucket: record.Origin.Bucket,
		Key:    record.Origin.Key,
	}
	return p.publish(ctx, uploaded.Event("vedette"))
}

// How often the ledger is asked when nobody tells us that something happened.
const askEvery = time.Second

// await waits for the clip's report, unless the place is gone before.
func (c *clip) await(ctx context.Context, p *place, gone <-chan struct{}, w *watched) error {
	for {
		report, err := p.ledger.Report(ctx, c.id, c.run)
		switch {
		case err == nil && report.Status != findings.StatusAnalyzed:
			c.report = report
			return nil
		case err == nil, errors.Is(err, ledger.ErrNotExist):
		default:
			return err
		}
		if c.known {
			return errors.New("it was processed, and its report is removed; --again processes it once more")
		}
		if why := w.lost.Load(); why != nil {
			return errors.New(*why)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-gone:
			return errNobody
		case <-w.wake:
		case <-time.After(askEvery):
		}
	}
}

// verdict says how a clip ended: completed, rejected or failed.
func (c *clip) verdict() int {
	switch {
	case c.err == nil && c.report.Status == findings.StatusCompleted:
		return exitDone
	case c.err == nil && c.report.Status == findings.StatusRejected:
		return exitRejected
	default:
		return exitFailed
	}
}

func mediaType(name string) string {
	if t := mime.TypeByExtension(path.Ext(name)); strings.HasPrefix(t, "video/") {
		return t
	}
	return "application/octet-stream"
}
