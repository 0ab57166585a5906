package function

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is what the scaffold itself reads from the environment; a function's own variables stand beside it.
type Config struct {
	Port        int           `env:"PORT" default:"8080" min:"0" max:"65535" doc:"port to listen on; 0 takes a free one and logs it"`
	Listen      string        `env:"VEDETTE_LISTEN" doc:"address to listen on; every address of the machine if not set"`
	Sink        string        `env:"K_SINK" doc:"URL that events are sent to: the broker; without it events are answered 503"`
	Concurrency int           `env:"VEDETTE_CONCURRENCY" default:"0" min:"0" max:"1000" doc:"requests handled at a time; 0 is as many as come"`
	Timeout     time.Duration `env:"VEDETTE_TIMEOUT" default:"280s" min:"1s" doc:"longest that a request may take, its turn included; less than Knative's 300 s, so that attempts are closed"`
	Drain       time.Duration `env:"VEDETTE_DRAIN" default:"25s" min:"0s" doc:"how long requests under way may go on after SIGTERM before they are cancelled"`
	MaxBody     int64         `env:"VEDETTE_MAX_BODY" default:"33554432" min:"1" doc:"largest body of a plain HTTP call, in bytes"`
	LogLevel    string        `env:"VEDETTE_LOG_LEVEL" default:"info" oneof:"debug,info,warn,error" doc:"least important line that is logged"`
	Traces      string        `env:"OTEL_EXPORTER_OTLP_ENDPOINT" doc:"URL of an OpenTelemetry collector (OTLP over HTTP); without it traces are passed on but not exported"`
}

// Validate checks what tags cannot say.
func (c *Config) Validate() error {
	if c.Sink == "" {
		return nil
	}
	if u, err := url.Parse(c.Sink); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("K_SINK is %q: it must be a URL like http://broker-ingress.knative-eventing.svc.cluster.local/default/default", c.Sink)
	}
	return nil
}

// Variable is one variable of the environment, as a field of a config declares it.
type Variable struct {
	Name     string
	Default  string
	Allowed  string // in words: "a whole number from 1 to 64"
	Doc      string
	Required bool
}

// Variables lists what Parse reads into config (a pointer to a struct), in the order of the fields.
func Variables(config any) []Variable {
	var list []Variable
	for _, f := range fields(reflect.ValueOf(config).Elem()) {
		list = append(list, f.Variable)
	}
	return list
}

// Parse fills config, a pointer to a struct, from the variables that its fields name:
//
//	Window int `env:"VEDETTE_WINDOW" default:"4" min:"1" max:"64" doc:"segments of a clip in flight"`
//
// A field is a string, bool, int, int64, float64, [time.Duration] or []string (separated by commas), or a struct of such
// fields. Tags: env (without it the field is left alone), default, required:"true", min and max (numbers, durations),
// oneof (strings, separated by commas), doc. A variable that is set to nothing counts as not set. A struct with a method
// Validate() error is asked last. The error names everything that is wrong at once: variable, value and what is allowed.
func Parse(config any, lookup func(string) (string, bool)) error {
	var wrong []error
	for _, f := range fields(reflect.ValueOf(config).Elem()) {
		text, set := lookup(f.Name)
		if !set || text == "" {
			text = f.Default
		}
		if text == "" && f.Required {
			wrong = append(wrong, fmt.Errorf("%s is not set: it must be %s (%s)", f.Name, f.Allowed, f.Doc))
			continue
		}
		if text == "" {
			f.value.SetZero()
			continue
		}
		if !f.set(text) {
			wrong = append(wrong, fmt.Errorf("%s is %q: it must be %s (%s)", f.Name, text, f.Allowed, f.Doc))
		}
	}
	if len(wrong) == 0 {
		wrong = validate(reflect.ValueOf(config).Elem())
	}
	return errors.Join(wrong...)
}

// field is a variable together with the place its value goes to.
type field struct {
	Variable
	value    reflect.Value
	oneof    []string
	min, max string
}

func fields(config reflect.Value) []field {
	var list []field
	for i := range config.NumField() {
		tag, value := config.Type().Field(i).Tag, config.Field(i)
		name, tagged := tag.Lookup("env")
		switch {
		case !tagged && value.Kind() == reflect.Struct && config.Type().Field(i).IsExported():
			list = append(list, fields(value)...)
		case tagged:
			f := field{value: value, min: tag.Get("min"), max: tag.Get("max")}
			f.Name, f.Default, f.Doc = name, tag.Get("default"), tag.Get("doc")
			f.Required = tag.Get("required") == "true"
			if s := tag.Get("oneof"); s != "" {
				f.oneof = strings.Split(s, ",")
			}
			f.Allowed = f.allowed()
			list = append(list, f)
		}
	}
	return list
}

// set parses text into the field, and says whether it was allowed.
func (f field) set(text string) bool {
	value, ok := parse(f.value.Type(), text)
	if !ok || len(f.oneof) > 0 && !slices.Contains(f.oneof, text) {
		return false
	}
	if low, ok := parse(f.value.Type(), f.min); ok && f.min != "" && number(value) < number(low) {
		return false
	}
	if high, ok := parse(f.value.Type(), f.max); ok && f.max != "" && number(value) > number(high) {
		return false
	}
	f.value.Set(value)
	return true
}

// parse reads text as a value of type t.
func parse(t reflect.Type, text string) (reflect.Value, bool) {
	var value any
	var err error
	switch reflect.Zero(t).Interface().(type) {
	case string:
		value = text
	case bool:
		value, err = strconv.ParseBool(text)
	case int:
		value, err = strconv.Atoi(text)
	case int64:
		value, err = strconv.ParseInt(text, 10, 64)
	case float64:
		var f float64
		f, err = strconv.ParseFloat(text, 64)
		value = f
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return reflect.Value{}, false
		}
	case time.Duration:
		value, err = time.ParseDuration(text)
	case []string:
		var list []string
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
		value = list
	default:
		panic(fmt.Sprintf("function: a config field of type %s cannot be read from the environment", t))
	}
	return reflect.ValueOf(value), err == nil
}

func number(v reflect.Value) float64 {
	if v.CanInt() {
		return float64(v.Int())
	}
	return v.Float()
}

func (f field) allowed() string {
	var words string
	switch f.value.Interface().(type) {
	case string:
		words = "a text"
	case bool:
		words = "true or false"
	case int, int64:
		words = "a whole number"
	case float64:
		words = "a number"
	case time.Duration:
		words = `a duration like "30s"`
	case []string:
		words = "a list separated by commas"
	}
	switch {
	case len(f.oneof) > 0:
		words = "one of " + strings.Join(f.oneof, ", ")
	case f.min != "" && f.max != "":
		words += " from " + f.min + " to " + f.max
	case f.min != "":
		words += ", at least " + f.min
	case f.max != "":
		words += ", at most " + f.max
	}
	return words
}

// validate asks config and the structs in it whether their values go together.
func validate(config reflect.Value) []error {
	var wrong []error
	for i := range config.NumField() {
		if f := config.Field(i); f.Kind() == reflect.Struct && config.Type().Field(i).IsExported() {
			wrong = append(wrong, validate(f)...)
		}
	}
	if v, ok := config.Addr().Interface().(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			wrong = append(wrong, err)
		}
	}
	return wrong
}
