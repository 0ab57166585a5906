// Package depot wires a function to the store: the ledger in it, the side objects of the ledger, and the clips.
//
// In comes where the store is. Nothing is asked of the store before the first event: until it answers, events are
// answered 503, and plain HTTP calls are served without it.
package depot

import (
	"context"
	"errors"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/store"
)

// Depot is the store as a function sees it.
type Depot struct {
	Ledger *ledger.Ledger
	Sides  Sides
	Clips  Clips
	Store  *store.Store
}

// Open opens the store for a function, whose events then require it.
func Open(rt *function.Runtime, c store.Config) (Depot, error) {
	if c.Endpoint == "" {
		rt.Require("store", func(context.Context) error {
			return errors.New("VEDETTE_S3_ENDPOINT is not set: only plain HTTP calls are served")
		})
		return Depot{}, nil
	}
	s, err := store.Open(c)
	if err != nil {
		return Depot{}, err
	}
	rt.Require("store", s.Ready)
	return Depot{Ledger: ledger.New(s.Ledger()), Sides: Sides{s.Ledger()}, Clips: Clips{s}, Store: s}, nil
}

// Sides opens side objects of the ledger.
type Sides struct{ bucket *store.Bucket }

// Open opens a side object to be read while ctx lasts.
func (s Sides) Open(ctx context.Context, r findings.Ref) (ledger.Source, error) {
	return s.bucket.Open(ctx, r.Key, "") // named by its content: there is but one version
}

// Clips opens what was uploaded.
type Clips struct{ store *store.Store }

// Open opens one version of a clip to be read while ctx lasts. Opening and reading fail with ledger.ErrNotExist or
// store.ErrChanged once it is no longer there.
func (c Clips) Open(ctx context.Context, bucket, key, etag string) (ledger.Source, error) {
	return c.store.Bucket(bucket).Open(ctx, key, etag)
}

// Stat says what was uploaded at key.
func (c Clips) Stat(ctx context.Context, bucket, key string) (store.Info, error) {
	return c.store.Bucket(bucket).Stat(ctx, key)
}
