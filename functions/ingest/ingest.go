// Package ingest makes a clip of an uploaded object.
//
// In: S3's notifications, as CloudEvents of type com.amazonaws.s3.* or as the plain HTTP calls that stores send to a
// webhook; records of AWS and MinIO, one or many, with whatever else is in them. Out: clip.uploaded for each object that
// was made in the bucket of clips. A clip is who it is by bucket, key and ETag, so an upload told twice is one clip.
//
// A record that says nothing of use is ignored; whether a file is a video is split's to say.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/join"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/store"
)

const name = "ingest"

// Objects says what there is in a bucket; ledger.ErrNotExist if it is not there.
type Objects interface {
	Stat(ctx context.Context, bucket, key string) (store.Info, error)
}

// Function is ingest.
type Function struct {
	Bucket  string // of clips; records of others are ignored
	Ledger  *ledger.Ledger
	Objects Objects
	Out     join.Emitter
	Log     *slog.Logger
}

// Handle takes the records of one event.
func (f *Function) Handle(ctx context.Context, e event.Event) error {
	return f.take(ctx, e.Data())
}

// Webhook takes the records of a plain HTTP call. available says whether store and broker are there: until they are,
// the store is asked to send again.
func (f *Function) Webhook(available func(context.Context) error) function.PlainHandler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := available(r.Context()); err != nil {
			return err
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return fmt.Errorf("read the notification: %w", err)
		}
		if err := f.take(r.Context(), body); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

func (f *Function) take(ctx context.Context, body []byte) error {
	records, err := parse(body)
	if err != nil {
		return function.Hint(function.Permanent(err), "Send S3 notifications: {\"Records\": […]}.")
	}
	for _, r := range records {
		if err := f.admit(ctx, r); err != nil {
			return err // what was admitted before is admitted again, to the same effect
		}
	}
	return nil
}

// admit makes a clip of what a record tells of.
func (f *Function) admit(ctx context.Context, r record) error {
	log := f.Log.With("bucket", r.Bucket, "key", r.Key)
	switch {
	case !r.created():
		log.InfoContext(ctx, "nothing was uploaded: record ignored", "event", r.Event)
		return nil
	case r.Bucket != f.Bucket:
		log.InfoContext(ctx, "not in the bucket of clips: record ignored", "clips", f.Bucket)
		return nil
	case strings.HasSuffix(r.Key, "/"):
		log.InfoContext(ctx, "a folder: record ignored")
		return nil
	}
	info, err := f.Objects.Stat(ctx, r.Bucket, r.Key)
	gone := errors.Is(err, ledger.ErrNotExist)
	switch {
	case gone && r.ETag == "":
		log.InfoContext(ctx, "gone already: record ignored")
		return nil
	case gone:
		// Whoever uploaded it gets an answer: split finds it gone and says so.
	case err != nil:
		return err
	case r.ETag == "":
		r.ETag = info.ETag
	}
	if gone || info.ETag != r.ETag {
		info = store.Info{Entry: ledger.Entry{Size: r.Size, Modified: r.Time}}
	}
	uploaded := info.Modified
	if uploaded.IsZero() {
		uploaded = time.Now()
	}
	capture := whence(r.Key, info.Metadata, uploaded)
	id := ledger.ClipID(r.Bucket, r.Key, r.ETag)
	switch done, err := f.Ledger.Done(ctx, id, 1); {
	case err != nil:
		return err
	case done: // its record may have been erased since, and is not written again
		log.InfoContext(ctx, "this clip was processed before", "clip", id)
		return nil
	}
	clip, err := f.Ledger.Admit(ctx, ledger.Clip{
		ID:  id,
		Day: uploaded.UTC().Format(time.DateOnly),
		Origin: findings.Origin{
			Bucket:   r.Bucket,
			Key:      r.Key,
			ETag:     r.ETag,
			Size:     info.Size,
			Camera:   capture.camera,
			Captured: capture.at,
			By:       capture.by,
			SureS:    capture.sure.Seconds(),
		},
	})
	if err != nil {
		return err
	}
	open, err := f.Ledger.Open(ctx, clip, 1)
	if err != nil || !open {
		return err
	}
	d := events.Uploaded{
		OfRun:  events.OfRun{Clip: clip.ID, Run: 1, Camera: clip.Origin.Camera},
		Bucket: r.Bucket,
		Key:    r.Key,
	}
	return f.Out.Emit(ctx, d.Event(name))
}
