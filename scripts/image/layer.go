package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// tree is what a layer holds, by path in the image without the leading slash. Everything belongs to root, so that
// nothing running as anybody else can change it, and has one date: the same files are the same layer, wherever and
// whenever it is made.
type tree map[string]node

// node is a file (from this machine or given), a link or a directory.
type node struct {
	mode fs.FileMode // permissions, and fs.ModeDir or fs.ModeSymlink; sticky counts
	file string      // where on this machine its content is
	body []byte      // its content, if file is empty
	link string
}

// blob is a layer as it lies in an image.
type blob struct {
	comment string // what the layer is
	diffID  string // digest of the tar
	digest  string // digest of the gzipped tar
	size    int64
	file    string
}

var epoch = time.Unix(0, 0)

// addFile puts a file of this machine into the tree.
func (t tree) addFile(name, file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644) // whatever the umask was that wrote it
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	t.put(name, node{mode: mode, file: file})
	return nil
}

// addBody puts a given file into the tree.
func (t tree) addBody(name string, body []byte) { t.put(name, node{mode: 0o644, body: body}) }

// addLink puts a symbolic link into the tree.
func (t tree) addLink(name, to string) { t.put(name, node{mode: fs.ModeSymlink | 0o777, link: to}) }

// addDir puts a directory into the tree.
func (t tree) addDir(name string, mode fs.FileMode) { t.put(name, node{mode: mode | fs.ModeDir}) }

// put adds a node and the directories above it.
func (t tree) put(name string, n node) {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	t[name] = n
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, known := t[dir]; known {
			return
		}
		t[dir] = node{mode: 0o755 | fs.ModeDir}
	}
}

// addDirectory puts into the tree, under a name, what lies in a directory of this machine, as far as it is wanted.
func (t tree) addDirectory(under, dir string, wanted func(name string) bool) error {
	root := os.DirFS(dir)
	return fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if !wanted(name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch file := filepath.Join(dir, name); {
		case d.IsDir():
			mode := fs.FileMode(0o755)
			if info.Mode()&fs.ModeSticky != 0 {
				mode = 0o777 | fs.ModeSticky // /tmp
			}
			t.addDir(path.Join(under, name), mode)
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(file)
			if err != nil {
				return err
			}
			t.addLink(path.Join(under, name), to)
		case info.Mode().IsRegular():
			return t.addFile(path.Join(under, name), file)
		default:
			return fmt.Errorf("%s is neither file nor link nor directory", file)
		}
		return nil
	})
}

// write makes the layer's blob in dir.
func (t tree) write(dir, comment string) (blob, error) {
	f, err := os.CreateTemp(dir, "layer-*")
	if err != nil {
		return blob{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	packed := counter{w: f, hash: sha256.New()}
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return blob{}, err
	}
	plain := counter{w: zip, hash: sha256.New()}
	if err := t.tar(&plain); err != nil {
		return blob{}, fmt.Errorf("layer %q: %w", comment, err)
	}
	if err := zip.Close(); err != nil {
		return blob{}, err
	}
	b := blob{comment: comment, diffID: plain.digest(), digest: packed.digest(), size: packed.n}
	b.file = filepath.Join(dir, b.digest)
	if err := f.Close(); err != nil {
		return blob{}, err
	}
	return b, os.Rename(f.Name(), b.file)
}

func (t tree) tar(w io.Writer) error {
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names) // a directory comes before what is in it
	out := tar.NewWriter(w)
	for _, name := range names {
		if err := t[name].tar(out, name); err != nil {
			return err
		}
	}
	return out.Close()
}

func (n node) tar(out *tar.Writer, name string) error {
	h := &tar.Header{Name: name, Mode: int64(n.mode.Perm()), ModTime: epoch, Format: tar.FormatPAX, Typeflag: tar.TypeReg}
	switch {
	case n.mode.IsDir():
		h.Name, h.Typeflag = name+"/", tar.TypeDir
		if n.mode&fs.ModeSticky != 0 {
			h.Mode |= 0o1000
		}
	case n.mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, n.link
	case n.file == "":
		h.Size = int64(len(n.body))
	default:
		f, err := os.Open(n.file)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		h.Size = info.Size()
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		_, err = io.Copy(out, f)
		return err
	}
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	_, err := out.Write(n.body)
	return err
}

// counter counts and digests what is written through it.
type counter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	return n, err
}

func (c *counter) digest() string { return hex.EncodeToString(c.hash.Sum(nil)) }
