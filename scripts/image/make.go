package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// What knative/ calls the images.
const (
	prefix  = "dev.local/vedette"
	version = "dev"
)

const user = "65532"

// models is the package in which weights are.
const models = "vedette.dev/models"

// The layers that functions share.
const (
	base        = "Debian 13"
	ffmpeg      = "FFmpeg"
	onnxruntime = "ONNX Runtime"
)

// maker makes images.
type maker struct {
	repository  string // root of this repository
	cache       string // for packages and layers
	out         string
	prefix      string
	version     string
	onnxruntime string // path of the library
}

func (m maker) blobs() string { return filepath.Join(m.cache, "blobs") }

// found lists the functions of the repository: every functions/<name>/cmd/<name>.
func found(repository string) ([]string, error) {
	mains, err := filepath.Glob(filepath.Join(repository, "functions/*/cmd/*/main.go"))
	if err != nil {
		return nil, err
	}
	if len(mains) == 0 {
		return nil, errors.New("no functions here: run this at the root of the repository")
	}
	var names []string
	for _, m := range mains {
		names = append(names, filepath.Base(filepath.Dir(m)))
	}
	return names, nil
}

// make makes an image of each function, and of each program given as name=file.
func (m maker) make(ctx context.Context, names []string) error {
	if err := os.RemoveAll(m.blobs()); err != nil {
		return err
	}
	defer os.RemoveAll(m.blobs())
	for _, dir := range []string{m.blobs(), m.out} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	d, err := fetchDebian(ctx, filepath.Join(m.cache, "debian"))
	if err != nil {
		return err
	}
	shared := sharing{dir: m.blobs(), trees: map[string]func() (tree, error){base: d.baseTree, ffmpeg: d.ffmpegTree, onnxruntime: m.onnxruntimeTree}, made: map[string]blob{}}
	for _, name := range names {
		name, binary, given := strings.Cut(name, "=")
		if given {
			err = m.program(shared, name, binary)
		} else {
			err = m.function(ctx, d, shared, name)
		}
		if err != nil {
			return fmt.Errorf("image of %s: %w", name, err)
		}
	}
	return nil
}

// sharing makes each of the layers that functions share when the first needs it.
type sharing struct {
	dir   string
	trees map[string]func() (tree, error)
	made  map[string]blob
}

func (s sharing) layers(names ...string) (all []blob, err error) {
	for _, name := range names {
		b, made := s.made[name]
		if !made {
			t, err := s.trees[name]()
			if err != nil {
				return nil, fmt.Errorf("layer %s: %w", name, err)
			}
			if b, err = t.write(s.dir, name); err != nil {
				return nil, err
			}
			s.made[name] = b
			slog.Info("layer", "of", name, "mb", b.size>>20, "sha256", b.digest[:12])
		}
		all = append(all, b)
	}
	return all, nil
}

// function makes the image of one function.
func (m maker) function(ctx context.Context, d debian, shared sharing, name string) error {
	deps, err := m.dependencies(ctx, name)
	if err != nil {
		return err
	}
	img := m.image(name)
	layers := []string{base}
	media, infers := deps.packages["github.com/asticode/go-astiav"], deps.packages["github.com/yalue/onnxruntime_go"]
	if media {
		layers = append(layers, ffmpeg)
		img.config.Labels["org.opencontainers.image.licenses"] = "Apache-2.0 AND GPL-2.0-or-later"
	}
	if infers {
		layers = append(layers, onnxruntime)
		img.config.Env = append(img.config.Env, "VEDETTE_ONNXRUNTIME="+m.onnxruntimeInside())
	}
	if img.layers, err = shared.layers(layers...); err != nil {
		return err
	}
	binary := filepath.Join(m.blobs(), name)
	if err := m.build(ctx, d, name, binary, media || infers); err != nil {
		return err
	}
	if err := d.search().needsOf(binary); err != nil {
		return err
	}
	t := tree{}
	if err := t.addLicences(m.repository, "usr/share/doc/vedette"); err != nil {
		return err
	}
	for module, dir := range deps.modules {
		if err := t.addLicences(dir, "usr/share/doc/vedette/modules/"+module); err != nil {
			return err
		}
	}
	if deps.packages[models] {
		if err := t.addDirectory("usr/share/doc/vedette/models", filepath.Join(m.repository, "models/licences"), everything); err != nil {
			return err
		}
	}
	return m.finish(img, t, name, binary)
}

// program makes the image of a static program that is there already.
func (m maker) program(shared sharing, name, binary string) error {
	img := m.image(name)
	var err error
	if img.layers, err = shared.layers(base); err != nil {
		return err
	}
	return m.finish(img, tree{}, name, binary)
}

// image is what all images have in common.
func (m maker) image(name string) image {
	return image{
		name: fmt.Sprintf("%s/%s:%s", m.prefix, name, m.version),
		config: config{
			User:       user + ":" + user,
			Env:        []string{"PATH=/app:/usr/bin:/bin"},
			Entrypoint: []string{"/app/" + name},
			WorkingDir: "/",
			Labels: map[string]string{
				"org.opencontainers.image.title":    name,
				"org.opencontainers.image.version":  m.version,
				"org.opencontainers.image.licenses": "Apache-2.0",
			},
		},
	}
}

// finish puts the program on top and writes the archive.
func (m maker) finish(img image, t tree, name, binary string) error {
	t.put("app/"+name, node{mode: 0o755, file: binary})
	top, err := t.write(m.blobs(), name)
	if err != nil {
		return err
	}
	img.layers = append(img.layers, top)
	file := filepath.Join(m.out, name+".tar")
	if err := img.write(file); err != nil {
		return err
	}
	slog.Info("image", "name", img.name, "file", file, "layers", len(img.layers), "own_mb", top.size>>20)
	return nil
}

// dependencies are what a function is built of besides itself.
type dependencies struct {
	packages map[string]bool
	modules  map[string]string // path@version → directory
}

func (m maker) dependencies(ctx context.Context, name string) (dependencies, error) {
	const format = "{{.ImportPath}}\t{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}\t{{.Dir}}{{end}}{{end}}"
	out, err := output(ctx, "go", "list", "-deps", "-f", format, m.main(name))
	if err != nil {
		return dependencies{}, err
	}
	d := dependencies{packages: map[string]bool{}, modules: map[string]string{}}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		d.packages[f[0]] = true
		if len(f) == 3 {
			d.modules[f[1]] = f[2]
		}
	}
	return d, nil
}

func (m maker) main(name string) string { return fmt.Sprintf("./functions/%[1]s/cmd/%[1]s", name) }

// build builds a function for the image: against Debian's FFmpeg where it uses cgo, and static where it does not.
func (m maker) build(ctx context.Context, d debian, name, binary string, cgo bool) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", binary, m.main(name))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if cgo {
		cmd.Env = append(os.Environ(),
			"CGO_ENABLED=1",
			"PKG_CONFIG_PATH=",
			"PKG_CONFIG_LIBDIR="+filepath.Join(d.others, "usr/lib/x86_64-linux-gnu/pkgconfig"),
			"PKG_CONFIG_SYSROOT_DIR="+d.others,
			"PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1", // else what lies in Debian's usual place is left out
			"PKG_CONFIG_ALLOW_SYSTEM_LIBS=1",
			"CGO_LDFLAGS=-Wl,--allow-shlib-undefined", // Debian's libraries need Debian's C library, not this machine's
		)
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, bytes.TrimSpace(said))
	}
	return nil
}
