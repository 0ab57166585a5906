package function

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
)

func TestStatus(t *testing.T) {
	plain := errors.New("it broke")
	wrapped := func(err error) error { return fmt.Errorf("segment 3: %w", err) }
	cut := func(cause, err error) error { return &interruption{cause: cause, err: err} }
	for name, test := range map[string]struct {
		err     error
		status  int
		outcome string
	}{
		"success":                           {nil, 204, "done"},
		"anything":                          {plain, 500, "failed"},
		"permanent":                         {Permanent(plain), 422, "permanent"},
		"permanent, wrapped":                {wrapped(Permanent(plain)), 422, "permanent"},
		"permanent, with a hint":            {Hint(Permanent(plain), "do this"), 422, "permanent"},
		"busy":                              {wrapped(Busy(plain)), 409, "busy"},
		"unavailable":                       {wrapped(Unavailable(plain)), 503, "unavailable"},
		"tried again wins over permanent":   {Permanent(wrapped(Unavailable(plain))), 503, "unavailable"},
		"also in a join":                    {errors.Join(Permanent(plain), Busy(plain)), 409, "busy"},
		"some inner time-out":               {wrapped(context.DeadlineExceeded), 504, "timeout"},
		"some inner time-out, thought hard": {Permanent(context.DeadlineExceeded), 504, "timeout"},
		"panic":                             {&crash{value: "boom"}, 500, "failed"},
		"refused":                           {refuse(415, "not that"), 415, "refused"},
		"body too large":                    {Permanent(&http.MaxBytesError{Limit: 1}), 413, "refused"},
		"our time-out":                      {cut(errTimeout, plain), 504, "timeout"},
		"stopping":                          {cut(errStopping, context.Canceled), 503, "stopping"},
		"caller hung up":                    {cut(context.Canceled, context.Canceled), 499, "cancelled"},
		"nothing is permanent once cut":     {cut(errStopping, Permanent(plain)), 503, "stopping"},
		"nothing is refused once cut":       {cut(errTimeout, refuse(400, "odd")), 504, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			status, outcome := classify(test.err)
			if status != test.status || outcome != test.outcome {
				t.Errorf("%v: %d %s, want %d %s", test.err, status, outcome, test.status, test.outcome)
			}
		})
	}
}

// The wrappers keep what they wrap, and make no error of none.
func TestClassesAreTransparent(t *testing.T) {
	cause := errors.New("cause")
	for _, wrap := range []func(error) error{Permanent, Busy, Unavailable, func(err error) error { return Hint(err, "h") }} {
		if wrap(nil) != nil {
			t.Error("nil became an error")
		}
		if err := wrap(cause); !errors.Is(err, cause) || err.Error() != cause.Error() {
			t.Errorf("%v does not stand for its cause", err)
		}
	}
	if got := HintOf(fmt.Errorf("x: %w", Hint(Busy(Hint(cause, "inner")), "outer"))); got != "outer" {
		t.Errorf("hint %q, want the outermost", got)
	}
	if got := HintOf(cause); got != "" {
		t.Errorf("hint %q of an error without", got)
	}
}
