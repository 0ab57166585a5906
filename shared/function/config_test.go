package function

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// environment is a lookup for Parse.
type environment map[string]string

func (e environment) lookup(name string) (string, bool) {
	value, ok := e[name]
	return value, ok
}

type storage struct {
	Endpoint string `env:"T_ENDPOINT" required:"true" doc:"where the store is"`
	Secure   bool   `env:"T_SECURE" doc:"TLS"`
}

type everything struct {
	Window int           `env:"T_WINDOW" default:"4" min:"1" max:"64" doc:"segments in flight"`
	Bytes  int64         `env:"T_BYTES" default:"5000000000" doc:"size"`
	Score  float64       `env:"T_SCORE" default:"0.5" min:"0" max:"1" doc:"threshold"`
	Every  time.Duration `env:"T_EVERY" default:"200ms" min:"1ms" doc:"interval"`
	Kind   string        `env:"T_KIND" default:"cpu" oneof:"cpu,cuda" doc:"hardware"`
	Types  []string      `env:"T_TYPES" default:"a, b" doc:"list"`
	Store  storage
	Ours   string // not from the environment
}

func (c *everything) Validate() error {
	if c.Window > 10 && !c.Store.Secure {
		return errors.New("T_WINDOW over 10 needs T_SECURE")
	}
	return nil
}

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		env  environment
		want everything
		errs []string // parts of the error
	}{
		"defaults": {
			env: environment{"T_ENDPOINT": "http://s3"},
			want: everything{Window: 4, Bytes: 5e9, Score: .5, Every: 200 * time.Millisecond, Kind: "cpu", Types: []string{"a", "b"},
				Store: storage{Endpoint: "http://s3"}, Ours: "kept"},
		},
		"all set, others ignored": {
			env: environment{"T_WINDOW": "64", "T_BYTES": "-1", "T_SCORE": "1", "T_EVERY": "1h", "T_KIND": "cuda", "T_TYPES": "x,,y ",
				"T_ENDPOINT": "e", "T_SECURE": "true", "T_OTHER": "?"},
			want: everything{Window: 64, Bytes: -1, Score: 1, Every: time.Hour, Kind: "cuda", Types: []string{"x", "y"},
				Store: storage{Endpoint: "e", Secure: true}, Ours: "kept"},
		},
		"set to nothing is not set": {
			env:  environment{"T_WINDOW": "", "T_ENDPOINT": "", "T_KIND": ""},
			errs: []string{"T_ENDPOINT is not set: it must be a text (where the store is)"},
		},
		"all wrong, all named": {
			env: environment{"T_WINDOW": "65", "T_BYTES": "5G", "T_SCORE": "NaN", "T_EVERY": "7", "T_KIND": "tpu", "T_SECURE": "perhaps"},
			errs: []string{
				`T_WINDOW is "65": it must be a whole number from 1 to 64 (segments in flight)`,
				`T_BYTES is "5G": it must be a whole number (size)`,
				`T_SCORE is "NaN": it must be a number from 0 to 1`,
				`T_EVERY is "7": it must be a duration like "30s", at least 1ms`,
				`T_KIND is "tpu": it must be one of cpu, cuda`,
				`T_SECURE is "perhaps": it must be true or false`,
				`T_ENDPOINT is not set`,
			},
		},
		"below the least": {
			env:  environment{"T_WINDOW": "0", "T_EVERY": "-1s", "T_ENDPOINT": "e"},
			errs: []string{"T_WINDOW", "T_EVERY"},
		},
		"do not go together": {
			env:  environment{"T_WINDOW": "11", "T_ENDPOINT": "e"},
			errs: []string{"T_WINDOW over 10 needs T_SECURE"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := everything{Ours: "kept"}
			err := Parse(&got, test.env.lookup)
			if test.errs != nil {
				for _, part := range test.errs {
					if err == nil || !strings.Contains(err.Error(), part) {
						t.Errorf("error lacks %q:\n%v", part, err)
					}
				}
				if err != nil && len(strings.Split(err.Error(), "\n")) != len(test.errs) {
					t.Errorf("want %d errors:\n%v", len(test.errs), err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestVariables(t *testing.T) {
	got := Variables(&everything{})
	var names []string
	for _, v := range got {
		names = append(names, v.Name)
	}
	want := []string{"T_WINDOW", "T_BYTES", "T_SCORE", "T_EVERY", "T_KIND", "T_TYPES", "T_ENDPOINT", "T_SECURE"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(Variable{Name: "T_WINDOW", Default: "4", Allowed: "a whole number from 1 to 64", Doc: "segments in flight"}, got[0]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !got[6].Required {
		t.Error("T_ENDPOINT is not required")
	}
}

// A field that cannot be read is a mistake in the program, found by the first test that parses.
func TestParseUnreadableField(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_ = Parse(&struct {
		C complex128 `env:"T_C" default:"1i"`
	}{}, environment{}.lookup)
}

func TestOwnConfig(t *testing.T) {
	var c Config
	if err := Parse(&c, environment{}.lookup); err != nil {
		t.Fatal(err)
	}
	want := Config{Port: 8080, Timeout: 280 * time.Second, Drain: 25 * time.Second, MaxBody: 32 << 20, LogLevel: "info"}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, v := range Variables(&c) {
		if v.Doc == "" {
			t.Errorf("%s says nothing of itself", v.Name)
		}
	}
	for sink, ok := range map[string]bool{
		"http://broker/default": true, "https://broker": true,
		"broker": false, "/events": false, "ftp://broker": false, "http://": false, "http://bro ker": false,
	} {
		if err := Parse(&c, environment{"K_SINK": sink}.lookup); (err == nil) != ok {
			t.Errorf("K_SINK %q: %v", sink, err)
		}
	}
}
