// Package detect finds persons and faces in the staged frames of a segment, and follows them.
//
// In: segment.decoded with staged frames. Out: objects.detected. Committed are the segment's tracks, each with where it
// was when and its best face and picture, and the state of the trackers at the segment's end, by which assemble joins the
// tracks of neighbouring segments. A segment is tracked by itself, so its findings do not depend on the others'.
//
// A plain HTTP call with a photo is answered with what is in it, and needs neither store nor sink.
package detect

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cloudevents/sdk-go/v2/event"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/join"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/vision"
	"vedette.dev/shared/vision/face"
)

const (
	name    = "detect"
	version = "1"
)

// Config is what the environment decides.
type Config struct {
	Batch      int     `env:"VEDETTE_BATCH" default:"8" min:"1" max:"64" doc:"frames given to a network at once; on a processor the one for faces takes them one by one"`
	Threads    int     `env:"VEDETTE_THREADS" default:"1" min:"0" max:"64" doc:"threads of a network on the processor; 0 is as many as there are cores"`
	Device     string  `env:"VEDETTE_DEVICE" default:"auto" oneof:"cpu,cuda,auto" doc:"where networks run"`
	Library    string  `env:"VEDETTE_ONNXRUNTIME" doc:"path of libonnxruntime.so; the loader's own search if not set"`
	PersonArea int     `env:"VEDETTE_PERSON_AREA" default:"173056" min:"16384" max:"8294400" doc:"largest input of the person network, px; more finds smaller people and costs in proportion"`
	FaceArea   int     `env:"VEDETTE_FACE_AREA" default:"522240" min:"16384" max:"8294400" doc:"largest input of the face network, px; more finds smaller faces and costs in proportion"`
	FaceWidth  float64 `env:"VEDETTE_FACE_WIDTH" default:"20" min:"8" max:"200" doc:"width of the smallest faces to be found, px at the network's input"`
	PhotoSide  int     `env:"VEDETTE_PHOTO_SIDE" default:"4096" min:"64" max:"8192" doc:"largest side at which a photo is looked at, px"`
}

// Persons finds persons in pictures, best first, in fractions of each picture.
type Persons interface {
	Detect(ctx context.Context, pictures []vision.Image) ([][]vision.Detection, error)
}

// Faces finds faces in pictures likewise, and looks at found ones once more.
type Faces interface {
	Detect(ctx context.Context, pictures []vision.Image) ([][]face.Face, error)
	Verify(ctx context.Context, picture vision.Image, faces []face.Face) ([]float64, error)
}

// Media opens side objects of the ledger.
type Media interface {
	Open(ctx context.Context, r findings.Ref) (ledger.Source, error)
}

// Reader reads staged frames, and makes pictures.
type Reader interface {
	Frames(ctx context.Context, s ledger.Source, d findings.Decoded) (Frames, error)
	JPEG(m vision.Image) ([]byte, error)
}

// Frames yields staged frames in order; io.EOF after the last.
type Frames interface {
	Next() (Frame, error)
	Close() error
}

// Frame is one staged frame, in the sizes that the networks take, and whole on demand. It is good until Close.
type Frame interface {
	US() int64
	ForPersons() vision.Image
	ForFaces() vision.Image
	// Cut is the part of the whole frame in box (fractions), scaled down to be at most height px high; 0 leaves it as it is.
	Cut(box vision.Box, height int) (vision.Image, error)
	Close() error
}

// Function is detect.
type Function struct {
	Config
	Ledger  *ledger.Ledger
	Media   Media
	Reader  Reader
	Persons Persons
	Faces   Faces
	Models  []findings.Model
	Out     join.Emitter
	Alone   ledger.Alone
}

// Handle detects in one segment.
func (f *Function) Handle(ctx context.Context, e event.Event) error {
	d, err := function.Data[events.Decoded](e)
	if err != nil {
		return err
	}
	return ledger.Run(ctx, f.Ledger, ledger.Step[findings.Objects]{
		Work:  ledger.Work{Clip: d.Clip, Run: d.Run, Segment: d.Segment, Step: findings.Detect},
		Alone: f.Alone,
		Make:  func(ctx context.Context) (findings.Objects, error) { return f.detect(ctx, d.OfSegment) },
		Tail: func(ctx context.Context, found findings.Objects) error {
			detected := events.Detected{OfSegment: d.OfSegment, Active: d.Active}
			for _, t := range found.Tracks {
				if t.Object == findings.Person {
					detected.Persons++
				}
				if t.Face != nil {
					detected.Faces++
				}
			}
			if err := f.Out.Emit(ctx, detected.Event(name)); err != nil {
				return err
			}
			return join.Segment(ctx, f.Ledger, f.Out, name, d.OfSegment)
		},
		GivenUp: func(ctx context.Context, a ledger.Abandonment) error {
			return join.GivenUp(ctx, f.Ledger, f.Out, name, d.OfSegment, a)
		},
	})
}

func (f *Function) detect(ctx context.Context, s events.OfSegment) (findings.Objects, error) {
	watch := function.Start()
	var decoded findings.Decoded
	work := ledger.Work{Clip: s.Clip, Run: s.Run, Segment: s.Segment, Step: findings.Decode}
	if err := f.Ledger.Read(ctx, work.Key(), &decoded); err != nil {
		return findings.Objects{}, err
	}
	if decoded.Staged == nil || len(decoded.Frames) == 0 {
		return findings.Objects{}, function.Permanent(fmt.Errorf("%v staged no frames: check detect's Trigger", work))
	}
	source, err := f.Media.Open(ctx, *decoded.Staged)
	if err != nil {
		return findings.Objects{}, err
	}
	defer source.Close()
	frames, err := f.Reader.Frames(ctx, source, decoded)
	if err != nil {
		return findings.Objects{}, err
	}
	defer frames.Close()

	scene := newScene(f, decoded)
	for last := false; !last; {
		var batch []Frame
		if batch, last, err = take(frames, f.Batch); err == nil {
			err = scene.see(ctx, batch)
		}
		for _, frame := range batch {
			frame.Close()
		}
		if err != nil {
			return findings.Objects{}, err
		}
	}
	found, err := scene.finish(ctx, s.Clip)
	if err != nil {
		return findings.Objects{}, err
	}
	cost := watch.Cost()
	found.Made = findings.Made{
		Version: version,
		Models:  f.Models,
		Parameters: map[string]any{
			"person_area": f.PersonArea, "face_area": f.FaceArea, "face_width": f.FaceWidth,
			"person_score": personOptions.High, "face_score": faceOptions.High,
		},
		CPUSeconds: cost.CPUSeconds,
		Seconds:    cost.WallSeconds,
	}
	return found, nil
}

// take takes up to n frames; last says that there are no more.
func take(frames Frames, n int) (batch []Frame, last bool, err error) {
	for len(batch) < n {
		frame, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return batch, true, nil
		}
		if err != nil {
			return batch, true, err
		}
		batch = append(batch, frame)
	}
	return batch, false, nil
}
