package events_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// schema is as much of JSON Schema as our documents need.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	ID          string             `json:"$id,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type,omitempty"` // a string, or a list of them
	Format      string             `json:"format,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Minimum     *int               `json:"minimum,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Values      *schema            `json:"additionalProperties,omitempty"`

	order []string // of the properties, as the struct has them
}

const draft = "https://json-schema.org/draft/2020-12/schema"

// generator makes schemas of structs, and takes what it says of them from the comments in their source.
type generator struct{ says map[string]string } // by type, or by type and field

func newGenerator(t *testing.T, folders ...string) *generator {
	t.Helper()
	g := &generator{says: map[string]string{}}
	for _, folder := range folders {
		packages, err := parser.ParseDir(token.NewFileSet(), folder, nil, parser.ParseComments) //nolint:staticcheck // one folder is all it is to see
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packages {
			ast.Inspect(p, g.note)
		}
	}
	return g
}

func (g *generator) note(n ast.Node) bool {
	d, ok := n.(*ast.GenDecl)
	if !ok || d.Tok != token.TYPE {
		return true
	}
	for _, spec := range d.Specs {
		typ := spec.(*ast.TypeSpec)
		g.says[typ.Name.Name] = sentence(d.Doc)
		fields, ok := typ.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range fields.Fields.List {
			for _, name := range f.Names {
				g.says[typ.Name.Name+"."+name.Name] = sentence(f.Comment)
			}
		}
	}
	return true
}

func sentence(c *ast.CommentGroup) string {
	return strings.TrimSpace(strings.ReplaceAll(c.Text(), "\n", " "))
}

// of makes the schema of a type.
func (g *generator) of(t reflect.Type) *schema {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return &schema{Type: "string", Format: "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return &schema{}
	}
	switch t.Kind() {
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int, reflect.Int64:
		return &schema{Type: "integer"}
	case reflect.Float64:
		return &schema{Type: "number"}
	case reflect.Slice, reflect.Array:
		return &schema{Type: "array", Items: g.of(t.Elem())}
	case reflect.Map:
		return &schema{Type: "object", Values: g.of(t.Elem())}
	case reflect.Interface:
		return &schema{}
	case reflect.Pointer:
		s := *g.of(t.Elem())
		s.Type = []string{s.Type.(string), "null"}
		return &s
	case reflect.Struct:
		s := &schema{Type: "object", Properties: map[string]*schema{}}
		g.fields(s, t)
		return s
	}
	panic(fmt.Sprintf("no schema for %v", t))
}

func (g *generator) fields(s *schema, t reflect.Type) {
	for f := range t.Fields() {
		if f.Anonymous {
			g.fields(s, f.Type)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		p := g.of(f.Type)
		if optional := strings.Contains(options, "omit"); !optional {
			s.Required = append(s.Required, name)
		} else if f.Type.Kind() == reflect.Pointer {
			p = g.of(f.Type.Elem()) // left out, not null
		}
		p.Description = g.says[t.Name()+"."+f.Name]
		restrict(name, p)
		s.Properties[name] = p
		s.order = append(s.order, name)
	}
}

// restrict adds what is true of a property wherever it stands.
func restrict(name string, p *schema) {
	zero, one, whole := 0, 1, -1
	switch {
	case name == "clip":
		p.Pattern = "^[0-9a-f]{32}$"
	case name == "sha256":
		p.Pattern = "^[0-9a-f]{64}$"
	case name == "run":
		p.Minimum = &one
	case name == "segment":
		p.Minimum = &whole
	case name == "object":
		p.Enum = []string{"person", "face"}
	case p.Type == "integer":
		p.Minimum = &zero
	}
}

// check says where a value is not as the schema has it. What the schema does not know is wrong here, though a receiver
// must bear with it: samples are to show nothing that is not described.
func (s *schema) check(at string, value any) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	if !s.takes(value) {
		say("is %T, want %v", value, s.Type)
		return wrong
	}
	switch v := value.(type) {
	case string:
		if s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(v) {
			say("%q is not like %s", v, s.Pattern)
		}
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
			say("%q is none of %v", v, s.Enum)
		}
		if _, err := time.Parse(time.RFC3339Nano, v); s.Format == "date-time" && err != nil {
			say("%q is no time", v)
		}
	case float64:
		if s.Minimum != nil && v < float64(*s.Minimum) {
			say("%v is less than %d", v, *s.Minimum)
		}
	case []any:
		for i, each := range v {
			wrong = append(wrong, s.Items.check(fmt.Sprintf("%s[%d]", at, i), each)...)
		}
	case map[string]any:
		for _, name := range s.Required {
			if _, there := v[name]; !there {
				say("%s is missing", name)
			}
		}
		for name, each := range v {
			p := s.Properties[name]
			if p == nil {
				p = s.Values
			}
			if p == nil {
				say("%s is not in the schema", name)
				continue
			}
			wrong = append(wrong, p.check(at+"."+name, each)...)
		}
	}
	return wrong
}

func (s *schema) takes(value any) bool {
	types, several := s.Type.([]string)
	if !several {
		if s.Type == nil {
			return true
		}
		types = []string{s.Type.(string)}
	}
	for _, t := range types {
		ok := false
		switch v := value.(type) {
		case nil:
			ok = t == "null"
		case string:
			ok = t == "string"
		case bool:
			ok = t == "boolean"
		case float64:
			ok = t == "number" || t == "integer" && v == float64(int64(v))
		case []any:
			ok = t == "array"
		case map[string]any:
			ok = t == "object"
		}
		if ok {
			return true
		}
	}
	return false
}
