// Package s3 is an S3 server inside this process, on a folder: versitygw.
//
// In come requests of any S3 client. An upload is told to Config.Uploaded once it is committed, however it was made (in
// one piece, in parts, as a copy, over an object that was there), and never if it was refused. Conditional PUTs have one
// winner. Objects lie in the folder under their own names, so that a backup is a copy.
//
// There can be one server in a process, and it changes the process's working directory: paths must be absolute.
package s3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/pkg/xattr"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// Config says what to serve.
type Config struct {
	Folder    string // absolute; made if it is not there
	Listen    string // host:port
	AccessKey string
	SecretKey string
	Region    string
	Buckets   []string     // made if they are not there
	Uploaded  func(Upload) // called before the client has its answer, so it should be quick
}

// Upload is an object that was committed.
type Upload struct {
	Bucket string
	Key    string
	ETag   string // without quotes
	Size   int64
	At     time.Time
}

// Server is a running S3 server.
type Server struct {
	Endpoint string // URL

	stop func()
	done chan struct{}
	err  error
}

// Requests and connections at a time: an upload in parts opens a few, a function one or two.
const limit = 1000

const healthPath = "/.healthy"

// Start starts a server and returns when it answers.
func Start(c Config) (*Server, error) {
	if !filepath.IsAbs(c.Folder) {
		return nil, fmt.Errorf("start S3: folder %s is not an absolute path", c.Folder)
	}
	store, err := open(c)
	if err != nil {
		return nil, fmt.Errorf("start S3 on %s: %w", c.Folder, err)
	}
	root := auth.Account{Access: c.AccessKey, Secret: c.SecretKey, Role: auth.RoleAdmin}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{Endpoint: "http://" + reachable(c.Listen), stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = embedgw.RunVersityGW(ctx, &watched{Posix: store, uploaded: c.Uploaded}, &embedgw.Config{
			RootUserAccess:    c.AccessKey,
			RootUserSecret:    c.SecretKey,
			Region:            c.Region,
			Ports:             []string{c.Listen},
			IAMService:        auth.NewIAMServiceSingle(root), // as it would choose itself, but without a word on standard output
			MaxConnections:    limit,
			MaxRequests:       limit,
			MultipartMaxParts: 10000,
			KeepAlive:         false, // costs nothing measurable here, and kept connections delay Close by 10 s
			Quiet:             true,
			HealthPath:        healthPath,
		})
	}()
	if err := s.await(10 * time.Second); err != nil {
		s.Close()
		return nil, fmt.Errorf("start S3 on %s: %w", c.Listen, err)
	}
	return s, nil
}

// reachable is an address under which this machine reaches who listens on another, which may be all.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return listen
}

// Close stops the server: requests under way may end.
func (s *Server) Close() {
	s.stop()
	<-s.done
}

// Done is closed when the server has ended, whether or not it was asked to.
func (s *Server) Done() <-chan struct{} { return s.done }

// await waits until the server answers.
func (s *Server) await(longest time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint+healthPath, http.NoBody)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.done:
			return errors.Join(errors.New("the server ended at once"), s.err)
		case <-ctx.Done():
			return fmt.Errorf("no answer within %v", longest)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// open opens the store on the folder and makes the buckets.
func open(c Config) (*posix.Posix, error) {
	objects := filepath.Join(c.Folder, "objects")
	if err := os.MkdirAll(objects, 0o700); err != nil {
		return nil, err
	}
	options := posix.PosixOpts{
		CopyObjectThreshold: 5 << 30, // S3's own limit; its zero value refuses every copy
	}
	var attributes meta.MetadataStorer = meta.XattrMeta{}
	if err := xattr.Set(objects, "user.vedette", []byte("1")); err != nil {
		// A file system without extended attributes: they go into files beside the objects.
		side := filepath.Join(c.Folder, "attributes")
		if err := os.MkdirAll(side, 0o700); err != nil {
			return nil, err
		}
		if attributes, err = meta.NewSideCar(side); err != nil {
			return nil, err
		}
	}
	store, err := posix.New(objects, attributes, options)
	if err != nil {
		return nil, err
	}
	for _, bucket := range c.Buckets {
		if err := makeBucket(store, bucket, c.AccessKey); err != nil {
			return nil, fmt.Errorf("make bucket %s: %w", bucket, err)
		}
	}
	return store, nil
}

func makeBucket(store *posix.Posix, bucket, owner string) error {
	acl, err := json.Marshal(auth.ACL{Owner: owner})
	if err != nil {
		return err
	}
	ctx := context.WithValue(context.Background(), "bucket-owner", auth.Account{Access: owner}) //nolint:staticcheck // versitygw's own key
	err = store.CreateBucket(ctx, &awss3.CreateBucketInput{
		Bucket:                    &bucket,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{},
		ObjectOwnership:           types.ObjectOwnershipBucketOwnerEnforced,
	}, acl)
	if e, ok := errors.AsType[s3err.BucketError](err); ok && e.StatusCode() == http.StatusConflict {
		return nil // it is there
	}
	return err
}

// watched is the store, seeing uploads as they are committed.
type watched struct {
	*posix.Posix
	uploaded func(Upload)
}

var _ backend.Backend = (*watched)(nil)

// PutObject stores an object that came in one piece.
func (w *watched) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	out, err := w.Posix.PutObject(ctx, in)
	if err == nil {
		size := int64(0)
		if in.ContentLength != nil {
			size = *in.ContentLength
		}
		w.tell(in.Bucket, in.Key, out.ETag, size)
	}
	return out, err
}

// CompleteMultipartUpload puts an object together that came in parts.
func (w *watched) CompleteMultipartUpload(ctx context.Context, in *awss3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	out, version, err := w.Posix.CompleteMultipartUpload(ctx, in)
	if err == nil {
		w.look(ctx, in.Bucket, in.Key)
	}
	return out, version, err
}

// CopyObject makes an object of one that is there.
func (w *watched) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	out, err := w.Posix.CopyObject(ctx, in)
	if err == nil {
		w.look(ctx, in.Bucket, in.Key)
	}
	return out, err
}

// look tells of an object of which the answer to its upload does not say how large it is.
func (w *watched) look(ctx context.Context, bucket, key *string) {
	head, err := w.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: bucket, Key: key})
	if err != nil || head.ETag == nil || head.ContentLength == nil {
		return // deleted meanwhile: there is nothing to tell of
	}
	w.tell(bucket, key, *head.ETag, *head.ContentLength)
}

func (w *watched) tell(bucket, key *string, etag string, size int64) {
	if w.uploaded == nil || bucket == nil || key == nil || strings.HasSuffix(*key, "/") {
		return
	}
	w.uploaded(Upload{
		Bucket: strings.Clone(*bucket), // these lie in a buffer that the next request overwrites
		Key:    strings.Clone(*key),
		ETag:   strings.Clone(strings.Trim(etag, `"`)),
		Size:   size,
		At:     time.Now(),
	})
}
