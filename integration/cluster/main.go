// Cluster is the smoke test on a real Kubernetes with a real Knative.
//
// It goes to the cluster that KUBECONFIG names and to no other, loads the images of build (by the command in
// CLUSTER_LOAD, to which archives are given), applies knative/ beside a MinIO, puts a clip into it, and compares the
// report with that of the local runtime for the same clip. It holds if both have the same segments and tracks; if every
// Service had no pod before, had one because of the upload, and has none again after; and if a subscriber who takes a
// minute over every event kept nobody waiting. The namespace vedette, which must not be there before, is deleted
// however it ends.
//
//	CLUSTER_LOAD='ctr -n k8s.io images import' go run ./integration/cluster [-clip FILE] [-timeout 10m]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	t := test{
		kubeconfig: os.Getenv("KUBECONFIG"),
		load:       os.Getenv("CLUSTER_LOAD"),
		started:    time.Now(),
	}
	flag.StringVar(&t.clip, "clip", os.Getenv("VEDETTE_SAMPLE"), "`file` to upload")
	flag.StringVar(&t.vedette, "vedette", "bin/vedette", "the command-line `program`, for the local runtime")
	flag.StringVar(&t.images, "images", "build", "`directory` of the images")
	limit := flag.Duration("timeout", 10*time.Minute, "give up after this")
	flag.Parse()
	if err := run(&t, *limit); err != nil {
		fmt.Fprintf(os.Stderr, "cluster-smoke: FAILED: %v\n", err)
		os.Exit(1)
	}
	t.say("passed")
}

func run(t *test, limit time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return t.run(ctx)
}
