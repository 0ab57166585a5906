// Package knative holds the only description of Vedette's topology: the Broker, a Service for each function, the
// Triggers between them and the clock, as YAML that a cluster applies (kubectl apply -k knative) and that the local
// runtime reads.
//
// In comes a folder with a kustomization.yaml; out comes a [Topology] that a cluster would accept: every object has gone
// through Knative's own defaulting and validation, and every reference leads to an object of the same folder.
package knative

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	eventing "knative.dev/eventing/pkg/apis/eventing/v1"
	sources "knative.dev/eventing/pkg/apis/sources/v1"
	"knative.dev/pkg/apis"
	duck "knative.dev/pkg/apis/duck/v1"
	"knative.dev/serving/pkg/apis/config"
	serving "knative.dev/serving/pkg/apis/serving/v1"
	autoscaler "knative.dev/serving/pkg/autoscaler/config"
	"sigs.k8s.io/yaml"
)

// Files is the topology as it is shipped.
//
//go:embed kustomization.yaml namespace.yaml broker.yaml clock.yaml functions/*.yaml
var Files embed.FS

// Topology is who hears of what.
type Topology struct {
	Broker   *eventing.Broker
	Services []*serving.Service
	Triggers []*eventing.Trigger
	Clocks   []*sources.PingSource
}

// Load reads what the kustomization of a folder lists.
func Load(folder fs.FS) (Topology, error) {
	var kustomization struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Resources  []string `json:"resources"`
	}
	var t Topology
	text, err := fs.ReadFile(folder, "kustomization.yaml")
	if err != nil {
		return t, fmt.Errorf("read the topology: %w", err)
	}
	if err := yaml.UnmarshalStrict(text, &kustomization); err != nil {
		return t, fmt.Errorf("kustomization.yaml: %w", err)
	}
	for _, name := range kustomization.Resources {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return t, fmt.Errorf("read the topology: %w", err)
		}
		if err := t.add(text); err != nil {
			return t, fmt.Errorf("%s: %w", name, err)
		}
	}
	return t, t.resolve()
}

// add adds the objects of one file.
func (t *Topology) add(text []byte) error {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := t.addObject(document); err != nil {
			return err
		}
	}
}

func (t *Topology) addObject(document []byte) error {
	var is metav1.PartialObjectMetadata
	if err := yaml.Unmarshal(document, &is); err != nil {
		return err
	}
	var object runtime.Object
	switch is.APIVersion + "/" + is.Kind {
	case "serving.knative.dev/v1/Service":
		s := &serving.Service{}
		t.Services, object = append(t.Services, s), s
	case "eventing.knative.dev/v1/Trigger":
		s := &eventing.Trigger{}
		t.Triggers, object = append(t.Triggers, s), s
	case "eventing.knative.dev/v1/Broker":
		if t.Broker != nil {
			return fmt.Errorf("a second Broker, %s: the topology has one", is.Name)
		}
		t.Broker = &eventing.Broker{}
		object = t.Broker
	case "sources.knative.dev/v1/PingSource":
		s := &sources.PingSource{}
		t.Clocks, object = append(t.Clocks, s), s
	case "v1/Namespace":
		return nil
	default:
		return fmt.Errorf("%s %s is of a kind the topology does not know (%s)", is.Kind, is.Name, is.APIVersion)
	}
	if err := yaml.UnmarshalStrict(document, object); err != nil {
		return fmt.Errorf("%s %s: %w", is.Kind, is.Name, err)
	}
	if err := admit(object.(admissible)); err != nil {
		return fmt.Errorf("%s %s: %w", is.Kind, is.Name, err)
	}
	return nil
}

// admissible is what a cluster's webhooks ask of an object.
type admissible interface {
	apis.Defaultable
	apis.Validatable
}

// admit does what Knative's webhooks do when an object is created.
func admit(object admissible) error {
	scaler, err := autoscaler.NewConfigFromMap(map[string]string{"allow-zero-initial-scale": "true"})
	if err != nil {
		return fmt.Errorf("set up Knative's validation: %w", err)
	}
	ctx := config.ToContext(context.Background(), &config.Config{Autoscaler: scaler})
	ctx = apis.WithinCreate(ctx)
	object.SetDefaults(ctx)
	if invalid := object.Validate(ctx).Filter(apis.ErrorLevel); invalid != nil {
		return invalid
	}
	return nil
}

// resolve checks that every reference leads somewhere.
func (t *Topology) resolve() error {
	if t.Broker == nil {
		return errors.New("the topology has no Broker")
	}
	for _, trigger := range t.Triggers {
		if trigger.Spec.Broker != t.Broker.Name {
			return fmt.Errorf("the broker of Trigger %s, %s, is not there", trigger.Name, trigger.Spec.Broker)
		}
		if _, err := t.Service(trigger.Spec.Subscriber); err != nil {
			return fmt.Errorf("the subscriber of Trigger %s: %w", trigger.Name, err)
		}
		if d := trigger.Spec.Delivery; d != nil && d.DeadLetterSink != nil {
			if _, err := t.Service(*d.DeadLetterSink); err != nil {
				return fmt.Errorf("the dead-letter sink of Trigger %s: %w", trigger.Name, err)
			}
		}
	}
	for _, clock := range t.Clocks {
		if r := clock.Spec.Sink.Ref; r == nil || r.Kind != "Broker" || r.Name != t.Broker.Name {
			return fmt.Errorf("PingSource %s has to send to Broker %s", clock.Name, t.Broker.Name)
		}
	}
	return nil
}

// Service finds the Service that a destination refers to.
func (t *Topology) Service(d duck.Destination) (*serving.Service, error) {
	if d.Ref == nil || d.Ref.Kind != "Service" || d.Ref.APIVersion != serving.SchemeGroupVersion.String() {
		return nil, errors.New("it is no reference to a Knative Service")
	}
	i := slices.IndexFunc(t.Services, func(s *serving.Service) bool {
		return s.Name == d.Ref.Name && s.Namespace == d.Ref.Namespace
	})
	if i < 0 {
		return nil, fmt.Errorf("there is no Service %s in namespace %s", d.Ref.Name, d.Ref.Namespace)
	}
	return t.Services[i], nil
}
