package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/minio/minio-go/v7"
)

// How much of an object is read at a time: little at first, since containers are looked into at both ends, and more as
// long as reading goes straight on.
const (
	firstRead  = 256 << 10
	widestRead = 4 << 20
)

// Object is one version of one object, to be read by ranges. It may be used by several goroutines.
type Object struct {
	ctx    context.Context //nolint:containedctx // io.ReaderAt has no place for it; an Object lives within one request
	bucket *Bucket
	info   Info

	mu     sync.Mutex
	buffer []byte // what was read last
	at     int64  // where it begins
	ahead  int64  // how much to read next time
}

// Open opens the version of an object that has this ETag (any version for ""), to be read while ctx lasts. It fails with
// ErrNotExist if there is no object and with ErrChanged if there is another version; so does each read later on.
func (b *Bucket) Open(ctx context.Context, key, etag string) (*Object, error) {
	i, err := b.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	if etag != "" && i.ETag != etag {
		return nil, &Error{Verb: "open", Endpoint: b.store.config.Endpoint, Bucket: b.name, Key: key,
			Err: fmt.Errorf("%w: its ETag is %s, not %s", ErrChanged, i.ETag, etag)}
	}
	return &Object{ctx: ctx, bucket: b, info: i, ahead: firstRead}, nil
}

// Size is the object's size in bytes.
func (o *Object) Size() int64 { return o.info.Size }

// Info is what the store says of the object.
func (o *Object) Info() Info { return o.info }

// Close lets go of what was read.
func (o *Object) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buffer = nil
	return nil
}

// ReadAt implements [io.ReaderAt].
func (o *Object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read before the beginning of an object")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for n < len(p) {
		if off >= o.info.Size {
			return n, io.EOF
		}
		if off < o.at || off >= o.at+int64(len(o.buffer)) {
			if err := o.fill(off, int64(len(p)-n)); err != nil {
				return n, err
			}
		}
		c := copy(p[n:], o.buffer[off-o.at:])
		n, off = n+c, off+int64(c)
	}
	return n, nil
}

// fill reads what begins at off: what is wanted, and ahead of that.
func (o *Object) fill(off, want int64) error {
	if off == o.at+int64(len(o.buffer)) {
		o.ahead = min(o.ahead*2, widestRead)
	} else {
		o.ahead = firstRead
	}
	end := min(off+max(want, o.ahead), o.info.Size)
	var get minio.GetObjectOptions
	if err := get.SetRange(off, end-1); err != nil {
		return o.bucket.fail("read", o.info.Key, err)
	}
	if err := get.SetMatchETag(o.info.ETag); err != nil {
		return o.bucket.fail("read", o.info.Key, err)
	}
	body, err := o.bucket.get(o.ctx, o.info.Key, get)
	if err != nil {
		return o.bucket.fail("read", o.info.Key, err)
	}
	if int64(len(body)) != end-off {
		return o.bucket.fail("read", o.info.Key, fmt.Errorf("asked for bytes %d to %d, got %d bytes: %w", off, end-1, len(body), io.ErrUnexpectedEOF))
	}
	o.buffer, o.at = body, off
	return nil
}
