package models

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func manifestOf(t *testing.T) []Model {
	t.Helper()
	all, err := Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWeightsAreThoseOfTheManifest(t *testing.T) {
	for task, load := range map[string]func() ([]byte, Model, error){"persons": Persons, "faces": Faces} {
		weights, model, err := load()
		if err != nil {
			t.Errorf("%s: %v", task, err)
			continue
		}
		if model.Task != task || model.Bytes != len(weights) {
			t.Errorf("%s: got %s of %d bytes, entry says %d", task, model.Task, len(weights), model.Bytes)
		}
	}
}

func TestWrongDigestIsRefused(t *testing.T) {
	weights, model, err := Faces()
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(weights)
	other[len(other)/2] ^= 1
	_, _, err = checked(model.Name, other)
	if err == nil {
		t.Fatal("one flipped bit was accepted")
	}
	for _, word := range []string{model.File, model.SHA256, "git checkout"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error does not mention %q: %v", word, err)
		}
	}
	if _, _, err := checked("nobody", weights); err == nil {
		t.Error("a model without an entry was accepted")
	}
}

func TestEveryWeightHasAnEntryAndEveryEntryAFile(t *testing.T) {
	listed := []string{}
	total := 0
	for _, m := range manifestOf(t) {
		listed = append(listed, m.File)
		total += m.Bytes
		data, err := os.ReadFile(m.File)
		if err != nil {
			t.Error(err)
			continue
		}
		if err := m.verify(data); err != nil {
			t.Error(err)
		}
	}
	files, err := filepath.Glob("*.onnx")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(listed)
	if !slices.Equal(files, listed) {
		t.Errorf("weights here: %v; in the manifest: %v", files, listed)
	}
	if total > 20<<20 {
		t.Errorf("%d bytes of weights: every clone carries them; 20 MiB is the limit", total)
	}
}

// TestEntriesAreComplete asks of an entry what somebody needs who judges, rebuilds or passes on a model.
func TestEntriesAreComplete(t *testing.T) {
	commercial := []string{"Apache-2.0", "BSD-3-Clause", "MIT"} // licences known to allow commercial use
	for _, m := range manifestOf(t) {
		t.Run(m.Name, func(t *testing.T) {
			for field, value := range map[string]string{
				"name": m.Name, "task": m.Task, "decoding": m.Decoding,
				"registry": m.Source.Registry, "package": m.Source.Package, "version": m.Source.Version,
			} {
				if value == "" {
					t.Errorf("%s is empty", field)
				}
			}
			digests := []string{m.SHA256, m.Source.PackageSHA256}
			for _, f := range m.Source.Files {
				digests = append(digests, f.SHA256)
			}
			for _, d := range digests {
				if raw, err := hex.DecodeString(d); err != nil || len(raw) != sha256.Size {
					t.Errorf("%q is no SHA-256", d)
				}
			}
			if len(m.Source.Files) == 0 || len(m.Recipe) == 0 || len(m.Licences) == 0 || len(m.Accuracy) == 0 {
				t.Error("source files, recipe, licences and accuracy are all needed")
			}
			paths := append([]string{m.Card}, m.Recipe...)
			for _, l := range m.Licences {
				if !slices.Contains(commercial, l.SPDX) {
					t.Errorf("%s is not among the licences known to allow commercial use: %v", l.SPDX, commercial)
				}
				paths = append(paths, l.Text)
			}
			for _, p := range paths {
				if info, err := os.Stat(p); err != nil || info.Size() == 0 {
					t.Errorf("%q is missing or empty", p)
				}
			}
			if len(m.Inputs) == 0 || len(m.Outputs) == 0 {
				t.Error("inputs and outputs are needed")
			}
			for _, in := range m.Inputs {
				if in.Name == "" || in.Type == "" || len(in.Shape) == 0 || in.Layout == "" || in.Normalisation == "" {
					t.Errorf("input is incomplete: %+v", in)
				}
			}
			for _, out := range m.Outputs {
				if out.Name == "" || out.Type == "" || len(out.Shape) == 0 || out.Meaning == "" {
					t.Errorf("output is incomplete: %+v", out)
				}
			}
			for _, a := range m.Accuracy {
				if a.What == "" || a.Value == "" || a.Source == "" {
					t.Errorf("a figure without its source: %+v", a)
				}
			}
			card, err := os.ReadFile(m.Card)
			if err != nil {
				t.Fatal(err)
			}
			for _, heading := range []string{"## Where from", "## In and out", "## How good", "## Known failures"} {
				if !strings.Contains(string(card), heading) {
					t.Errorf("%s lacks %q", m.Card, heading)
				}
			}
		})
	}
}
