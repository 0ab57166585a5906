package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const ffmpegNotice = `This image holds FFmpeg as Debian 13 builds it. With its parts under the GPL, among them x264 and x265, FFmpeg is
under the GNU General Public License, version 2 or later, and so is a program together with which it is conveyed;
Vedette's own code is under the Apache License 2.0. The licence of every package lies in /usr/share/doc/<package>.
The sources are Debian's, at https://snapshot.debian.org, of these packages and versions:

%s
`

func (d debian) search() *search {
	return &search{roots: []string{d.base, d.others}, found: map[string]library{}}
}

// baseTree is what every image stands on.
func (d debian) baseTree() (tree, error) {
	t := tree{}
	if err := t.addDirectory("", d.base, worthHaving); err != nil {
		return nil, err
	}
	t.addBody("etc/passwd", []byte("root:x:0:0:root:/root:/usr/sbin/nologin\nvedette:x:"+user+":"+user+":vedette:/:/usr/sbin/nologin\n"))
	t.addBody("etc/group", []byte("root:x:0:\nvedette:x:"+user+":\n"))

	// The package's script would gather the authorities into one file.
	authorities, err := filepath.Glob(filepath.Join(d.base, "usr/share/ca-certificates/mozilla/*.crt"))
	if err != nil {
		return nil, err
	}
	if len(authorities) == 0 {
		return nil, errors.New("no certificate authorities in Debian's ca-certificates")
	}
	var all bytes.Buffer
	for _, a := range authorities {
		body, err := os.ReadFile(a)
		if err != nil {
			return nil, err
		}
		all.Write(body)
	}
	t.addBody("etc/ssl/certs/ca-certificates.crt", all.Bytes())
	return t, nil
}

func everything(string) bool { return true }

// worthHaving leaves out what only people at a terminal need; licences stay.
func worthHaving(name string) bool {
	if slices.Contains([]string{"usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/bug", "usr/share/info", "usr/share/perl5"}, name) {
		return false
	}
	inDoc, ok := strings.CutPrefix(name, "usr/share/doc/")
	return !ok || !strings.Contains(inDoc, "/") || strings.HasSuffix(inDoc, "/copyright")
}

// ffmpegTree is FFmpeg's libraries and all they need, with the licences of every package that came with them.
func (d debian) ffmpegTree() (tree, error) {
	libraries := d.search()
	for _, p := range ffmpegPackages {
		name, err := soname(filepath.Join(d.others, libraryDirs[0], strings.TrimSuffix(p, "-dev")+".so"))
		if err != nil {
			return nil, err
		}
		if _, err := libraries.need(name, nil); err != nil {
			return nil, err
		}
	}
	t := tree{}
	for _, lib := range libraries.found {
		if strings.HasPrefix(lib.file, d.base) {
			continue
		}
		if err := t.addFile(lib.path, lib.file); err != nil {
			return nil, err
		}
	}
	licences, err := filepath.Glob(filepath.Join(d.others, "usr/share/doc/*/copyright"))
	if err != nil {
		return nil, err
	}
	for _, l := range licences {
		if err := t.addFile("usr/share/doc/"+filepath.Base(filepath.Dir(l))+"/copyright", l); err != nil {
			return nil, err
		}
	}
	t.addBody("usr/share/doc/vedette/NOTICE.FFmpeg", fmt.Appendf(nil, ffmpegNotice, strings.Join(d.versions, "\n")))
	return t, nil
}

func (m maker) onnxruntimeInside() string { return "/opt/lib/" + filepath.Base(m.onnxruntime) }

func (m maker) onnxruntimeTree() (tree, error) {
	t := tree{}
	if err := t.addFile(m.onnxruntimeInside(), m.onnxruntime); err != nil {
		return nil, err
	}
	return t, t.addLicences(filepath.Dir(m.onnxruntime), "usr/share/doc/onnxruntime")
}

// addLicences puts the licences that lie in a directory into the tree.
func (t tree) addLicences(dir, under string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		name := strings.ToUpper(f.Name())
		if f.Type().IsRegular() && slices.ContainsFunc([]string{"LICEN", "COPYING", "NOTICE", "PATENTS", "THIRDPARTY"}, func(p string) bool { return strings.HasPrefix(name, p) }) {
			if err := t.addFile(under+"/"+f.Name(), filepath.Join(dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
