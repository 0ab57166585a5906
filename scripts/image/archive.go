package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
)

// image is what an archive holds.
type image struct {
	name   string // reference, with its version
	config config
	layers []blob
}

// config says how the image runs.
type config struct {
	User       string            `json:"User"`
	Env        []string          `json:"Env"`
	Entrypoint []string          `json:"Entrypoint"`
	WorkingDir string            `json:"WorkingDir"`
	Labels     map[string]string `json:"Labels,omitempty"`
}

// descriptor points at a blob of the archive, as OCI has it.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type history struct {
	Created   string `json:"created"`
	CreatedBy string `json:"created_by"`
}

const created = "1970-01-01T00:00:00Z" // the same content is the same image, whenever it is made

// write makes the archive: an OCI image layout as one tar, with the manifest of docker save beside, so that containerd,
// Docker, Podman, skopeo and crane all take it.
func (m image) write(file string) error {
	var (
		diffIDs  []string
		layers   []descriptor
		paths    []string
		comments []history
	)
	for _, l := range m.layers {
		diffIDs = append(diffIDs, "sha256:"+l.diffID)
		layers = append(layers, descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: "sha256:" + l.digest, Size: l.size})
		paths = append(paths, "blobs/sha256/"+l.digest)
		comments = append(comments, history{Created: created, CreatedBy: l.comment})
	}
	conf, confAt := document(map[string]any{
		"architecture": "amd64", "os": "linux", "created": created, "config": m.config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}, "history": comments,
	}, "application/vnd.oci.image.config.v1+json")
	manifest, manifestAt := document(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": confAt, "layers": layers,
	}, "application/vnd.oci.image.manifest.v1+json")
	manifestAt.Annotations = map[string]string{"io.containerd.image.name": m.name, "org.opencontainers.image.ref.name": m.name}
	index, _ := document(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []descriptor{manifestAt},
	}, "")
	docker, _ := document([]map[string]any{{"Config": confAt.path(), "RepoTags": []string{m.name}, "Layers": paths}}, "")

	part := file + ".part"
	f, err := os.Create(part)
	if err != nil {
		return err
	}
	defer os.Remove(part)
	defer f.Close()
	out := tar.NewWriter(f)
	for _, e := range []struct {
		name string
		body []byte
	}{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {"index.json", index}, {"manifest.json", docker},
		{manifestAt.path(), manifest}, {confAt.path(), conf},
	} {
		if err := (node{mode: 0o644, body: e.body}).tar(out, e.name); err != nil {
			return err
		}
	}
	for i, l := range m.layers {
		if err := (node{mode: 0o644, file: l.file}).tar(out, paths[i]); err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(part, file)
}

func (d descriptor) path() string { return "blobs/sha256/" + d.Digest[len("sha256:"):] }

// document encodes a document of the image; keys of maps come in order, so that it always has the same digest.
func document(v any, mediaType string) ([]byte, descriptor) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("image: a document does not encode: %v", err)) // only maps and structs of this file come here
	}
	sum := sha256.Sum256(body)
	return body, descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(body))}
}
