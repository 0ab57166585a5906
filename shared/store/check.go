package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"

	"github.com/minio/minio-go/v7"

	"vedette.dev/shared/ledger"
)

// racers is how many conditional writes race when a store is checked.
const racers = 32

// verdict is where the ledger's bucket remembers that its store has passed, so that only the first start pays for it. It
// names the endpoint: a copy of the bucket on another store has passed nothing.
func (s *Store) verdict() string {
	return "store/checked-" + base64.RawURLEncoding.EncodeToString([]byte(s.config.Endpoint))
}

// Ready makes sure that the buckets are there and that the store was checked once.
func (s *Store) Ready(ctx context.Context) error {
	_, err := s.Ledger().Get(ctx, s.verdict())
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); !ok || e.Away {
		return err
	}
	if err := s.EnsureBuckets(ctx); err != nil {
		return err
	}
	return s.Check(ctx)
}

// Check refuses a store on which racing conditional writes do not leave exactly one winner: the ledger's commits would
// not be commits.
func (s *Store) Check(ctx context.Context) error {
	b := s.Ledger()
	key := "store/race-" + rand.Text()
	defer func() { _ = b.Delete(context.WithoutCancel(ctx), key) }()

	var create minio.PutObjectOptions
	create.SetMatchETagExcept("*")
	if err := b.contest(ctx, "create", key, create); err != nil {
		return err
	}
	first, err := b.Stat(ctx, key)
	if err != nil {
		return err
	}
	var replace minio.PutObjectOptions
	replace.SetMatchETag(first.ETag)
	if err := b.contest(ctx, "replace", key, replace); err != nil {
		return err
	}
	return b.Put(ctx, s.verdict(), []byte(s.config.Endpoint), "text/plain")
}

// contest has many write an object on the same condition. One must win, and what it wrote must be there.
func (b *Bucket) contest(ctx context.Context, verb, key string, condition minio.PutObjectOptions) error {
	condition.ContentType = "text/plain"
	var errs [racers]error
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			_, errs[i] = b.put(ctx, key, fmt.Appendf(nil, "%s by racer %d", verb, i), condition)
		})
	}
	wg.Wait()

	winner, winners := 0, 0
	for i, err := range errs {
		switch err := b.fail(verb, key, err).(*Error); { //nolint:errorlint // fail's own
		case errs[i] == nil:
			winner, winners = i, winners+1
		case !errors.Is(err, ledger.ErrExists) && !errors.Is(err, ErrChanged):
			return err
		}
	}
	refuse := func(format string, args ...any) error {
		return &Error{
			Verb: "check", Endpoint: b.store.config.Endpoint, Bucket: b.name,
			Err: fmt.Errorf("of %d conditional PUTs (%s) that raced "+format, append([]any{racers, verb}, args...)...),
			Advice: "results would be lost or doubled on such a store: use one whose conditional writes (If-None-Match, If-Match) are atomic, " +
				"such as AWS S3, MinIO or versitygw",
		}
	}
	if winners != 1 {
		return refuse("%d succeeded instead of one", winners)
	}
	left, err := b.Get(ctx, key)
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%s by racer %d", verb, winner); string(left) != want {
		return refuse("the winner wrote %q, but %q is there", want, left)
	}
	return nil
}
