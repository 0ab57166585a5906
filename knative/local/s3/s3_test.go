package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vedette.dev/knative/local/port"
)

// One server serves all tests: there can be one in a process.
func TestServer(t *testing.T) {
	stdout := captureStdout(t)
	folder := t.TempDir()
	var uploads uploads
	free, err := port.Free("127.0.0.1", func(int) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	config := Config{
		Folder: folder, Listen: net.JoinHostPort("127.0.0.1", strconv.Itoa(free)), AccessKey: "vedette", SecretKey: "a secret", Region: "us-east-1",
		Buckets: []string{"clips", "ledger"}, Uploaded: uploads.add,
	}
	server, err := Start(config)
	if err != nil {
		t.Fatal(err)
	}
	client := awss3.New(awss3.Options{
		BaseEndpoint: &server.Endpoint, Region: "us-east-1", UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "vedette", SecretAccessKey: "a secret"}, nil
		}),
	})
	put := func(key, body string) *awss3.PutObjectInput {
		return &awss3.PutObjectInput{Bucket: aws.String("clips"), Key: &key, Body: bytes.NewReader([]byte(body))}
	}

	t.Run("tells of uploads", func(t *testing.T) {
		uploads.reset()
		ctx := t.Context()
		out, err := client.PutObject(ctx, put("door/a b+c ü.mp4", "one"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.PutObject(ctx, put("door/a b+c ü.mp4", "three")); err != nil {
			t.Fatal(err)
		}
		refused := put("door/a b+c ü.mp4", "four")
		refused.IfNoneMatch = aws.String("*")
		if _, err := client.PutObject(ctx, refused); code(err) != "PreconditionFailed" {
			t.Fatalf("got %v, want a precondition that failed", err)
		}
		multipart(t, client, "yard/parts.mp4", 5<<20, 7)
		if _, err := client.CopyObject(ctx, &awss3.CopyObjectInput{
			Bucket: aws.String("clips"), Key: aws.String("yard/copy.mp4"), CopySource: aws.String("clips/yard/parts.mp4"),
		}); err != nil {
			t.Fatal(err)
		}
		want := []Upload{
			{Bucket: "clips", Key: "door/a b+c ü.mp4", Size: 3},
			{Bucket: "clips", Key: "door/a b+c ü.mp4", Size: 5},
			{Bucket: "clips", Key: "yard/parts.mp4", Size: 5<<20 + 7},
			{Bucket: "clips", Key: "yard/copy.mp4", Size: 5<<20 + 7},
		}
		got := uploads.all()
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Upload{}, "ETag", "At")); diff != "" {
			t.Fatalf("uploads (-want +got):\n%s", diff)
		}
		if quoted := `"` + got[0].ETag + `"`; quoted != *out.ETag {
			t.Errorf("ETag is told as %s, answered as %s", quoted, *out.ETag)
		}
	})

	t.Run("one of many creators wins", func(t *testing.T) {
		var racing sync.WaitGroup
		won := make(chan int, 32)
		for i := range 32 {
			racing.Go(func() {
				in := put("race", fmt.Sprint(i))
				in.Bucket, in.IfNoneMatch = aws.String("ledger"), aws.String("*")
				if _, err := client.PutObject(t.Context(), in); err == nil {
					won <- i
				}
			})
		}
		racing.Wait()
		close(won)
		if len(won) != 1 {
			t.Fatalf("%d won", len(won))
		}
		out, err := client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("ledger"), Key: aws.String("race")})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = out.Body.Close() }()
		if body, err := io.ReadAll(out.Body); err != nil || string(body) != fmt.Sprint(<-won) {
			t.Errorf("the object holds %q (%v), which is not the winner's", body, err)
		}
	})

	t.Run("refuses other keys", func(t *testing.T) {
		stranger := awss3.New(awss3.Options{
			BaseEndpoint: &server.Endpoint, Region: "us-east-1", UsePathStyle: true,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "vedette", SecretAccessKey: "a guess"}, nil
			}),
		})
		if _, err := stranger.ListBuckets(t.Context(), &awss3.ListBucketsInput{}); code(err) != "SignatureDoesNotMatch" {
			t.Errorf("got %v", err)
		}
	})

	t.Run("starts again on the same folder", func(t *testing.T) {
		server.Close()
		server, err = Start(config)
		if err != nil {
			t.Fatal(err)
		}
		out, err := client.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String("clips")})
		if err != nil || len(out.Contents) != 3 {
			t.Errorf("got %v, %v", out, err)
		}
	})

	server.Close()
	if said := stdout(); said != "" {
		t.Errorf("standard output, which is for answers, got %q", said)
	}
}

func TestReachable(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:1": "127.0.0.1:1", ":2": "127.0.0.1:2", "0.0.0.0:3": "127.0.0.1:3", "[::]:4": "127.0.0.1:4", "store:5": "store:5",
	} {
		if got := reachable(listen); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

func TestStartRefusesRelativeFolder(t *testing.T) {
	if _, err := Start(Config{Folder: "data"}); err == nil {
		t.Error("started")
	}
}

func multipart(t *testing.T, client *awss3.Client, key string, sizes ...int) {
	t.Helper()
	bucket := aws.String("clips")
	upload, err := client.CreateMultipartUpload(t.Context(), &awss3.CreateMultipartUploadInput{Bucket: bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	var parts []types.CompletedPart
	for i, size := range sizes {
		number := aws.Int32(int32(i + 1))
		part, err := client.UploadPart(t.Context(), &awss3.UploadPartInput{
			Bucket: bucket, Key: &key, UploadId: upload.UploadId, PartNumber: number, Body: bytes.NewReader(make([]byte, size)),
		})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{PartNumber: number, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32})
	}
	if _, err := client.CompleteMultipartUpload(t.Context(), &awss3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: &key, UploadId: upload.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}); err != nil {
		t.Fatal(err)
	}
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

type uploads struct {
	mu   sync.Mutex
	list []Upload
}

func (u *uploads) add(upload Upload) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = append(u.list, upload)
}

func (u *uploads) reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = nil
}

func (u *uploads) all() []Upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.list
}

// captureStdout catches what is written to standard output until the function it returns is called.
func captureStdout(t *testing.T) func() string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdout
	os.Stdout = file
	t.Cleanup(func() { os.Stdout = before })
	return func() string {
		os.Stdout = before
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
}
