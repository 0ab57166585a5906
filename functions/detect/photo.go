package detect

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/vision"
	"vedette.dev/shared/vision/detector"
	"vedette.dev/shared/vision/face"
)

// Photos opens photos.
type Photos interface {
	// Open decodes a photo (JPEG, PNG, WebP), turned as it is displayed and scaled down to a side at most.
	Open(photo []byte, side int) (vision.Image, error)
	// Resize scales a picture.
	Resize(m vision.Image, width, height int) vision.Image
}

// Seen is the answer to a photo.
type Seen struct {
	Width   int              `json:"width"` // of the picture as it was looked at, px: boxes and points are in these
	Height  int              `json:"height"`
	Persons []SeenPerson     `json:"persons"`
	Faces   []SeenFace       `json:"faces"`
	Models  []findings.Model `json:"models"`
	Cost    function.Cost    `json:"cost"`
}

// SeenPerson is a person in a photo.
type SeenPerson struct {
	Box   [4]int  `json:"box"` // left, top, width, height, px
	Score float64 `json:"score"`
}

// SeenFace is a face in a photo.
type SeenFace struct {
	Box       [4]int    `json:"box"` // left, top, width, height, px
	Score     float64   `json:"score"`
	Landmarks [5][2]int `json:"landmarks"`        // right eye, left eye, nose, right and left mouth corner, px
	Person    *int      `json:"person,omitempty"` // whose it is: an index of persons
	Verified  bool      `json:"verified"`         // whether it is fit for recognition and masks
}

// Look answers a plain HTTP call that brings a photo.
func (f *Function) Look(photos Photos) function.PlainHandler {
	return func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return fmt.Errorf("read the photo: %w", err)
		}
		photo, err := photos.Open(body, f.PhotoSide)
		if err != nil {
			return function.Hint(function.Permanent(err), "Send a JPEG, PNG or WebP, as with curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'.")
		}
		seen, err := f.see(r.Context(), photos, photo)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(seen)
	}
}

func (f *Function) see(ctx context.Context, photos Photos, photo vision.Image) (Seen, error) {
	watch := function.Start()
	fit := func(box vision.Letterbox) []vision.Image {
		return []vision.Image{photos.Resize(photo, box.PictureW, box.PictureH)}
	}
	box := detector.Faces{Area: f.FaceArea}.Letterbox(photo.W, photo.H)
	persons, err := f.Persons.Detect(ctx, fit(detector.Persons{Area: f.PersonArea}.Letterbox(photo.W, photo.H)))
	if err != nil {
		return Seen{}, err
	}
	faces, err := f.Faces.Detect(ctx, fit(box))
	if err != nil {
		return Seen{}, err
	}
	bodies := slices.DeleteFunc(persons[0], func(d vision.Detection) bool { return d.Score < personOptions.High })
	heads := slices.DeleteFunc(faces[0], func(g face.Face) bool {
		return g.Score < faceOptions.High || g.Box.W < f.leastFace(box)
	})
	verified, err := f.Faces.Verify(ctx, photo, heads)
	if err != nil {
		return Seen{}, err
	}
	seen := Seen{Width: photo.W, Height: photo.H, Persons: []SeenPerson{}, Faces: []SeenFace{}, Models: f.Models}
	x, y := float64(photo.W), float64(photo.H)
	var bodyBoxes, headBoxes []vision.Box
	for _, d := range bodies {
		seen.Persons = append(seen.Persons, SeenPerson{pixels(d.Box.Scale(x, y)), d.Score})
		bodyBoxes = append(bodyBoxes, d.Box.Scale(x, y))
	}
	for i, g := range heads {
		px := g.Pixels(photo.W, photo.H)
		told := SeenFace{Box: pixels(px.Box), Score: g.Score, Verified: detector.Sound(g, verified[i], photo.W, photo.H)}
		for k, p := range px.Landmarks {
			told.Landmarks[k] = [2]int{int(math.Round(p.X)), int(math.Round(p.Y))}
		}
		seen.Faces = append(seen.Faces, told)
		headBoxes = append(headBoxes, px.Box)
	}
	for i, owner := range face.Owners(headBoxes, bodyBoxes) {
		if owner >= 0 {
			seen.Faces[i].Person = &owner
		}
	}
	seen.Cost = watch.Cost()
	return seen, nil
}

func pixels(b vision.Box) [4]int {
	r := func(v float64) int { return int(math.Round(v)) }
	return [4]int{r(b.X), r(b.Y), r(b.W), r(b.H)}
}
