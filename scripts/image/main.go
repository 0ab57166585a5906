// Image makes the container images of Vedette's functions, without a container engine and without root.
//
// In go packages of Debian 13 (by apt, which checks their signatures), ONNX Runtime (as scripts/setup fetched it) and
// the functions of this repository; out comes one tar for each function, build/<function>.tar, named
// dev.local/vedette/<function>:dev, which containerd, Docker, Podman, skopeo and crane take.
//
// An image is made of layers that functions share by digest, so that a node that ran one starts the next without a long
// pull: Debian's base; FFmpeg, for functions that link it: Debian's own 7.1, which Debian keeps safe, reduced to the
// libraries that are needed; ONNX Runtime, for functions that infer; and the function itself. The same content has
// the same digest. A function runs as user 65532 and writes nothing outside /tmp.
//
//	go run ./scripts/image [-out DIR] [-name PREFIX] [-version TAG] [FUNCTION | NAME=FILE]...
//
// Without words it makes an image of every function. NAME=FILE packs a static program as it is.
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	var m maker
	flag.StringVar(&m.out, "out", "build", "`directory` for the archives")
	flag.StringVar(&m.prefix, "name", prefix, "registry and repository that image names begin with")
	flag.StringVar(&m.version, "version", version, "`tag` of the images")
	flag.Parse()

	if err := run(m, flag.Args()); err != nil {
		slog.Error("no images", "error", err)
		os.Exit(1)
	}
}

func run(m maker, names []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if m.repository, err = os.Getwd(); err != nil {
		return err
	}
	if m.onnxruntime = os.Getenv("VEDETTE_ONNXRUNTIME"); m.onnxruntime == "" {
		return errors.New("VEDETTE_ONNXRUNTIME is not set: run this by `make image`, or source the environment that scripts/setup wrote")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if names, err = found(m.repository); err != nil {
			return err
		}
	}
	m.cache = filepath.Join(cache, "vedette", "image")
	return m.make(ctx, names)
}
