package store_test

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/pkg/xattr"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// serve starts an S3 server, versitygw, without any bucket. There can be one in a process.
func serve(t *testing.T) (endpoint string) {
	t.Helper()
	folder := t.TempDir()
	var attributes meta.MetadataStorer = meta.XattrMeta{}
	if err := xattr.Set(folder, "user.vedette", []byte("1")); err != nil { // a file system without extended attributes
		var err error
		if attributes, err = meta.NewSideCar(t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(".") // which the server changes
	backend, err := posix.New(filepath.Clean(folder), attributes, posix.PosixOpts{CopyObjectThreshold: 5 << 30})
	if err != nil {
		t.Fatal(err)
	}
	address := free(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		root := auth.Account{Access: accessKey, Secret: secretKey, Role: auth.RoleAdmin}
		ended <- embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
			RootUserAccess: accessKey, RootUserSecret: secretKey, Ports: []string{address},
			IAMService:     auth.NewIAMServiceSingle(root),
			MaxConnections: 1000, MaxRequests: 1000, MultipartMaxParts: 10000,
			KeepAlive: true, Quiet: true, HealthPath: "/healthy",
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // a server that ends waits for its clients
	for range 1000 {
		answer, err := client.Get("http://" + address + "/healthy")
		if err == nil {
			answer.Body.Close()
			return "http://" + address
		}
		select {
		case err := <-ended:
			t.Fatalf("the server ended at once: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("the server does not answer")
	return ""
}

// free finds an address that nobody listens at.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
