package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLayerIsItsContent makes a layer twice out of files that differ in all that does not count.
func TestLayerIsItsContent(t *testing.T) {
	make := func(umask fs.FileMode, date time.Time) blob {
		dir := t.TempDir()
		for name, mode := range map[string]fs.FileMode{"usr/bin/tool": 0o777 &^ umask, "etc/conf": 0o666 &^ umask} {
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o777&^umask); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte("of "+name), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, date, date); err != nil {
				t.Fatal(err)
			}
		}
		layer := tree{}
		if err := layer.addDirectory("", dir, everything); err != nil {
			t.Fatal(err)
		}
		layer.addLink("bin", "usr/bin")
		layer.addDir("tmp", 0o777|fs.ModeSticky)
		b, err := layer.write(t.TempDir(), "a layer")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one, two := make(0o022, time.Unix(1, 0)), make(0o077, time.Unix(2_000_000_000, 0))
	if one.digest != two.digest || one.diffID != two.diffID {
		t.Errorf("the same files made the layers %s and %s", one.digest, two.digest)
	}

	var got []string
	for h := range entries(t, gunzip(t, read(t, one.file))) {
		got = append(got, strings.TrimSpace(h.FileInfo().Mode().String()+" "+h.Name+" "+h.Linkname))
		if h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(epoch) {
			t.Errorf("%s belongs to %d:%d and is of %v", h.Name, h.Uid, h.Gid, h.ModTime)
		}
	}
	want := []string{
		"Lrwxrwxrwx bin usr/bin", "drwxr-xr-x etc/", "-rw-r--r-- etc/conf", "dtrwxrwxrwx tmp/",
		"drwxr-xr-x usr/", "drwxr-xr-x usr/bin/", "-rwxr-xr-x usr/bin/tool",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("layer (-want +got):\n%s", d)
	}
}

// TestArchiveHangsTogether follows an archive from both of its manifests down to the content of its layers.
func TestArchiveHangsTogether(t *testing.T) {
	dir := t.TempDir()
	var layers []blob
	for _, name := range []string{"base", "top"} {
		layer := tree{}
		layer.addBody(name, []byte(name))
		b, err := layer.write(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, b)
	}
	file := filepath.Join(dir, "image.tar")
	img := image{name: "example.org/x:1", layers: layers, config: config{User: "65532", Entrypoint: []string{"/app/x"}}}
	if err := img.write(file); err != nil {
		t.Fatal(err)
	}
	blobs := map[string][]byte{}
	for h, body := range entries(t, read(t, file)) {
		blobs[h.Name] = body
		if digest, ok := strings.CutPrefix(h.Name, "blobs/sha256/"); ok {
			if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != digest {
				t.Errorf("%s has another content", h.Name)
			}
		}
	}
	decode := func(name string, v any) {
		t.Helper()
		if err := json.Unmarshal(blobs[name], v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	var (
		index    struct{ Manifests []descriptor }
		manifest struct {
			Config descriptor
			Layers []descriptor
		}
		conf struct {
			Config config
			RootFS struct {
				DiffIDs []string `json:"diff_ids"`
			}
		}
		docker []struct {
			Config   string
			RepoTags []string
			Layers   []string
		}
	)
	decode("index.json", &index)
	if got := index.Manifests[0].Annotations["io.containerd.image.name"]; got != img.name {
		t.Errorf("the image is called %q", got)
	}
	decode(index.Manifests[0].path(), &manifest)
	decode(manifest.Config.path(), &conf)
	decode("manifest.json", &docker)
	if docker[0].Config != manifest.Config.path() || !cmp.Equal(docker[0].RepoTags, []string{img.name}) {
		t.Errorf("docker's manifest says %+v", docker[0])
	}
	if conf.Config.User != "65532" {
		t.Errorf("the image runs as %q", conf.Config.User)
	}
	for i, l := range manifest.Layers {
		if docker[0].Layers[i] != l.path() || int(l.Size) != len(blobs[l.path()]) {
			t.Errorf("layer %d: %+v and %s, of %d bytes", i, l, docker[0].Layers[i], len(blobs[l.path()]))
		}
		sum := sha256.Sum256(gunzip(t, blobs[l.path()]))
		if got := "sha256:" + hex.EncodeToString(sum[:]); got != conf.RootFS.DiffIDs[i] {
			t.Errorf("layer %d unpacks to %s, the configuration says %s", i, got, conf.RootFS.DiffIDs[i])
		}
	}
}

// TestLibraries looks for what this machine's shell needs, in this machine.
func TestLibraries(t *testing.T) {
	s := search{roots: []string{"/"}, found: map[string]library{}}
	if err := s.needsOf("/bin/sh"); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.found["libc.so.6"]; !ok {
		t.Errorf("the shell needs the C library; found: %v", s.found)
	}
	s = search{roots: []string{t.TempDir()}, found: map[string]library{}}
	if err := s.needsOf("/bin/sh"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in an empty image the shell lacks its C library, not: %v", err)
	}
}

func TestDebNames(t *testing.T) {
	uris := "'http://deb.debian.org/debian/pool/main/z/zlib/zlib1g_1%3a1.3.dfsg_amd64.deb' zlib1g_1%3a1.3.dfsg_amd64.deb 88936 SHA256:00\n" +
		"NOTE: something\n" +
		"'http://deb.debian.org/debian/pool/main/b/base-files/base-files_13.8_amd64.deb' base-files_13.8_amd64.deb 71400 SHA256:01\n"
	want := []string{"base-files_13.8_amd64.deb", "zlib1g_1%3a1.3.dfsg_amd64.deb"}
	if d := cmp.Diff(want, debNames([]byte(uris))); d != "" {
		t.Errorf("packages (-want +got):\n%s", d)
	}
}

// TestNames compares the names of the images with those in knative/, and the functions with the Services there.
func TestNames(t *testing.T) {
	names, err := found("../..")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../knative/functions/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile(`image: (\S+)`)
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml")
		if !slices.Contains(names, name) {
			t.Errorf("%s asks for an image of %s, which is no function", f, name)
		}
		want := (maker{prefix: prefix, version: version}).image(name).name
		if m := asked.FindSubmatch(read(t, f)); m == nil || string(m[1]) != want {
			t.Errorf("%s asks for %q; the image is called %s", f, m, want)
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func gunzip(t *testing.T, packed []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func entries(t *testing.T, archive []byte) func(yield func(*tar.Header, []byte) bool) {
	return func(yield func(*tar.Header, []byte) bool) {
		t.Helper()
		r := tar.NewReader(bytes.NewReader(archive))
		for {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if !yield(h, body) {
				return
			}
		}
	}
}
