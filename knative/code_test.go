package knative

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	core "k8s.io/api/core/v1"
	eventing "knative.dev/eventing/pkg/apis/eventing/v1"
	serving "knative.dev/serving/pkg/apis/serving/v1"

	"vedette.dev/functions/decode"
	"vedette.dev/functions/detect"
	"vedette.dev/functions/encode"
	"vedette.dev/functions/reconcile"
	"vedette.dev/functions/split"
	"vedette.dev/shared/function"
	"vedette.dev/shared/store"
)

// These tests keep the YAML in step with the code.

// configs are what the functions read from the environment, beside the scaffold's and the store's.
var configs = map[string]any{
	"ingest": &struct{}{}, "split": &split.Config{}, "decode": &decode.Config{}, "detect": &detect.Config{},
	"encode": &encode.Config{}, "assemble": &struct{}{}, "reconcile": &reconcile.Config{},
}

// given is what the Secret of the kustomization's example holds, and what the local runtime puts in its place.
var given = map[string]string{
	"VEDETTE_S3_ENDPOINT": "http://minio.example.org:9000", "VEDETTE_S3_ACCESS_KEY": "key", "VEDETTE_S3_SECRET_KEY": "secret",
	"VEDETTE_S3_REGION": "us-east-1", "VEDETTE_S3_CLIPS": "clips", "VEDETTE_S3_LEDGER": "ledger",
}

func load(t *testing.T) Topology {
	t.Helper()
	topology, err := Load(Files)
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

func TestEveryFunctionIsAService(t *testing.T) {
	folders, err := filepath.Glob("../functions/*/cmd/*")
	if err != nil {
		t.Fatal(err)
	}
	var functions, services []string
	for _, folder := range folders {
		functions = append(functions, filepath.Base(folder))
	}
	for _, s := range load(t).Services {
		services = append(services, s.Name)
	}
	slices.Sort(services)
	if diff := cmp.Diff(functions, services); diff != "" {
		t.Errorf("functions (-) and Services (+):\n%s", diff)
	}
}

// What is said of every Service, and why it is not left to defaults, stands in the design: cold starts from zero, one clip
// at a time where foreign media is read, nothing to write to, nobody's rights.
func TestServices(t *testing.T) {
	for _, s := range load(t).Services {
		t.Run(s.Name, func(t *testing.T) {
			text, err := fs.ReadFile(Files, "functions/"+s.Name+".yaml")
			if err != nil || !strings.HasPrefix(string(text), "# "+s.Name+": ") {
				t.Errorf("it has no file of its own that begins by saying what it is: %v", err)
			}
			template := s.Spec.Template
			container := template.Spec.Containers[0]
			if want := "dev.local/vedette/" + s.Name + ":dev"; container.Image != want {
				t.Errorf("image %s, want %s, as scripts/image makes it", container.Image, want)
			}
			if template.Annotations["autoscaling.knative.dev/initial-scale"] != "0" || template.Annotations["autoscaling.knative.dev/max-scale"] == "" {
				t.Errorf("scale: %v", template.Annotations)
			}
			if alone := slices.Contains([]string{"split", "decode", "detect", "encode"}, s.Name); alone != (*template.Spec.ContainerConcurrency == 1) {
				t.Errorf("containerConcurrency is %d", *template.Spec.ContainerConcurrency)
			}
			if *template.Spec.TimeoutSeconds != 300 {
				t.Errorf("timeoutSeconds is %d", *template.Spec.TimeoutSeconds)
			}
			if probe := container.ReadinessProbe; probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != "/readyz" {
				t.Errorf("readiness probe: %v", probe)
			}
			if r := container.Resources; r.Requests.Cpu().IsZero() || r.Requests.Memory().IsZero() || r.Limits.Memory().IsZero() {
				t.Errorf("resources: %v", r)
			}
			checkConfined(t, container)
			checkEnvironment(t, s, container)
		})
	}
}

func checkConfined(t *testing.T, c core.Container) {
	t.Helper()
	is := func(b *bool) bool { return b != nil && *b }
	s := c.SecurityContext
	switch {
	case s == nil, !is(s.RunAsNonRoot), s.RunAsUser == nil || *s.RunAsUser != 65532, !is(s.ReadOnlyRootFilesystem),
		s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation,
		s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}),
		s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault:
		t.Errorf("security context: %v", s)
	}
	if len(c.VolumeMounts) != 1 || c.VolumeMounts[0].MountPath != "/tmp" {
		t.Errorf("mounts: %v", c.VolumeMounts)
	}
}

// Every variable is one that the function reads, and its value one that the function takes.
func checkEnvironment(t *testing.T, s *serving.Service, c core.Container) {
	t.Helper()
	if len(c.EnvFrom) != 1 || c.EnvFrom[0].SecretRef == nil || c.EnvFrom[0].SecretRef.Name != "vedette-store" {
		t.Errorf("envFrom: %v", c.EnvFrom)
	}
	all := maps.Clone(given)
	for _, e := range c.Env {
		all[e.Name] = e.Value
	}
	if want := "http://broker-ingress.knative-eventing.svc.cluster.local/vedette/default"; all["K_SINK"] != want {
		t.Errorf("K_SINK is %q, want %q", all["K_SINK"], want)
	}
	own, ok := configs[s.Name]
	if !ok {
		t.Fatal("this test does not know its config")
	}
	var unread []string
	for name := range all {
		unread = append(unread, name)
	}
	for _, config := range []any{own, &store.Config{}, &function.Config{}} {
		lookup := func(name string) (string, bool) { value, ok := all[name]; return value, ok }
		if err := function.Parse(config, lookup); err != nil {
			t.Error(err)
		}
		for _, v := range function.Variables(config) {
			unread = slices.DeleteFunc(unread, func(name string) bool { return name == v.Name })
		}
	}
	if len(unread) > 0 {
		t.Errorf("it reads no %s", strings.Join(unread, ", "))
	}
}

func TestTriggers(t *testing.T) {
	topology, known := load(t), types(t)
	for _, trigger := range topology.Triggers {
		t.Run(trigger.Name, func(t *testing.T) {
			subscriber, err := topology.Service(trigger.Spec.Subscriber)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(trigger.Name, subscriber.Name+"-") {
				t.Errorf("its name does not begin with that of %s", subscriber.Name)
			}
			wanted := typesOf(trigger)
			if len(wanted) == 0 {
				t.Error("it takes every type of event")
			}
			for _, typ := range wanted {
				if !slices.Contains(known, typ) && !slices.Contains([]string{"com.amazonaws.s3.", "dev.knative.sources.ping"}, typ) {
					t.Errorf("nobody sends %s", typ)
				}
			}
			d := trigger.Spec.Delivery
			if d == nil || d.Retry == nil || d.BackoffPolicy == nil || d.BackoffDelay == nil {
				t.Fatalf("delivery: %v; what it leaves out is not taken from the Broker", d)
			}
			if subscriber.Name == "reconcile" {
				return // that is where dead letters go
			}
			if d.DeadLetterSink == nil {
				t.Fatal("it has no dead-letter sink")
			}
			if sink, err := topology.Service(*d.DeadLetterSink); err != nil || sink.Name != "reconcile" {
				t.Errorf("its dead-letter sink is %v", d.DeadLetterSink)
			}
		})
	}
}

// Every event of the contract goes somewhere, but for those that are told to the world.
func TestEveryEventHasATrigger(t *testing.T) {
	forTheWorld := []string{"dev.vedette.objects.v1.detected", "dev.vedette.clip.v1.analyzed", "dev.vedette.proxy.v1.completed"}
	var wanted []string
	for _, trigger := range load(t).Triggers {
		wanted = append(wanted, typesOf(trigger)...)
	}
	for _, typ := range types(t) {
		if slices.Contains(wanted, typ) == slices.Contains(forTheWorld, typ) {
			t.Errorf("%s: has a Trigger: %v", typ, slices.Contains(wanted, typ))
		}
	}
}

var quoted = regexp.MustCompile(`'([^']*)'`)

// typesOf are the types that a Trigger filters on.
func typesOf(trigger *eventing.Trigger) []string {
	var list []string
	for _, f := range trigger.Spec.Filters {
		for _, attributes := range []map[string]string{f.Exact, f.Prefix} {
			if typ, ok := attributes["type"]; ok {
				list = append(list, typ)
			}
		}
		if strings.HasPrefix(f.CESQL, "type ") {
			for _, match := range quoted.FindAllStringSubmatch(f.CESQL, -1) {
				list = append(list, match[1])
			}
		}
	}
	return list
}

// types are the types of events that package events declares.
func types(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile("../events/events.go")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "events.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			for _, value := range spec.Values {
				if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					if typ, err := strconv.Unquote(literal.Value); err == nil && strings.HasPrefix(typ, "dev.vedette.") {
						list = append(list, typ)
					}
				}
			}
		}
		return true
	})
	if len(list) < 10 {
		t.Fatalf("found only %v", list)
	}
	return list
}
