package native

import (
	"context"
	"time"

	"vedette.dev/functions/detect"
	"vedette.dev/models"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/infer"
	"vedette.dev/shared/infer/tensor"
	"vedette.dev/shared/vision/detector"
)

// Networks are the models of detect, loaded.
type Networks struct {
	Persons detector.Persons
	Faces   detector.Faces
	Models  []findings.Model
}

// Metrics is told what the networks cost.
type Metrics interface {
	ModelLoaded(model string, d time.Duration)
	Inferred(model string, pictures int, d time.Duration)
}

// Load loads the models. They live as long as the process.
func Load(c detect.Config, metrics Metrics) (Networks, error) {
	var n Networks
	persons, err := n.load(models.Persons, c, metrics)
	if err != nil {
		return n, err
	}
	faces, err := n.load(models.Faces, c, metrics)
	if err != nil {
		return n, err
	}
	n.Persons = detector.Persons{Network: persons, Area: c.PersonArea, Batch: c.Batch}
	n.Faces = detector.Faces{Network: faces, Area: c.FaceArea, Batch: c.Batch}
	if faces.session.Device() == infer.CPU {
		n.Faces.Batch = 1 // the data of two leave a processor's cache, which costs more than a batch saves
	}
	return n, nil
}

func (n *Networks) load(open func() ([]byte, models.Model, error), c detect.Config, metrics Metrics) (measured, error) {
	began := time.Now()
	weights, model, err := open()
	if err != nil {
		return measured{}, err
	}
	session, err := infer.Open(weights, infer.Options{Library: c.Library, Threads: c.Threads, Device: c.Device})
	if err != nil {
		return measured{}, err
	}
	metrics.ModelLoaded(model.Name, time.Since(began))
	n.Models = append(n.Models, findings.Model{Name: model.Name, SHA256: model.SHA256})
	return measured{session, model.Name, metrics}, nil
}

// Pictures reads frames in the sizes that the networks take.
func (n Networks) Pictures() Pictures {
	return Pictures{ForPersons: n.Persons.Letterbox, ForFaces: n.Faces.Letterbox}
}

// measured is a network whose runs are counted.
type measured struct {
	session *infer.Session
	model   string
	metrics Metrics
}

func (m measured) Run(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
	began := time.Now()
	out, err := m.session.Run(ctx, in)
	if err == nil {
		m.metrics.Inferred(m.model, in[0].Shape[0], time.Since(began))
	}
	return out, err
}
