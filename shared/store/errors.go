package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"vedette.dev/shared/ledger"
)

// ErrChanged says that an object is no longer the version that was asked for: it was overwritten meanwhile.
var ErrChanged = errors.New("object was overwritten meanwhile")

// Error is what went wrong with the store: where, at what, and what can be done about it.
type Error struct {
	Verb     string // what was asked of the store
	Endpoint string
	Bucket   string
	Key      string
	Err      error
	Advice   string // what the operator can do; "" if nothing
	Away     bool   // the store, or our way to it, is at fault and not the request: it is worth trying again later
}

func (e *Error) Error() string {
	where := e.Bucket
	if e.Key != "" {
		where += "/" + e.Key
	}
	text := fmt.Sprintf("%s %s at %s: %v", e.Verb, where, e.Endpoint, e.Err)
	if e.Advice != "" {
		text += " (" + e.Advice + ")"
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Unavailable reports whether the store is away, so that the work should be tried again when it is back.
func (e *Error) Unavailable() bool { return e.Away }

// Hint is what the operator can do.
func (e *Error) Hint() string { return e.Advice }

// fail says what an error of the client means.
func (b *Bucket) fail(verb, key string, err error) error {
	e := &Error{Verb: verb, Endpoint: b.store.config.Endpoint, Bucket: b.name, Key: key, Err: err}
	answer := minio.ToErrorResponse(err)
	switch {
	case answer.Code == minio.NoSuchBucket:
		e.Advice = "make the bucket, or allow Vedette to"
	case answer.StatusCode == http.StatusNotFound:
		e.Err = ledger.ErrNotExist
	case answer.StatusCode == http.StatusPreconditionFailed || answer.StatusCode == http.StatusConflict:
		// 409 says that somebody else is writing the same object right now: lost as well.
		e.Err = ErrChanged
		if verb == "create" {
			e.Err = ledger.ErrExists
		}
	case answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized:
		e.Away = true // keys are put right by people, and the work is still there then
		e.Advice = "check VEDETTE_S3_ACCESS_KEY and VEDETTE_S3_SECRET_KEY, what they may do, and the clock of this machine"
	case answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests:
		e.Away = true
		e.Advice = "the store has trouble: look into its log, its disks and its load"
	case answer.StatusCode != 0, errors.Is(err, context.Canceled):
		// The request itself is at fault, or nobody wants its answer any more.
	default:
		e.Away = true
		e.Advice = "is the store running, and VEDETTE_S3_ENDPOINT right?"
	}
	if errors.Is(e.Err, ErrChanged) && verb == "put" {
		e.Err = err
		e.Advice = "the store refuses this key: is there an object at one of the folders it is in?"
	}
	return e
}
