package detect

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vedette.dev/shared/function"
	"vedette.dev/shared/vision"
)

// photos opens any photo as one of that size.
type photos struct{ width, height int }

func (p photos) Open(photo []byte, side int) (vision.Image, error) {
	if string(photo) != "a photo" {
		return vision.Image{}, errors.New("not a photo")
	}
	if side != 4096 {
		return vision.Image{}, errors.New("another side")
	}
	return vision.NewImage(p.width, p.height), nil
}

func (photos) Resize(_ vision.Image, width, height int) vision.Image {
	return vision.NewImage(width, height)
}

func post(t *testing.T, b *bench, body string) (*httptest.ResponseRecorder, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	w := httptest.NewRecorder()
	return w, b.Look(photos{width, height})(w, r)
}

func TestPhoto(t *testing.T) {
	weak := walker(900, 0, .3, .55) // neither body nor face is sure
	small := walker(1500, 0, .8, 0)
	small.face = func(float64) (vision.Box, float64) { return vision.Box{X: 1560, Y: 310, W: 29, H: 35}, .9 }
	lonely := actor{face: func(float64) (vision.Box, float64) { return vision.Box{X: 100, Y: 800, W: 60, H: 70}, .7 }, verifiable: .3}
	b := newBench(t, walker(300, 0, .8, .9), weak, small, lonely)
	b.Ledger, b.Out = nil, nil // a photo needs neither
	w, err := post(t, b, "a photo")
	if err != nil {
		t.Fatal(err)
	}
	var seen Seen
	if err := json.Unmarshal(w.Body.Bytes(), &seen); err != nil {
		t.Fatal(err)
	}
	zero := 0
	want := Seen{
		Width: width, Height: height,
		Persons: []SeenPerson{{Box: [4]int{300, 300, 160, 400}, Score: .8}, {Box: [4]int{1500, 300, 160, 400}, Score: .8}},
		Faces: []SeenFace{
			{Box: [4]int{355, 310, 50, 60}, Score: .9, Person: &zero, Verified: true,
				Landmarks: [5][2]int{{370, 334}, {390, 334}, {380, 346}, {373, 358}, {388, 358}}},
			{Box: [4]int{100, 800, 60, 70}, Score: .7,
				Landmarks: [5][2]int{{118, 828}, {142, 828}, {130, 842}, {121, 856}, {139, 856}}},
		},
		Models: b.Models,
	}
	seen.Cost = function.Cost{}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
	if w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%v", w.Header())
	}
}

func TestPhotoOfNothing(t *testing.T) {
	w, err := post(t, newBench(t), "a photo")
	if err != nil || !strings.Contains(w.Body.String(), `"persons":[],"faces":[]`) {
		t.Errorf("%v %s", err, w.Body)
	}
}

func TestNoPhoto(t *testing.T) {
	_, err := post(t, newBench(t), "something else")
	if function.Status(err) != 422 || !strings.Contains(function.HintOf(err), "JPEG") {
		t.Errorf("%v, hint %q", err, function.HintOf(err))
	}
}
