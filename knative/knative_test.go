package knative

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// What a cluster would refuse is refused here, and the error says where it is.
func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct {
		name, file, old, new, want string
	}{
		{"unknown field", "broker.yaml", "spec:", "sepc:", "sepc"},
		{"no broker class", "broker.yaml", "eventing.knative.dev/broker.class:", "class:", "broker.class"},
		{"concurrency below zero", "functions/decode.yaml", "containerConcurrency: 1", "containerConcurrency: -1", "containerConcurrency"},
		{"time-out", "functions/decode.yaml", "timeoutSeconds: 300", "timeoutSeconds: 3000", "timeoutSeconds"},
		{"broken filter", "functions/decode.yaml", "    - exact:\n        type: dev.vedette.segment.v1.cut", "    - cesql: \"type =\"", "cesql"},
		{"unknown subscriber", "functions/decode.yaml", "      name: decode\n      namespace", "      name: decoder\n      namespace", "decoder"},
		{"unknown dead letter sink", "functions/decode.yaml", "name: reconcile", "name: bin", "dead-letter sink of Trigger decode-segment"},
		{"unknown broker", "functions/decode.yaml", "broker: default", "broker: other", "other"},
		{"backoff", "functions/decode.yaml", "backoffDelay: PT1S", "backoffDelay: 1s", "backoffDelay"},
		{"schedule", "clock.yaml", `"*/2 * * * *"`, `"now and then"`, "schedule"},
		{"missing file", "kustomization.yaml", "  - clock.yaml", "  - watch.yaml", "watch.yaml"},
		{"unknown kind", "namespace.yaml", "kind: Namespace", "kind: ConfigMap", "ConfigMap"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := shipped(t)
			text := string(folder[c.file].Data)
			if !strings.Contains(text, c.old) {
				t.Fatalf("%s has no %q", c.file, c.old)
			}
			folder[c.file] = &fstest.MapFile{Data: []byte(strings.Replace(text, c.old, c.new, 1))}
			_, err := Load(folder)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error about %q", err, c.want)
			}
		})
	}
}

// shipped is a copy of Files that a test may change.
func shipped(t *testing.T) fstest.MapFS {
	t.Helper()
	folder := fstest.MapFS{}
	err := fs.WalkDir(Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(Files, path)
		folder[path] = &fstest.MapFile{Data: text}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return folder
}
