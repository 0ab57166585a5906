// Package models holds the weights of the networks that Vedette runs, and the manifest that says of each where it comes from,
// under which licences, what goes in, what comes out and how good it is. The bytes of a network leave, checked.
//
// The weights are part of the program: a function cannot start with a model missing or with another one's, and its image is
// its program. A program carries only the models whose functions it calls; the linker leaves out the others.
//
// Guaranteed: the bytes have the digest that the manifest gives, and a recipe under recipes/ rebuilds exactly these bytes
// out of a package of a public registry (recipes/check does so).
package models

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

//go:embed manifest.json
var manifest []byte

//go:embed person_nanodet_g_int8.onnx
var personNanodet []byte

//go:embed face_yunet_s_dynamic.onnx
var faceYunet []byte

// A Model is one entry of the manifest.
type Model struct {
	Name     string    `json:"name"`
	Task     string    `json:"task"` // what it finds, in the plural
	File     string    `json:"file"`
	SHA256   string    `json:"sha256"`
	Bytes    int       `json:"bytes"`
	Card     string    `json:"card"` // the page that tells people about it
	Source   Source    `json:"source"`
	Recipe   []string  `json:"recipe"` // the program first, then what it reads
	Licences []Licence `json:"licences"`
	Inputs   []Tensor  `json:"inputs"`
	Outputs  []Tensor  `json:"outputs"`
	Decoding string    `json:"decoding"`
	Accuracy []Measure `json:"accuracy"`
}

// A Source is the package that a model is built from.
type Source struct {
	Registry      string `json:"registry"`
	Package       string `json:"package"`
	Version       string `json:"version"`
	PackageSHA256 string `json:"package_sha256"`
	Files         []struct {
		Path   string `json:"path"`
		SHA256 string `json:"sha256"`
	} `json:"files"`
}

// A Licence is one that whoever passes a model on has to ship with it.
type Licence struct {
	Of   string `json:"of"`
	SPDX string `json:"spdx"`
	Text string `json:"text"`
}

// A Tensor is an input or an output. Its shape holds numbers, and names for what may vary.
type Tensor struct {
	Name          string `json:"name"`
	Type          string `json:"type"`
	Shape         []any  `json:"shape"`
	Layout        string `json:"layout,omitempty"`
	Normalisation string `json:"normalisation,omitempty"`
	Meaning       string `json:"meaning,omitempty"`
}

// A Measure is a figure and how it came to be.
type Measure struct {
	What   string `json:"what"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

// Manifest lists all models.
func Manifest() ([]Model, error) {
	var document struct {
		Models []Model `json:"models"`
	}
	if err := json.Unmarshal(manifest, &document); err != nil {
		return nil, fmt.Errorf("models: manifest.json: %w", err)
	}
	return document.Models, nil
}

// Persons returns the network that finds persons, as an ONNX file's bytes, and its entry.
func Persons() ([]byte, Model, error) {
	return checked("person_nanodet_g_int8", personNanodet)
}

// Faces returns the network that finds faces and their landmarks, as an ONNX file's bytes, and its entry.
func Faces() ([]byte, Model, error) {
	return checked("face_yunet_s_dynamic", faceYunet)
}

func checked(name string, weights []byte) ([]byte, Model, error) {
	all, err := Manifest()
	if err != nil {
		return nil, Model{}, err
	}
	for _, m := range all {
		if m.Name != name {
			continue
		}
		if err := m.verify(weights); err != nil {
			return nil, Model{}, err
		}
		return weights, m, nil
	}
	return nil, Model{}, fmt.Errorf("models: manifest.json has no entry %s", name)
}

// verify refuses weights that are not those of the manifest.
func (m Model) verify(weights []byte) error {
	sum := sha256.Sum256(weights)
	if got := hex.EncodeToString(sum[:]); got != m.SHA256 {
		return fmt.Errorf("models: %s (%d bytes) has sha256 %s, the manifest wants %s (%d bytes): restore it with `git checkout -- models` and build again",
			m.File, len(weights), got, m.SHA256, m.Bytes)
	}
	return nil
}
