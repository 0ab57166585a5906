// Package ledgertest helps to test what stands on the ledger: a bucket in memory, with a clock of its own, whose users
// can be killed between any two operations, and a suite that says what a bucket must be.
package ledgertest

import (
	"context"
	"crypto/md5" //nolint:gosec // as S3 makes its ETags
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"vedette.dev/shared/ledger"
)

// Bucket is a strongly consistent bucket in memory. Its clock stands still unless it is advanced.
type Bucket struct {
	mu      sync.Mutex
	now     time.Time
	objects map[string]object
}

type object struct {
	body      []byte
	mediaType string
	etag      string
	modified  time.Time
}

// New makes an empty bucket.
func New() *Bucket {
	return &Bucket{
		now:     time.Date(2026, 11, 22, 10, 20, 30, 0, time.UTC),
		objects: map[string]object{},
	}
}

// Now is the time by the bucket's clock.
func (b *Bucket) Now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// Advance lets time pass.
func (b *Bucket) Advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// Keys lists what is in the bucket under a prefix.
func (b *Bucket) Keys(prefix string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var keys []string
	for key := range b.objects {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Clone copies the bucket as it is.
func (b *Bucket) Clone() *Bucket {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &Bucket{now: b.now, objects: maps.Clone(b.objects)}
}

// Get implements [ledger.Bucket].
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.objects[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, ledger.ErrNotExist)
	}
	return slices.Clone(o.body), nil
}

// Create implements [ledger.Bucket].
func (b *Bucket) Create(ctx context.Context, key string, body []byte, mediaType string) error {
	return b.write(ctx, key, body, mediaType, true)
}

// Put implements [ledger.Bucket].
func (b *Bucket) Put(ctx context.Context, key string, body []byte, mediaType string) error {
	return b.write(ctx, key, body, mediaType, false)
}

// Stream implements [ledger.Bucket].
func (b *Bucket) Stream(ctx context.Context, key string, body io.Reader, size int64, mediaType string) error {
	whole, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if int64(len(whole)) != size {
		return fmt.Errorf("stream %s: %d bytes came, %d were announced", key, len(whole), size)
	}
	return b.write(ctx, key, whole, mediaType, false)
}

func (b *Bucket) write(ctx context.Context, key string, body []byte, mediaType string, onlyNew bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, taken := b.objects[key]; taken && onlyNew {
		return fmt.Errorf("%s: %w", key, ledger.ErrExists)
	}
	sum := md5.Sum(body) //nolint:gosec // as S3 makes its ETags
	b.objects[key] = object{body: slices.Clone(body), mediaType: mediaType, etag: hex.EncodeToString(sum[:]), modified: b.now}
	return nil
}

// Delete implements [ledger.Bucket].
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, key)
	return nil
}

// List implements [ledger.Bucket].
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[ledger.Entry, error] {
	return func(yield func(ledger.Entry, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(ledger.Entry{}, err)
			return
		}
		for _, key := range b.Keys(prefix) {
			if key <= after {
				continue
			}
			b.mu.Lock()
			o, ok := b.objects[key]
			b.mu.Unlock()
			if ok && !yield(o.entry(key), nil) {
				return
			}
		}
	}
}

func (o object) entry(key string) ledger.Entry {
	return ledger.Entry{Key: key, Size: int64(len(o.body)), ETag: o.etag, Modified: o.modified}
}

// ErrKilled is what a process gets from its bucket once it is dead.
var ErrKilled = errors.New("this process was killed")

// Op is an operation on a bucket.
type Op struct {
	Verb string // get, create, put, delete or list
	Key  string // or prefix
}

// Process is a bucket as one process sees it.
type Process struct {
	Bucket ledger.Bucket
	// Before is asked before an operation, After after it; an error is the operation's. Both may be nil.
	Before, After func(Op) error
}

// CrashAfter is a bucket as a process sees it that is killed after its nth operation: none after that has any effect.
func CrashAfter(b ledger.Bucket, n int) *Process {
	var mu sync.Mutex
	return &Process{Bucket: b, Before: func(Op) error {
		mu.Lock()
		defer mu.Unlock()
		if n--; n < 0 {
			return ErrKilled
		}
		return nil
	}}
}

func (p *Process) do(op Op, f func() error) error {
	if p.Before != nil {
		if err := p.Before(op); err != nil {
			return fmt.Errorf("%s %s: %w", op.Verb, op.Key, err)
		}
	}
	err := f()
	if p.After != nil {
		if err := p.After(op); err != nil {
			return fmt.Errorf("%s %s: %w", op.Verb, op.Key, err)
		}
	}
	return err
}

// Get implements [ledger.Bucket].
func (p *Process) Get(ctx context.Context, key string) (body []byte, err error) {
	err = p.do(Op{"get", key}, func() error {
		body, err = p.Bucket.Get(ctx, key)
		return err
	})
	return body, err
}

// Create implements [ledger.Bucket].
func (p *Process) Create(ctx context.Context, key string, body []byte, mediaType string) error {
	return p.do(Op{"create", key}, func() error { return p.Bucket.Create(ctx, key, body, mediaType) })
}

// Put implements [ledger.Bucket].
func (p *Process) Put(ctx context.Context, key string, body []byte, mediaType string) error {
	return p.do(Op{"put", key}, func() error { return p.Bucket.Put(ctx, key, body, mediaType) })
}

// Stream implements [ledger.Bucket].
func (p *Process) Stream(ctx context.Context, key string, body io.Reader, size int64, mediaType string) error {
	return p.do(Op{"stream", key}, func() error { return p.Bucket.Stream(ctx, key, body, size, mediaType) })
}

// Delete implements [ledger.Bucket].
func (p *Process) Delete(ctx context.Context, key string) error {
	return p.do(Op{"delete", key}, func() error { return p.Bucket.Delete(ctx, key) })
}

// List implements [ledger.Bucket].
func (p *Process) List(ctx context.Context, prefix, after string) iter.Seq2[ledger.Entry, error] {
	return func(yield func(ledger.Entry, error) bool) {
		err := p.do(Op{"list", prefix}, func() error { return nil })
		if err != nil {
			yield(ledger.Entry{}, err)
			return
		}
		p.Bucket.List(ctx, prefix, after)(yield)
	}
}
