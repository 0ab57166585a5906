// Package store keeps objects in S3, or in whatever speaks its language: the buckets in which clips come in, and the one
// that is the ledger.
//
// In comes what [ledger.Bucket] asks for, and reading of clips by ranges; what leaves are requests, signed, over kept
// connections, each bounded in time and in retries. Guaranteed: Create never replaces an object; what [Bucket.Open] reads
// is one version of one object, or ErrChanged; errors say where, what was asked, and what the operator can do.
package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"vedette.dev/shared/ledger"
)

// Config says where the store is. Package function reads it from the environment.
type Config struct {
	Endpoint  string `env:"VEDETTE_S3_ENDPOINT" doc:"URL of the S3 store, such as http://minio.storage:9000 or https://s3.eu-central-1.amazonaws.com; without it events are answered 503"`
	AccessKey string `env:"VEDETTE_S3_ACCESS_KEY" doc:"access key; if not set, the credentials of the machine or pod are used"`
	SecretKey string `env:"VEDETTE_S3_SECRET_KEY" doc:"secret key"`
	Region    string `env:"VEDETTE_S3_REGION" default:"us-east-1" doc:"region of the buckets"`
	Clips     string `env:"VEDETTE_S3_CLIPS" default:"clips" doc:"bucket that clips are put into"`
	Ledger    string `env:"VEDETTE_S3_LEDGER" default:"ledger" doc:"bucket of results"`
}

// Validate checks what tags cannot say.
func (c *Config) Validate() error {
	if c.Endpoint != "" { // whoever only calls by HTTP needs no store
		if _, _, err := c.host(); err != nil {
			return err
		}
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		return errors.New("VEDETTE_S3_ACCESS_KEY and VEDETTE_S3_SECRET_KEY go together: set both or neither")
	}
	if c.Clips == c.Ledger {
		return fmt.Errorf("VEDETTE_S3_CLIPS and VEDETTE_S3_LEDGER are both %q: clips would be processed for being results; name two buckets", c.Clips)
	}
	return nil
}

func (c *Config) host() (host string, secure bool, err error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		return "", false, fmt.Errorf("VEDETTE_S3_ENDPOINT is %q: it must be the URL of an S3 store without a path, such as http://127.0.0.1:9000", c.Endpoint)
	}
	return u.Host, u.Scheme == "https", nil
}

const (
	attempts = 3                // of a request; what is still away then is away
	patience = 30 * time.Second // for an answer, and for a request with a small body
	slowest  = 1 << 20          // bytes a second; a large body has so much longer
)

// Store is a connection to an S3 store.
type Store struct {
	config      Config
	client      minio.Core
	connections *http.Transport
}

// Open makes a store. It asks nothing of it yet: the store may still be away.
func Open(c Config) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	host, secure, err := c.host()
	if err != nil {
		return nil, err
	}
	if c.Region == "" {
		c.Region = "us-east-1" // without any, the client asks the store before each bucket's first use
	}
	keys := credentials.NewStaticV4(c.AccessKey, c.SecretKey, "")
	if c.AccessKey == "" {
		keys = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.IAM{}})
	}
	connections := transport()
	client, err := minio.New(host, &minio.Options{
		Creds:      keys,
		Secure:     secure,
		Region:     c.Region,
		MaxRetries: attempts,
		Transport:  connections,
	})
	if err != nil {
		return nil, fmt.Errorf("open the store at %s: %w", c.Endpoint, err)
	}
	return &Store{config: c, client: minio.Core{Client: client}, connections: connections}, nil
}

// Close lets go of the connections that are kept. The store may be used again.
func (s *Store) Close() { s.connections.CloseIdleConnections() }

// transport keeps as many connections as one process may use at a time; Go's default keeps two.
func transport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       time.Minute,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: patience,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // objects come as they are
	}
}

// Bucket is a bucket of the store, whether it is there or not.
func (s *Store) Bucket(name string) *Bucket { return &Bucket{store: s, name: name} }

// Clips is the bucket that clips are put into.
func (s *Store) Clips() *Bucket { return s.Bucket(s.config.Clips) }

// Ledger is the bucket of results.
func (s *Store) Ledger() *Bucket { return s.Bucket(s.config.Ledger) }

// EnsureBuckets makes the configured buckets where they are missing.
func (s *Store) EnsureBuckets(ctx context.Context) error {
	for _, name := range []string{s.config.Clips, s.config.Ledger} {
		b := s.Bucket(name)
		ctx, cancel := context.WithTimeout(ctx, patience)
		there, err := s.client.BucketExists(ctx, name)
		if err == nil && !there {
			err = s.client.MakeBucket(ctx, name, minio.MakeBucketOptions{Region: s.config.Region})
			if code := minio.ToErrorResponse(err).Code; code == minio.BucketAlreadyOwnedByYou || code == minio.BucketAlreadyExists {
				err = nil // somebody else was quicker
			}
		}
		cancel()
		if err != nil {
			return b.fail("make bucket", "", err)
		}
	}
	return nil
}

// Bucket is one bucket. It implements [ledger.Bucket].
type Bucket struct {
	store *Store
	name  string
}

// Name is the name of the bucket.
func (b *Bucket) Name() string { return b.name }

// Info is what the store says of an object.
type Info struct {
	ledger.Entry
	Type     string            // media type
	Metadata map[string]string // x-amz-meta-*, without that prefix, in lower case
}

// Stat says what there is at key; ErrNotExist if there is nothing.
func (b *Bucket) Stat(ctx context.Context, key string) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o, err := b.store.client.StatObject(ctx, b.name, key, minio.StatObjectOptions{})
	if err != nil {
		return Info{}, b.fail("stat", key, err)
	}
	return info(o), nil
}

func info(o minio.ObjectInfo) Info {
	i := Info{Entry: entry(o), Type: o.ContentType, Metadata: map[string]string{}}
	for name, value := range o.UserMetadata {
		i.Metadata[strings.ToLower(name)] = value
	}
	return i
}

func entry(o minio.ObjectInfo) ledger.Entry {
	return ledger.Entry{Key: o.Key, Size: o.Size, ETag: strings.Trim(o.ETag, `"`), Modified: o.LastModified}
}

// Get implements [ledger.Bucket].
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, error) {
	body, err := b.get(ctx, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, b.fail("get", key, err)
	}
	return body, nil
}

// get reads an object, or a range of it, whole. An answer that breaks off is asked for again.
func (b *Bucket) get(ctx context.Context, key string, o minio.GetObjectOptions) (body []byte, err error) {
	for range attempts {
		torn := false
		if body, torn, err = b.getOnce(ctx, key, o); !torn || ctx.Err() != nil {
			break
		}
	}
	return body, err
}

func (b *Bucket) getOnce(ctx context.Context, key string, o minio.GetObjectOptions) (body []byte, torn bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(patience, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	r, object, _, err := b.store.client.GetObject(ctx, b.name, key, o)
	if err != nil {
		return nil, false, overdue(ctx, err) // the client has tried again already
	}
	defer r.Close()
	timer.Reset(allowance(object.Size))
	if object.Size < 0 { // the answer does not say
		body, err = io.ReadAll(r)
		return body, err != nil, overdue(ctx, err)
	}
	body = make([]byte, object.Size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, true, overdue(ctx, err)
	}
	return body, false, nil
}

// overdue says that it was our own patience that ended, where it was.
func overdue(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	}
	return err
}

func allowance(size int64) time.Duration {
	return patience + time.Duration(size/slowest)*time.Second
}

// Create implements [ledger.Bucket].
func (b *Bucket) Create(ctx context.Context, key string, body []byte, mediaType string) error {
	if len(body) > worthAsking {
		if _, err := b.Stat(ctx, key); err == nil {
			return b.exists(key)
		}
	}
	var o minio.PutObjectOptions
	o.SetMatchETagExcept("*")
	err := b.write(ctx, "create", key, body, mediaType, o)
	dial, _ := errors.AsType[*net.OpError](err)
	if e, ok := errors.AsType[*Error](err); ok && e.Away && (dial == nil || dial.Op != "dial") {
		// A server that refuses a large body before it has read it may close the connection, and then its answer does
		// not arrive. What is there now, somebody has created, if not we ourselves.
		if _, gone := b.Stat(ctx, key); gone == nil {
			return b.exists(key)
		}
	}
	return err
}

// worthAsking is the size of a body from which on it is quicker to ask whether the object is there than to send it in vain.
const worthAsking = 256 << 10

func (b *Bucket) exists(key string) error {
	return &Error{Verb: "create", Endpoint: b.store.config.Endpoint, Bucket: b.name, Key: key, Err: ledger.ErrExists}
}

// Put implements [ledger.Bucket].
func (b *Bucket) Put(ctx context.Context, key string, body []byte, mediaType string) error {
	return b.write(ctx, "put", key, body, mediaType, minio.PutObjectOptions{})
}

func (b *Bucket) write(ctx context.Context, verb, key string, body []byte, mediaType string, o minio.PutObjectOptions) error {
	o.ContentType = mediaType
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		_, err := b.put(ctx, key, body, o)
		if err == nil {
			return nil
		}
		// A conflict says that somebody else is at the same object, or on a file system in the same folder, right now. If
		// it leaves no object there, nobody has won.
		if minio.ToErrorResponse(err).StatusCode != http.StatusConflict || pause > longestPause || b.lost(ctx, verb, key) {
			return b.fail(verb, key, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return b.fail(verb, key, ctx.Err())
		}
	}
}

const longestPause = 320 * time.Millisecond

// lost reports whether a conflict over a key is a race that is lost.
func (b *Bucket) lost(ctx context.Context, verb, key string) bool {
	if verb != "create" {
		return false
	}
	_, err := b.Stat(ctx, key)
	return err == nil
}

// put puts an object in one piece: several would drop the condition. It is signed with the hash of its body; in the
// client's other way, signed chunks, an empty body is one chunk that no server reads, and the connection breaks.
func (b *Bucket) put(ctx context.Context, key string, body []byte, o minio.PutObjectOptions) (etag string, err error) {
	size := int64(len(body))
	ctx, cancel := context.WithTimeout(ctx, allowance(size))
	defer cancel()
	sum := sha256.Sum256(body)
	o.DisableContentSha256 = true // no chunks
	done, err := b.store.client.PutObject(ctx, b.name, key, bytes.NewReader(body), size, "", hex.EncodeToString(sum[:]), o)
	return done.ETag, err
}

// Stream implements [ledger.Bucket].
func (b *Bucket) Stream(ctx context.Context, key string, body io.Reader, size int64, mediaType string) error {
	_, err := b.Upload(ctx, key, body, size, mediaType, nil)
	return err
}

// Upload puts an object of any size, in parts if it is large, and returns its ETag.
func (b *Bucket) Upload(ctx context.Context, key string, body io.Reader, size int64, mediaType string, metadata map[string]string) (etag string, err error) {
	o := minio.PutObjectOptions{ContentType: mediaType, UserMetadata: metadata, NumThreads: 2}
	if size == 0 {
		etag, err = b.put(ctx, key, nil, o)
	} else {
		var done minio.UploadInfo
		done, err = b.store.client.Client.PutObject(ctx, b.name, key, body, size, o)
		etag = done.ETag
	}
	if err != nil {
		return "", b.fail("upload", key, err)
	}
	return strings.Trim(etag, `"`), nil
}

// Delete implements [ledger.Bucket].
func (b *Bucket) Delete(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := b.store.client.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		err = nil
	}
	if err != nil {
		return b.fail("delete", key, err)
	}
	return nil
}

// List implements [ledger.Bucket].
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[ledger.Entry, error] {
	return func(yield func(ledger.Entry, error) bool) {
		nobody := false
		for o := range b.store.client.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{
			Prefix:     prefix,
			StartAfter: after,
			Recursive:  true,
			FetchOwner: &nobody,
		}) {
			if o.Err != nil {
				yield(ledger.Entry{}, b.fail("list", prefix, o.Err))
				return
			}
			if !yield(entry(o), nil) {
				return
			}
		}
		// The client ends a listing silently when its context does; a listing cut short would pass for a whole one.
		if err := ctx.Err(); err != nil {
			yield(ledger.Entry{}, b.fail("list", prefix, err))
		}
	}
}
