package events_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
)

// The catalogue of events: README.md, schemas/ and samples/ are made of this list, of the structs and of the Triggers.
//
//	go test ./events -update

var update = flag.Bool("update", false, "write the catalogue, the schemas and the samples anew")

// entry is one type of event.
type entry struct {
	says   string
	from   string
	data   any // a sample of it; nil if there is none
	event  func(data any) event.Event
	status []string // words that data.status may be
}

var (
	of = events.OfRun{Clip: "7f1c3b0a9d2e4f5861728394a5b6c7d8", Run: 1, Camera: "front-door"}
	at = events.OfSegment{OfRun: of, Segment: 3}
)

// maker is what data of events has.
type maker interface {
	Event(function string) event.Event
}

func by(function string) func(any) event.Event {
	return func(data any) event.Event { return data.(maker).Event(function) }
}

func catalogue() map[string]entry {
	return map[string]entry{
		events.ClipUploaded: {
			says: "A clip was put into the bucket of clips, or is to be processed once more.", from: "ingest",
			data: events.Uploaded{OfRun: of, Bucket: "clips", Key: "front-door/2026-11-22T10-20-30Z.mp4"}, event: by("ingest"),
		},
		events.ClipRejected: {
			says: "A clip cannot be processed; that is its answer.", from: "split",
			data: events.Rejected{OfRun: of, Reason: "truncated", Hint: "The file ends in the middle. Upload it again."}, event: by("split"),
		},
		events.PlanContinued: {
			says: "A part of a clip's plan is committed, and another is to be made.", from: "split",
			data: events.Continued{OfRun: of, Part: 1}, event: by("split"),
		},
		events.SegmentCut: {
			says: "A segment of a clip is there, and it is its turn.", from: "split, and whoever analyzes the segment a window before",
			data: events.Cut{OfSegment: at, StartUS: 30_000_000, EndUS: 40_033_333}, event: by("split"),
		},
		events.SegmentDecoded: {
			says: "The gate has judged whether anything moves in a segment; frames are staged if somebody has to look.", from: "decode",
			data: events.Decoded{OfSegment: at, Active: true, Frames: 51}, event: by("decode"),
		},
		events.ObjectsDetected: {
			says: "Persons and faces were looked for in a segment.", from: "detect",
			data: events.Detected{OfSegment: at, Active: true, Persons: 2, Faces: 1}, event: by("detect"),
		},
		events.SegmentAnalyzed: {
			says: "Every finding that a segment requires is in the ledger, or given up.", from: "whoever leaves the last of them: decode, detect",
			data: events.Analyzed{OfSegment: at, Active: true}, event: by("detect"),
		},
		events.SegmentTracked: {
			says: "The tracks of a segment have their numbers in the clip.", from: "assemble",
			data: events.Tracked{OfSegment: at, Active: true}, event: by("assemble"),
		},
		events.SegmentEncoded: {
			says: "An active segment is drawn on and encoded.", from: "encode",
			data: events.Encoded{OfSegment: at}, event: by("encode"),
		},
		events.StepAbandoned: {
			says: "A step of a segment is given up: it killed its process, or failed, too often.", from: "the step, or reconcile",
			data: events.Abandoned{OfSegment: at, Step: "detect", Reason: "its process died 3 times over it"}, event: by("detect"),
		},
		events.ClipAnalyzed: {
			says: "The report of a clip is there; the video is not yet.", from: "assemble",
			data:   events.Reported{OfRun: of, Status: "analyzed", Report: of.Clip + "/1/analyzed.json", Persons: 2, Faces: 1},
			event:  func(d any) event.Event { return d.(events.Reported).Analyzed("assemble") },
			status: []string{findings.StatusAnalyzed, findings.StatusFailed},
		},
		events.ClipCompleted: {
			says: "All there will be of a clip is there. With the status failed, a step was given up, and the report says which.", from: "assemble, or reconcile",
			data:   events.Reported{OfRun: of, Status: "completed", Report: of.Clip + "/1/completed.json", Persons: 2, Faces: 1},
			event:  func(d any) event.Event { return d.(events.Reported).Completed("assemble") },
			status: []string{findings.StatusCompleted, findings.StatusFailed},
		},
		events.ProxyRequested: {
			says: "Somebody wants the whole clip in a form that browsers play; it is this segment's turn to be encoded.", from: "you, then encode",
			data: events.Requested{OfSegment: at}, event: by("encode"),
		},
		events.ProxyEncoded: {
			says: "Every segment of a clip is encoded for its proxy.", from: "encode",
			data:  events.Proxied{OfRun: of},
			event: func(data any) event.Event { return data.(events.Proxied).Encoded("encode") },
		},
		events.ProxyCompleted: {
			says: "The proxy of a clip is there: an MP4 that browsers play.", from: "assemble",
			data:  events.Proxied{OfRun: of, Video: of.Clip + "/side/0f1e.mp4"},
			event: func(data any) event.Event { return data.(events.Proxied).Completed("assemble") },
		},
		events.ClockTicked: {
			says: "It is time to look after everything. With the extension `lost` \"true\", a broker begins anew without the events it held.", from: "the local runtime's clock; on a cluster a PingSource sends dev.knative.sources.ping",
			event: func(any) event.Event {
				return events.Ticked("/vedette/clock", time.Date(2026, 11, 22, 10, 22, 0, 0, time.UTC))
			},
		},
	}
}

// types lists the constants of the package that name types of events, in its order.
func types(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "events.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil && strings.HasPrefix(s, "dev.vedette.") {
				list = append(list, s)
			}
		}
		return true
	})
	return list
}

// file is the name of a type's schema and sample: segment.v1.decoded.
func file(typ string) string { return strings.TrimPrefix(typ, "dev.vedette.") + ".json" }

// TestCatalogue compares the catalogue, the schemas and the samples with what they are made of.
func TestCatalogue(t *testing.T) {
	g := newGenerator(t, ".", "../shared/findings")
	entries, list := catalogue(), types(t)
	if len(list) != len(entries) {
		t.Fatalf("%d types of events, %d entries in the catalogue", len(list), len(entries))
	}
	want := map[string][]byte{}
	readme := &bytes.Buffer{}
	readme.WriteString(introduction)
	takers := takers(t)
	for _, typ := range list {
		entry, ok := entries[typ]
		if !ok {
			t.Fatalf("%s is not in the catalogue", typ)
		}
		e := entry.event(entry.data)
		if e.Type() != typ {
			t.Fatalf("the sample of %s is a %s", typ, e.Type())
		}
		e.SetTime(time.Date(2026, 11, 22, 10, 21, 30, 0, time.UTC))
		if err := e.Validate(); err != nil {
			t.Errorf("the sample of %s is no CloudEvent: %v", typ, err)
		}
		want[filepath.Join("samples", file(typ))] = document(t, e)
		s := &schema{}
		if entry.data != nil {
			s = g.of(reflect.TypeOf(entry.data))
			s.Schema, s.ID = draft, "https://vedette.dev/schemas/"+file(typ)
			s.Title, s.Description = typ, entry.says
			if entry.status != nil {
				s.Properties["status"].Enum = entry.status
			}
			want[filepath.Join("schemas", file(typ))] = document(t, s)
			var data any
			if err := json.Unmarshal(e.Data(), &data); err != nil {
				t.Fatal(err)
			}
			for _, wrong := range s.check("data", data) {
				t.Errorf("sample of %s: %s", typ, wrong)
			}
		}
		describe(readme, typ, entry, e, s, takers[typ])
	}
	report := g.of(reflect.TypeFor[findings.Report]())
	report.Schema, report.ID, report.Title = draft, findings.SchemaReport, "Report of a clip"
	report.Description = g.says["Report"]
	report.Properties["status"].Enum = []string{findings.StatusAnalyzed, findings.StatusCompleted, findings.StatusRejected, findings.StatusFailed}
	want["schemas/report.v1.json"] = document(t, report)
	want["README.md"] = readme.Bytes()

	for name, content := range want {
		if *update {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, content, 0o644); err != nil { //nolint:gosec // for everybody to read
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Errorf("%v: run go test ./events -update", err)
		} else if diff := cmp.Diff(string(content), string(got)); diff != "" {
			t.Errorf("%s is not up to date: run go test ./events -update (-want +got)\n%s", name, diff)
		}
	}
	for _, folder := range []string{"schemas", "samples"} {
		files, err := filepath.Glob(filepath.Join(folder, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if _, ok := want[f]; !ok {
				t.Errorf("%s is of no type: remove it", f)
			}
		}
	}
}

const introduction = `# Events

<!-- Made by "go test ./events -update": change events.go, catalogue_test.go or the Triggers in knative/ instead. -->

What happens in Vedette is told by [CloudEvents 1.0](https://cloudevents.io), and anybody may listen: an alert is a Trigger.

An event is a fact in the past tense, and a hint: it may come twice, late, out of order or never, and what is true is in the
ledger. Its ` + "`id`" + ` is made of what it says, so the same fact told twice is the same event (a receiver that keeps ids needs
` + "`id`" + ` alone, since a fact may be told again by somebody else). It is at most 64 KB, carries references instead of media, and no names of people.

Besides ` + "`data`" + `, every event of a clip has the extensions ` + "`clip`, `run` and, if it is known, `camera`" + `; its ` + "`subject`" + ` is the clip.
Extensions are strings or 32-bit integers, as CESQL can compare them; ` + "`active` and `staged` are \"true\" or \"false\"" + `.

The report of a clip is described by [schemas/report.v1.json](schemas/report.v1.json). A receiver bears with fields it does not know.

`

// describe writes one type's part of the catalogue.
func describe(w *bytes.Buffer, typ string, entry entry, e event.Event, s *schema, takers []string) {
	fmt.Fprintf(w, "## %s\n\n%s\n\n", strings.TrimPrefix(typ, "dev.vedette."), entry.says)
	fmt.Fprintf(w, "- type: `%s`\n- from: %s\n", typ, entry.from)
	if len(takers) > 0 {
		fmt.Fprintf(w, "- to: %s\n", strings.Join(takers, ", "))
	}
	fmt.Fprintf(w, "- id: `%s`\n", strings.NewReplacer(of.Clip, "<clip>", "/1/", "/<run>/", "/3/", "/<segment>/", "plan/1", "plan/<part>",
		"abandoned/detect", "abandoned/<step>", "2026-11-22T10:22:00Z", "<time>").Replace(e.ID()))
	var extensions []string
	for name := range e.Extensions() {
		extensions = append(extensions, "`"+name+"`")
	}
	if slices.Sort(extensions); len(extensions) > 0 {
		fmt.Fprintf(w, "- extensions: %s\n", strings.Join(extensions, ", "))
	}
	fmt.Fprintf(w, "- sample: [samples/%[1]s](samples/%[1]s)", file(typ))
	if entry.data == nil {
		w.WriteString("\n\n")
		return
	}
	fmt.Fprintf(w, "; schema: [schemas/%[1]s](schemas/%[1]s)\n\n| data | | |\n|---|---|---|\n", file(typ))
	for _, name := range s.order {
		p := s.Properties[name]
		says := p.Description
		if len(p.Enum) > 0 {
			says = strings.Join(p.Enum, " or ")
		}
		kind := fmt.Sprint(p.Type)
		if !slices.Contains(s.Required, name) {
			kind += ", optional"
		}
		fmt.Fprintf(w, "| `%s` | %s | %s |\n", name, kind, says)
	}
	w.WriteString("\n")
}

func document(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// takers reads from the Triggers which function takes which type of event, and under what condition.
func takers(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("../knative/functions/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no Triggers found: %v", err)
	}
	taken := map[string][]string{}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range strings.SplitSeq(string(content), "\n---\n") {
			var trigger struct {
				Kind string
				Spec struct {
					Filters    []struct{ Exact map[string]string }
					Subscriber struct{ Ref struct{ Name string } }
				}
			}
			if err := yaml.Unmarshal([]byte(doc), &trigger); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			typ, when := "", ""
			for _, filter := range trigger.Spec.Filters {
				for name, value := range filter.Exact {
					if name == "type" {
						typ = value
					} else {
						when += fmt.Sprintf(" where `%s` is %q", name, value)
					}
				}
			}
			if trigger.Kind == "Trigger" && typ != "" {
				taken[typ] = append(taken[typ], trigger.Spec.Subscriber.Ref.Name+when)
			}
		}
	}
	return taken
}

// TestSize fills every string of every event with as much as may ever be in it.
func TestSize(t *testing.T) {
	const most = 64 << 10
	for typ, entry := range catalogue() {
		if entry.data == nil {
			continue
		}
		data := reflect.New(reflect.TypeOf(entry.data)).Elem()
		fill(data)
		e := entry.event(data.Interface())
		if b := document(t, e); len(b) >= most {
			t.Errorf("%s can grow to %d bytes, over %d", typ, len(b), most)
		}
		if err := e.Validate(); err != nil {
			t.Errorf("%s, filled: %v", typ, err)
		}
	}
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field)
		}
	case reflect.String:
		v.SetString(strings.Repeat("é\"", 1000)) // a key has at most 1024 bytes; a reason may quote anything
	case reflect.Int, reflect.Int64:
		v.SetInt(1 << 30)
	}
}

// TestIDs has two different facts never share an id, and the same one always.
func TestIDs(t *testing.T) {
	ids := map[string]string{}
	for typ, entry := range catalogue() {
		e := entry.event(entry.data)
		if other, taken := ids[e.ID()]; taken {
			t.Errorf("%s and %s have the same id %s", typ, other, e.ID())
		}
		ids[e.ID()] = typ
		if again := entry.event(entry.data); again.ID() != e.ID() {
			t.Errorf("%s has another id the second time", typ)
		}
	}
	other := at
	other.Run = 2
	if a, b := (events.Encoded{OfSegment: at}).Event("encode").ID(), (events.Encoded{OfSegment: other}).Event("encode").ID(); a == b {
		t.Errorf("two runs share the id %s", a)
	}
}

// TestStored tells of an object as S3 does, which ingest's own tests read.
func TestStored(t *testing.T) {
	e := events.Stored{Bucket: "clips", Key: "front door/a+b.mp4", ETag: "e1", Size: 7, At: time.Date(2026, 11, 22, 10, 20, 30, 0, time.UTC)}.Event("reconcile")
	want := `{"Records":[{"eventName":"ObjectCreated:Put","eventSource":"aws:s3","eventTime":"2026-11-22T10:20:30Z",` +
		`"s3":{"bucket":{"name":"clips"},"object":{"eTag":"e1","key":"front+door%2Fa%2Bb.mp4","size":7}}}]}`
	if diff := cmp.Diff(want, string(e.Data())); diff != "" || e.Type() != "com.amazonaws.s3.ObjectCreated:Put" || e.Validate() != nil {
		t.Errorf("%s, %v, (-want +got)\n%s", e.Type(), e.Validate(), diff)
	}
}
