package detect

import (
	"context"
	"fmt"
	"math"
	"slices"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/vision"
	"vedette.dev/shared/vision/detector"
	"vedette.dev/shared/vision/face"
	"vedette.dev/shared/vision/track"
)

var personOptions, faceOptions = track.Persons(), track.Faces() //nolint:gochecknoglobals // constants, but for the language

// pictureHeight is how high the picture of a track is at most, in pixels.
const pictureHeight = 320

// scene is what is seen in one segment, frame by frame.
type scene struct {
	f             *Function
	width, height float64 // of the displayed picture, px: faces are told in these
	stagedW       int     // of the frames that crops are cut from, px
	stagedH       int
	least         float64 // width of a face worth telling, as a fraction

	persons, faces *track.Tracker
	withFace       map[int]map[int64]face.Face // by person and time
	best           map[tracked]*bestFace
	surest         map[tracked]float64 // best score of a face of each
	looks          map[tracked]*bestLook
	firstUS, atUS  int64 // of the segment's frames
}

// tracked is a track of either tracker.
type tracked struct {
	object string
	id     int
}

// bestFace is the best face of a track so far, with the crops that are left when its frame is gone.
type bestFace struct {
	us      int64
	face    face.Face
	quality float64
	rank    float64
	around  vision.Image // twice the face and more, for verification
	within  vision.Box   // what part of the frame that is
	aligned vision.Image
}

// bestLook is the best picture of a track so far.
type bestLook struct {
	worth   float64
	picture vision.Image
}

// leastFace is the width from which a face is told, as a fraction of the picture. A face of a width is measured now wider,
// now narrower: what is dropped has to be clearly smaller than the faces that are to be found.
func (f *Function) leastFace(box vision.Letterbox) float64 {
	return .75 * f.FaceWidth / float64(box.PictureW)
}

func newScene(f *Function, d findings.Decoded) *scene {
	aspect := float64(d.Width) / float64(d.Height)
	box := detector.Faces{Area: f.FaceArea}.Letterbox(d.StagedWidth, d.StagedHeight)
	return &scene{
		f: f, width: float64(d.Width), height: float64(d.Height),
		stagedW: d.StagedWidth, stagedH: d.StagedHeight,
		least:    f.leastFace(box),
		firstUS:  d.Frames[0],
		persons:  track.New(personOptions, aspect),
		faces:    track.New(faceOptions, aspect),
		withFace: map[int]map[int64]face.Face{},
		best:     map[tracked]*bestFace{},
		surest:   map[tracked]float64{},
		looks:    map[tracked]*bestLook{},
	}
}

// see takes in the next frames.
func (s *scene) see(ctx context.Context, batch []Frame) error {
	if len(batch) == 0 {
		return nil
	}
	forPersons, forFaces := make([]vision.Image, len(batch)), make([]vision.Image, len(batch))
	for i, frame := range batch {
		forPersons[i], forFaces[i] = frame.ForPersons(), frame.ForFaces()
	}
	persons, err := s.f.Persons.Detect(ctx, forPersons)
	if err != nil {
		return err
	}
	faces, err := s.f.Faces.Detect(ctx, forFaces)
	if err != nil {
		return err
	}
	for i, frame := range batch {
		faces[i] = slices.DeleteFunc(faces[i], func(g face.Face) bool { return g.Box.W < s.least })
		if err := s.follow(frame, persons[i], faces[i]); err != nil {
			return err
		}
	}
	return nil
}

// follow gives what is in a frame to the trackers, and keeps the best of each track.
func (s *scene) follow(frame Frame, persons []vision.Detection, faces []face.Face) error {
	s.atUS = frame.US()
	ids, err := s.persons.Step(s.atUS, persons)
	if err != nil {
		return err
	}
	owners := s.owners(faces, persons, ids)
	for i, id := range ids {
		if id == 0 {
			continue
		}
		if err := s.look(frame, tracked{findings.Person, id}, persons[i]); err != nil {
			return err
		}
	}
	// Every face is followed by itself too: whether the body that it seems to belong to is one shows later.
	heads := make([]vision.Detection, len(faces))
	for i, g := range faces {
		heads[i] = g.Detection
	}
	faceIDs, err := s.faces.Step(s.atUS, heads)
	if err != nil {
		return err
	}
	for i, g := range faces {
		var of []tracked
		if id := faceIDs[i]; id != 0 {
			of = append(of, tracked{findings.FaceOf, id})
			if err := s.look(frame, of[0], g.Detection); err != nil {
				return err
			}
		}
		if owner := owners[i]; owner >= 0 {
			id := ids[owner]
			if s.withFace[id] == nil {
				s.withFace[id] = map[int64]face.Face{}
			}
			s.withFace[id][s.atUS] = g
			of = append(of, tracked{findings.Person, id})
		}
		if err := s.consider(frame, g, of); err != nil {
			return err
		}
	}
	return nil
}

// owners says whose face each is: an index of persons that are tracked, or -1.
func (s *scene) owners(faces []face.Face, persons []vision.Detection, ids []int) []int {
	var bodies []vision.Box
	var of []int
	for i, id := range ids {
		if id != 0 {
			bodies, of = append(bodies, persons[i].Box.Scale(s.width, s.height)), append(of, i)
		}
	}
	heads := make([]vision.Box, len(faces))
	for i, g := range faces {
		heads[i] = g.Box.Scale(s.width, s.height)
	}
	owners := face.Owners(heads, bodies)
	for i, o := range owners {
		if o >= 0 {
			owners[i] = of[o]
		}
	}
	return owners
}

// look keeps the picture of a track in which it is largest and surest.
func (s *scene) look(frame Frame, t tracked, d vision.Detection) error {
	worth := d.Score * math.Sqrt(d.Box.Area())
	best := s.looks[t]
	// A little better is not worth another cut.
	if best != nil && worth < 1.1*best.worth {
		return nil
	}
	picture, err := frame.Cut(d.Box.Grow(.1, .1).Clip(1, 1), pictureHeight)
	if err != nil {
		return fmt.Errorf("cut a track's picture: %w", err)
	}
	s.looks[t] = &bestLook{worth, picture}
	return nil
}

// consider keeps a face for each of the tracks of which it is the best so far.
func (s *scene) consider(frame Frame, g face.Face, of []tracked) error {
	for _, t := range of {
		s.surest[t] = max(s.surest[t], g.Score)
	}
	px := g.Pixels(s.stagedW, s.stagedH)
	// No crop has more than this in it: sharpness is at most one.
	most := (face.Quality{
		Score: g.Score, Size: min(px.Landmarks.EyeDistance()/32, 1), Sharpness: 1, Frontality: face.Frontality(px.Landmarks),
	}).Value() + s.bonus(g)
	of = slices.DeleteFunc(of, func(t tracked) bool { return s.best[t] != nil && most <= s.best[t].rank })
	if len(of) == 0 {
		return nil
	}
	within := g.Box.Grow(1.5, 1.5).Clip(1, 1)
	around, err := frame.Cut(within, 0)
	if err != nil {
		return fmt.Errorf("cut a face: %w", err)
	}
	inside := inside(g, within).Pixels(around.W, around.H)
	aligned := face.Align(around, inside.Landmarks)
	quality := face.Measure(inside, aligned).Value()
	rank := quality + s.bonus(g)
	for _, t := range of {
		if best := s.best[t]; best == nil || rank > best.rank {
			s.best[t] = &bestFace{s.atUS, g, quality, rank, around, within, aligned}
		}
	}
	return nil
}

// bonus puts a face that needs no verification before all that do, and one that is certain before all that are not.
func (s *scene) bonus(g face.Face) float64 {
	switch {
	case detector.Sound(g, 0, s.stagedW, s.stagedH):
		return 2
	case g.Score >= detector.Certain:
		return 1
	}
	return 0
}

// inside is a face in fractions of a part of the picture.
func inside(g face.Face, part vision.Box) face.Face {
	move := func(p vision.Point) vision.Point {
		return vision.Point{X: (p.X - part.X) / part.W, Y: (p.Y - part.Y) / part.H}
	}
	corner := move(vision.Point{X: g.Box.X, Y: g.Box.Y})
	g.Box = vision.Box{X: corner.X, Y: corner.Y, W: g.Box.W / part.W, H: g.Box.H / part.H}
	for i, p := range g.Landmarks {
		g.Landmarks[i] = move(p)
	}
	return g
}

// finish tells what was seen.
func (s *scene) finish(ctx context.Context, clip string) (findings.Objects, error) {
	found := findings.Objects{Tracks: []findings.Track{}}
	found.End = findings.Trackers{Persons: s.persons.State(), Faces: s.faces.State()}
	persons := s.worthTelling(s.persons.Tracks(), found.End.Persons, personOptions)
	for _, t := range persons {
		told, err := s.tell(ctx, clip, findings.Person, t, t.ID)
		if err != nil {
			return found, err
		}
		for i, p := range told.Points {
			if g, ok := s.withFace[t.ID][p.US]; ok && told.Face != nil {
				told.Points[i].Face = &g.Box
			}
		}
		found.Tracks = append(found.Tracks, told)
	}
	bodies := slices.DeleteFunc(persons, func(t track.Track) bool {
		// Whoever comes at the very end may be confirmed by what follows.
		return !t.Confirmed && t.Seen[0].AtUS < s.atUS-personOptions.Keep.Microseconds()/2
	})
	// Faces are numbered after the persons.
	shift := found.End.Persons.Last
	for _, t := range s.worthTelling(s.faces.Tracks(), found.End.Faces, faceOptions) {
		if s.hasBody(t, bodies) {
			continue
		}
		told, err := s.tell(ctx, clip, findings.FaceOf, t, t.ID+shift)
		if err != nil {
			return found, err
		}
		if told.Face == nil {
			continue // no body, and no face on a closer look: nobody
		}
		found.Tracks = append(found.Tracks, told)
	}
	for i := range found.End.Faces.Live {
		found.End.Faces.Live[i].ID += shift
	}
	found.End.Persons.Live = onlyTold(found.End.Persons.Live, found.Tracks)
	found.End.Faces.Live = onlyTold(found.End.Faces.Live, found.Tracks)
	return found, nil
}

// worthTelling leaves out tracks that came to nothing: they are neither confirmed, nor so near to an edge of the segment
// that a neighbour may confirm them.
func (s *scene) worthTelling(tracks []track.Track, end track.State, o track.Options) []track.Track {
	live := map[int]bool{}
	for _, l := range end.Live {
		live[l.ID] = true
	}
	return slices.DeleteFunc(tracks, func(t track.Track) bool {
		return !t.Confirmed && !live[t.ID] && t.Seen[0].AtUS-s.firstUS > o.Keep.Microseconds()
	})
}

// hasBody says whether a track of faces is of somebody whose body is followed, if not in every frame.
func (s *scene) hasBody(t track.Track, persons []track.Track) bool {
	const enough = .3 // of the times that the face was seen
	inHead := 0
	for _, seen := range t.Seen {
		f := seen.Box.Scale(s.width, s.height)
		if slices.ContainsFunc(persons, func(p track.Track) bool {
			box, there := boxAt(p, seen.AtUS)
			return there && face.InHead(f, box.Scale(s.width, s.height))
		}) {
			inHead++
		}
	}
	return float64(inHead) >= enough*float64(len(t.Seen))
}

// boxAt is where a track was at a time between its first and last observation.
func boxAt(t track.Track, us int64) (vision.Box, bool) {
	i, exact := slices.BinarySearchFunc(t.Seen, us, func(o track.Observation, us int64) int { return int(o.AtUS - us) })
	switch {
	case exact:
		return t.Seen[i].Box, true
	case i == 0 || i == len(t.Seen):
		return vision.Box{}, false
	}
	a, b := t.Seen[i-1], t.Seen[i]
	part := float64(us-a.AtUS) / float64(b.AtUS-a.AtUS)
	mix := func(a, b float64) float64 { return a + (b-a)*part }
	return vision.Box{X: mix(a.Box.X, b.Box.X), Y: mix(a.Box.Y, b.Box.Y), W: mix(a.Box.W, b.Box.W), H: mix(a.Box.H, b.Box.H)}, true
}

// tell puts a track into the words of the findings, and its pictures into the ledger.
func (s *scene) tell(ctx context.Context, clip, object string, t track.Track, id int) (findings.Track, error) {
	told := findings.Track{ID: id, Object: object, Hits: t.Hits, Peak: t.Peak}
	for _, o := range t.Seen {
		told.Points = append(told.Points, findings.Observation{US: o.AtUS, Box: o.Box, Score: o.Score})
	}
	var err error
	if look := s.looks[tracked{object, t.ID}]; look != nil {
		if told.Crop, err = s.store(ctx, clip, look.picture); err != nil {
			return told, err
		}
	}
	best := s.best[tracked{object, t.ID}]
	if best == nil {
		return told, nil
	}
	verified := 0.
	if best.face.Score < detector.Certain {
		means, err := s.f.Faces.Verify(ctx, best.around, []face.Face{inside(best.face, best.within)})
		if err != nil {
			return told, err
		}
		verified = means[0]
	}
	if !s.isFace(tracked{object, t.ID}, best, verified, s.sights(object, t)) {
		return told, nil
	}
	told.Face = &findings.Face{
		US:        best.us,
		Box:       best.face.Box,
		Width:     int(math.Round(best.face.Box.W * s.width)),
		Score:     best.face.Score,
		Landmarks: best.face.Landmarks,
		Quality:   best.quality,
		Verified:  object == findings.Person && detector.Sound(best.face, verified, s.stagedW, s.stagedH),
	}
	told.Face.Crop, err = s.store(ctx, clip, best.aligned)
	return told, err
}

// sights is how often a track's face was seen.
func (s *scene) sights(object string, t track.Track) int {
	if object == findings.Person {
		return len(s.withFace[t.ID])
	}
	return len(t.Seen)
}

// isFace says whether what looks like a face is told as one: the network was certain of it once, or it finds it again on a
// second look, more than once and with landmarks as a face has them. The backs of heads that networks take for faces are not.
// A profile is a face too, though its landmarks are those of none that may go on.
func (s *scene) isFace(t tracked, best *bestFace, verified float64, sights int) bool {
	return s.surest[t] >= detector.Certain ||
		verified > detector.Verified && sights > 1 && face.Plausible(best.face.Pixels(s.stagedW, s.stagedH))
}

func (s *scene) store(ctx context.Context, clip string, m vision.Image) (*findings.Ref, error) {
	body, err := s.f.Reader.JPEG(m)
	if err != nil {
		return nil, err
	}
	ref, err := s.f.Ledger.Side(ctx, clip, "jpg", "image/jpeg", body)
	return &ref, err
}

// onlyTold keeps of the tracks that may go on those that are told.
func onlyTold(live []track.Live, told []findings.Track) []track.Live {
	return slices.DeleteFunc(slices.Clone(live), func(l track.Live) bool {
		return !slices.ContainsFunc(told, func(t findings.Track) bool { return t.ID == l.ID })
	})
}
