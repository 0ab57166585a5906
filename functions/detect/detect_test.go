package detect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/ledger/ledgertest"
	"vedette.dev/shared/vision"
	"vedette.dev/shared/vision/face"
)

// actor is somebody in front of the camera: where body and face are at a time, and how sure the networks are of them (0: not seen).
// Boxes are in pixels of 1920x1080.
type actor struct {
	body       func(s float64) (vision.Box, float64)
	face       func(s float64) (vision.Box, float64)
	verifiable float64 // what verification says of the face
	sideways   bool    // only one eye is seen
}

// bench is detect with everything round it made up.
type bench struct {
	*Function
	bucket   *ledgertest.Bucket
	sent     []event.Event
	actors   []actor
	times    []float64
	batches  []int // sizes of what the networks were given
	verified int   // faces that were looked at once more
	open     int   // frames that are not closed
	opened   int   // times that staged frames were opened
	broken   error
}

const (
	clipID        = "0123456789abcdef0123456789abcdef"
	width, height = 1920, 1080
)

func newBench(t *testing.T, actors ...actor) *bench {
	t.Helper()
	b := &bench{bucket: ledgertest.New(), actors: actors}
	for i := range 50 {
		b.times = append(b.times, float64(i)/5)
	}
	b.Function = &Function{
		Config:  Config{Batch: 8, PersonArea: 416 * 416, FaceArea: 960 * 544, FaceWidth: 20, PhotoSide: 4096},
		Ledger:  ledger.New(b.bucket),
		Media:   media{b},
		Reader:  b,
		Persons: persons{b},
		Faces:   faces{b},
		Models:  []findings.Model{{Name: "made up"}},
		Out:     b,
	}
	return b
}

// plan writes what decode and split left: one segment, its frames staged.
func (b *bench) plan(t *testing.T) {
	t.Helper()
	plan := ledger.Plan{
		Last: true, Window: 4, Segments: []ledger.Segment{{EndUS: 10e6}},
		Requires: ledger.Requirements{Always: []string{findings.Decode}, Staged: []string{findings.Detect}},
	}
	commit(t, b, ledger.Part(clipID, 1, 0).Key(), plan)
	commit(t, b, ledger.Work{Clip: clipID, Run: 1, Step: findings.Decode}.Key(), b.decoded())
}

func commit[T any](t *testing.T, b *bench, key string, doc T) {
	t.Helper()
	if _, err := ledger.Commit(t.Context(), ledger.New(b.bucket), key, doc); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) decoded() findings.Decoded {
	d := findings.Decoded{
		Active: true, Width: width, Height: height, StagedWidth: width, StagedHeight: height, Staged: &findings.Ref{Key: "staged"},
	}
	for _, s := range b.times {
		d.Frames = append(d.Frames, us(s))
	}
	return d
}

func us(s float64) int64 { return int64(math.Round(s * 1e6)) }

func (b *bench) handle(t *testing.T) error {
	t.Helper()
	of := events.OfSegment{OfRun: events.OfRun{Clip: clipID, Run: 1}}
	return b.Handle(t.Context(), events.Decoded{OfSegment: of, Active: true, Frames: len(b.times)}.Event("decode"))
}

// look detects, and returns what is found.
func (b *bench) look(t *testing.T) findings.Objects {
	t.Helper()
	b.plan(t)
	if err := b.handle(t); err != nil {
		t.Fatal(err)
	}
	var found findings.Objects
	if err := ledger.New(b.bucket).Read(t.Context(), ledger.Work{Clip: clipID, Run: 1, Step: findings.Detect}.Key(), &found); err != nil {
		t.Fatal(err)
	}
	if b.open != 0 {
		t.Errorf("%d frames were left open", b.open)
	}
	return found
}

func (b *bench) Emit(_ context.Context, e event.Event) error {
	b.sent = append(b.sent, e)
	return nil
}

// said lists what was sent since the last time.
func (b *bench) said() []string {
	said := []string{}
	for _, e := range b.sent {
		what := strings.Split(e.Type(), ".")
		said = append(said, what[2]+" "+what[4])
	}
	b.sent = nil
	return said
}

type media struct{ *bench }

type nothing struct{ *bytes.Reader }

func (nothing) Close() error { return nil }

func (m media) Open(context.Context, findings.Ref) (ledger.Source, error) {
	m.opened++
	return nothing{bytes.NewReader(nil)}, m.broken
}

func (b *bench) Frames(context.Context, ledger.Source, findings.Decoded) (Frames, error) {
	return &frames{bench: b}, nil
}

func (b *bench) JPEG(m vision.Image) ([]byte, error) {
	return fmt.Append(nil, m.W, m.H, m.Pix), nil
}

type frames struct {
	*bench
	next int
}

func (f *frames) Close() error { return nil }

func (f *frames) Next() (Frame, error) {
	if f.next == len(f.times) {
		return nil, io.EOF
	}
	f.next++
	f.open++
	return &frame{bench: f.bench, at: f.next - 1}, nil
}

// frame is the picture of one time. What the networks are given of it is its number.
type frame struct {
	*bench
	at     int
	closed bool
}

func (f *frame) US() int64                { return us(f.times[f.at]) }
func (f *frame) ForPersons() vision.Image { return vision.Image{W: f.at} }
func (f *frame) ForFaces() vision.Image   { return vision.Image{W: f.at} }

func (f *frame) Close() error {
	if !f.closed {
		f.closed = true
		f.open--
	}
	return nil
}

func (f *frame) Cut(box vision.Box, height int) (vision.Image, error) {
	if f.closed {
		return vision.Image{}, errors.New("cut from a frame that is closed")
	}
	b := box.Scale(1920, 1080)
	w, h := int(b.W), int(b.H)
	if height > 0 && h > height {
		w, h = w*height/h, height
	}
	m := vision.NewImage(max(w, 1), max(h, 1))
	for i := range m.Pix {
		m.Pix[i] = byte(i * 7 / 3 * f.at) // something with edges in it
	}
	return m, nil
}

func fraction(b vision.Box) vision.Box { return b.Scale(1./width, 1./height) }

type persons struct{ *bench }

func (p persons) Detect(_ context.Context, pictures []vision.Image) ([][]vision.Detection, error) {
	p.batches = append(p.batches, len(pictures))
	var all [][]vision.Detection
	for _, m := range pictures {
		ds := []vision.Detection{}
		for _, a := range p.actors {
			if a.body == nil {
				continue
			}
			if box, score := a.body(p.time(m)); score > 0 {
				ds = append(ds, vision.Detection{Box: fraction(box), Score: score})
			}
		}
		all = append(all, ds)
	}
	return all, nil
}

// time is that of the picture with this number; a photo is of the beginning.
func (b *bench) time(m vision.Image) float64 {
	if m.H > 0 {
		return 0
	}
	return b.times[m.W]
}

type faces struct{ *bench }

func (f faces) Detect(_ context.Context, pictures []vision.Image) ([][]face.Face, error) {
	var all [][]face.Face
	for _, m := range pictures {
		found := []face.Face{}
		for _, a := range f.actors {
			if a.face == nil {
				continue
			}
			if box, score := a.face(f.time(m)); score > 0 {
				g := faceAt(box, score)
				if a.sideways {
					g.Landmarks[face.LeftEye].X = g.Landmarks[face.RightEye].X + .004 // 8 px
				}
				found = append(found, g)
			}
		}
		all = append(all, found)
	}
	return all, nil
}

// faceAt is a face that looks into the camera.
func faceAt(b vision.Box, score float64) face.Face {
	at := func(x, y float64) vision.Point {
		return vision.Point{X: (b.X + x*b.W) / width, Y: (b.Y + y*b.H) / height}
	}
	return face.Face{
		Detection: vision.Detection{Box: fraction(b), Score: score},
		Landmarks: face.Landmarks{at(.3, .4), at(.7, .4), at(.5, .6), at(.35, .8), at(.65, .8)},
	}
}

func (f faces) Verify(_ context.Context, _ vision.Image, found []face.Face) ([]float64, error) {
	f.verified += len(found)
	means := make([]float64, len(found))
	for i, g := range found {
		for _, a := range f.actors {
			if a.face != nil {
				if _, score := a.face(0); score == g.Score {
					means[i] = a.verifiable
				}
			}
		}
	}
	return means, nil
}

// walker is a person of 400 px who walks, with a face.
func walker(x, speed, bodyScore, faceScore float64) actor {
	return actor{
		body: func(s float64) (vision.Box, float64) {
			return vision.Box{X: x + speed*s, Y: 300, W: 160, H: 400}, bodyScore
		},
		face: func(s float64) (vision.Box, float64) {
			return vision.Box{X: x + speed*s + 55, Y: 310, W: 50, H: 60}, faceScore
		},
	}
}

func (a actor) between(from, to float64) actor {
	body, f := a.body, a.face
	within := func(of func(float64) (vision.Box, float64)) func(float64) (vision.Box, float64) {
		if of == nil {
			return nil
		}
		return func(s float64) (vision.Box, float64) {
			box, score := of(s)
			if s < from || s >= to {
				score = 0
			}
			return box, score
		}
	}
	a.body, a.face = within(body), within(f)
	return a
}

// brief says of a track what matters: object, first and last time, whether a face was seen.
func brief(tracks []findings.Track) []string {
	said := []string{}
	for _, t := range tracks {
		s := fmt.Sprintf("%d %s %.1f-%.1f", t.ID, t.Object, float64(t.Points[0].US)/1e6, float64(t.Points[len(t.Points)-1].US)/1e6)
		if t.Face != nil {
			s += " face"
			if t.Face.Verified {
				s += " verified"
			}
		}
		said = append(said, s)
	}
	return said
}

func TestScene(t *testing.T) {
	noFace := func(a actor) actor { a.face = nil; return a }
	noBody := func(a actor) actor { a.body = nil; return a }
	flickering := walker(300, 100, .8, .9)
	flickering.body = func(s float64) (vision.Box, float64) { // seen in two frames of three
		box, score := walker(300, 100, .8, .9).body(s)
		if int(math.Round(s*5))%3 == 2 {
			score = 0
		}
		return box, score
	}
	small := walker(300, 100, .8, .9)
	small.face = func(s float64) (vision.Box, float64) {
		return vision.Box{X: 370 + 100*s, Y: 310, W: 29, H: 35}, .9 // 14.5 px at the network's input
	}
	profile := walker(300, 20, .8, .85)
	profile.sideways = true
	glimpsed := walker(300, 20, .5, .9)
	glimpsed.body = glimpsed.between(4, 4.3).body
	doubted := walker(900, 20, .8, .7)
	believed := doubted
	believed.verifiable = .6
	for _, c := range []struct {
		name   string
		actors []actor
		want   []string
		live   []int // who may go on
	}{
		{"nobody", nil, []string{}, nil},
		{"a walker", []actor{walker(300, 100, .8, .9)}, []string{"1 person 0.0-9.8 face verified"}, []int{1}},
		{"a back", []actor{noFace(walker(300, 100, .8, 0))}, []string{"1 person 0.0-9.8"}, []int{1}},
		{"a face too small", []actor{small}, []string{"1 person 0.0-9.8"}, []int{1}},
		{"the back of a head", []actor{doubted}, []string{"1 person 0.0-9.8"}, []int{1}},
		{"a face in doubt, verified", []actor{believed}, []string{"1 person 0.0-9.8 face verified"}, []int{1}},
		{"a face alone", []actor{noBody(walker(300, 30, 0, .9))}, []string{"1 face 0.0-9.8 face"}, []int{1}},
		{"a person and a face alone", []actor{noBody(walker(1200, 30, 0, .9)), walker(300, 100, .8, .9).between(0, 6)},
			[]string{"1 person 0.0-5.8 face verified", "2 face 0.0-9.8 face"}, []int{2}},
		{"two", []actor{walker(300, 50, .8, .9), walker(1200, -50, .8, .9)},
			[]string{"1 person 0.0-9.8 face verified", "2 person 0.0-9.8 face verified"}, []int{1, 2}},
		{"a body seen now and then", []actor{flickering}, []string{"1 person 0.0-9.8 face verified"}, []int{1}},
		{"a phantom", []actor{noFace(walker(300, 0, .5, 0)).between(5, 5.3)}, []string{}, nil},
		{"a face whose body came to nothing", []actor{glimpsed}, []string{"2 face 0.0-9.8 face"}, []int{2}},
		{"a profile", []actor{profile}, []string{"1 person 0.0-9.8 face"}, []int{1}},
		{"what looked like a face, and no body", []actor{noBody(walker(300, 30, 0, .75))}, []string{}, nil},
		{"half seen as it begins", []actor{noFace(walker(300, 0, .5, 0)).between(0, .3)}, []string{"1 person 0.0-0.2"}, nil},
		{"half seen as it ends", []actor{noFace(walker(300, 0, .5, 0)).between(9.5, 10)}, []string{"1 person 9.6-9.8"}, []int{1}},
		{"a phantom before a walker", []actor{noFace(walker(300, 0, .5, 0)).between(4, 4.3), walker(1000, 40, .8, .9).between(6, 10)},
			[]string{"2 person 6.0-9.8 face verified"}, []int{2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.actors...)
			found := b.look(t)
			if diff := cmp.Diff(c.want, brief(found.Tracks)); diff != "" {
				t.Error(diff)
			}
			var live []int
			for _, l := range slices.Concat(found.End.Persons.Live, found.End.Faces.Live) {
				live = append(live, l.ID)
			}
			if diff := cmp.Diff(c.live, live); diff != "" {
				t.Errorf("may go on: %s", diff)
			}
			for _, track := range found.Tracks {
				if track.Crop == nil || track.Hits == 0 || track.Peak == 0 {
					t.Errorf("%+v", track)
				}
				if track.Face != nil && (track.Face.Crop == nil || track.Face.Width != 50 || track.Face.Quality <= 0) {
					t.Errorf("%+v", track.Face)
				}
			}
		})
	}
}

func TestFacesOfAPerson(t *testing.T) {
	a := walker(300, 100, .8, .9)
	a.face = func(s float64) (vision.Box, float64) { // comes nearer, and is sharpest and surest at 6 s
		box, _ := walker(300, 100, .8, .9).face(s)
		if s < 2 {
			return box, 0
		}
		return box, .95 - .02*math.Abs(s-6)
	}
	b := newBench(t, a)
	found := b.look(t)
	if len(found.Tracks) != 1 {
		t.Fatalf("%v", brief(found.Tracks))
	}
	track := found.Tracks[0]
	for _, p := range track.Points {
		want, score := a.face(float64(p.US) / 1e6)
		switch {
		case (p.Face != nil) != (score > 0):
			t.Errorf("at %d µs: face %v", p.US, p.Face)
		case p.Face != nil && !near(*p.Face, fraction(want)):
			t.Errorf("at %d µs: face at %v, want %v", p.US, *p.Face, fraction(want))
		}
	}
	if track.Face == nil || math.Abs(float64(track.Face.US)/1e6-6) > 1.5 || track.Face.Score < .9 {
		t.Errorf("the best face is %+v", track.Face)
	}
	if b.verified != 0 {
		t.Errorf("%d faces were verified that needed none", b.verified)
	}
}

func near(a, b vision.Box) bool {
	const ε = 1e-6 // as the ledger keeps them
	return math.Abs(a.X-b.X) < ε && math.Abs(a.Y-b.Y) < ε && math.Abs(a.W-b.W) < ε && math.Abs(a.H-b.H) < ε
}

// TestAFaceInDoubtYieldsToOneWithout says that a face which may go on is better than any that may not.
func TestAFaceInDoubtYieldsToACertainOne(t *testing.T) {
	a := walker(300, 10, .8, 0)
	a.face = func(s float64) (vision.Box, float64) {
		if s < 8 {
			return vision.Box{X: 340 + 10*s, Y: 310, W: 80, H: 90}, .79 // large, but never certain
		}
		return vision.Box{X: 355 + 10*s, Y: 310, W: 50, H: 60}, .81
	}
	found := newBench(t, a).look(t)
	if f := found.Tracks[0].Face; f == nil || f.Score != .81 || !f.Verified {
		t.Errorf("%+v", f)
	}
}

func TestBatches(t *testing.T) {
	actors := []actor{walker(300, 100, .8, .9), walker(1200, -50, .6, .7).between(2, 9)}
	var first findings.Objects
	for _, size := range []int{1, 3, 8, 64} {
		b := newBench(t, actors...)
		b.Batch = size
		found := b.look(t)
		found.Made = findings.Made{}
		if size == 1 {
			first = found
		}
		if diff := cmp.Diff(first, found); diff != "" {
			t.Errorf("batches of %d: %s", size, diff)
		}
		sum := 0
		for _, n := range b.batches {
			sum += n
			if n > size {
				t.Errorf("a batch of %d", n)
			}
		}
		if sum != 50 || len(b.batches) != (50+size-1)/size {
			t.Errorf("batches %v", b.batches)
		}
	}
}

func TestHandle(t *testing.T) {
	b := newBench(t, walker(300, 100, .8, .9), walker(900, 0, .8, 0))
	b.look(t)
	e := b.sent[0]
	if got := []any{e.Type(), e.Extensions()["persons"], e.Extensions()["faces"], e.Extensions()["active"]}; !cmp.Equal(got,
		[]any{events.ObjectsDetected, int32(2), int32(1), "true"}) {
		t.Errorf("%v", got)
	}
	want := []string{"objects detected", "segment analyzed"}
	if diff := cmp.Diff(want, b.said()); diff != "" {
		t.Error(diff)
	}
	keys := b.bucket.Keys("")
	if err := b.handle(t); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.said()); diff != "" {
		t.Errorf("redelivered: %s", diff)
	}
	if b.opened != 1 || !slices.Equal(keys, b.bucket.Keys("")) {
		t.Errorf("redelivered: frames opened %d times", b.opened)
	}
}

func TestGivenUp(t *testing.T) {
	b := newBench(t)
	b.plan(t)
	if _, err := b.Ledger.GiveUp(t.Context(), ledger.Work{Clip: clipID, Run: 1, Step: findings.Detect}, "its process died 3 times over it"); err != nil {
		t.Fatal(err)
	}
	if err := b.handle(t); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"step abandoned", "segment analyzed"}, b.said()); diff != "" {
		t.Error(diff)
	}
}

func TestFailures(t *testing.T) {
	b := newBench(t)
	e := events.Decoded{}.Event("decode")
	if err := e.SetData("application/json", []byte(`[]`)); err != nil {
		t.Fatal(err)
	}
	if err := b.Handle(t.Context(), e); function.Status(err) != 422 {
		t.Errorf("an event that makes no sense: %v", err)
	}
	if err := b.handle(t); !errors.Is(err, ledger.ErrNotExist) || function.Status(err) < 500 {
		t.Errorf("a segment that is not decoded: %v", err)
	}
	b.plan(t)
	b.broken = function.Unavailable(io.ErrUnexpectedEOF)
	if err := b.handle(t); function.Status(err) != 503 {
		t.Errorf("no store: %v", err)
	}
	if left := b.bucket.Keys("attempts/"); len(left) != 0 {
		t.Errorf("attempts left open: %v", left)
	}

	b = newBench(t)
	quiet := b.decoded()
	quiet.Staged, quiet.Frames = nil, nil
	commit(t, b, ledger.Work{Clip: clipID, Run: 1, Step: findings.Decode}.Key(), quiet)
	if err := b.handle(t); function.Status(err) != 422 {
		t.Errorf("nothing is staged: %v", err)
	}
}

// TestCrashes kills detect after each operation on the ledger; the event delivered again finishes the work.
func TestCrashes(t *testing.T) {
	var want findings.Objects
	for n := 0; ; n++ {
		b := newBench(t, walker(300, 100, .8, .9))
		b.plan(t)
		whole := b.Ledger
		b.Ledger = ledger.New(ledgertest.CrashAfter(b.bucket, n))
		first := b.handle(t)
		b.Ledger, b.sent = whole, nil
		b.bucket.Advance(time.Minute) // the broker pauses before it delivers again
		if err := b.handle(t); err != nil {
			t.Fatalf("after a crash at operation %d: %v", n, err)
		}
		if diff := cmp.Diff([]string{"objects detected", "segment analyzed"}, b.said()); diff != "" {
			t.Errorf("after a crash at operation %d: %s", n, diff)
		}
		var found findings.Objects
		if err := whole.Read(t.Context(), ledger.Work{Clip: clipID, Run: 1, Step: findings.Detect}.Key(), &found); err != nil {
			t.Fatal(err)
		}
		found.Made = findings.Made{}
		if n == 0 {
			want = found
		}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("after a crash at operation %d: %s", n, diff)
		}
		if first == nil {
			return
		}
		if n > 100 {
			t.Fatal("it never ends")
		}
	}
}
