package main

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// libraryDirs is where the dynamic linker of a Debian image looks; blas and lapack are where Debian leads it by links
// that the packages' scripts make.
var libraryDirs = []string{"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/x86_64-linux-gnu/blas", "/usr/lib/x86_64-linux-gnu/lapack"}

// library is a shared library of an image.
type library struct {
	path string // in the image
	file string // on this machine
}

// search finds libraries in unpacked roots, the first of which wins, as the image's dynamic linker will.
type search struct {
	roots []string
	found map[string]library // by the names under which they are asked for
}

// need finds a library and all that it needs.
func (s *search) need(name string, paths []string) (library, error) {
	if lib, known := s.found[name]; known {
		return lib, nil
	}
	lib, err := s.find(name, paths)
	if err != nil {
		return library{}, err
	}
	s.found[name] = lib
	return lib, s.needsOf(lib.file)
}

// needsOf finds all that a program or library needs, and checks that each library has the symbol versions that are
// asked of it: a binary built against a newer C library is found out here, not in a pod that does not start.
func (s *search) needsOf(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	defer f.Close()
	names, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	asked, _ := f.DynamicVersionNeeds() // fails where nothing is asked
	var paths []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		lists, _ := f.DynString(tag)
		for _, list := range lists {
			paths = append(paths, strings.Split(list, ":")...)
		}
	}
	for _, name := range names {
		lib, err := s.need(name, paths)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, a := range asked {
			if a.Name != name {
				continue
			}
			if err := provides(lib.file, a.Needs); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return nil
}

func (s *search) find(name string, paths []string) (library, error) {
	for _, dir := range slices.Concat(paths, libraryDirs) {
		for _, root := range s.roots {
			file := filepath.Join(root, dir, name)
			if _, err := os.Stat(file); err != nil {
				continue
			}
			if slices.Contains(libraryDirs, dir) {
				dir = libraryDirs[0]
			}
			return library{path: path.Join(dir, name), file: file}, nil
		}
	}
	return library{}, fmt.Errorf("needs %s, which no package of the image has: %w", name, fs.ErrNotExist)
}

// provides checks that the library defines the versions.
func provides(file string, needs []elf.DynamicVersionDep) error {
	f, err := elf.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	defined, err := f.DynamicVersions()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, n := range needs {
		if !slices.ContainsFunc(defined, func(d elf.DynamicVersion) bool { return d.Name == n.Dep }) {
			return fmt.Errorf("needs %s of %s, which the image's has not: build on a machine with an older C library", n.Dep, filepath.Base(file))
		}
	}
	return nil
}

// soname is the name by which a library wants to be asked for.
func soname(file string) (string, error) {
	f, err := elf.Open(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	defer f.Close()
	names, err := f.DynString(elf.DT_SONAME)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	if len(names) != 1 {
		return "", fmt.Errorf("%s has no soname", file)
	}
	return names[0], nil
}
