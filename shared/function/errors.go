package function

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Permanent says that no further attempt can succeed: the event is answered 422 and not delivered again. What can be
// said about a clip is no error at all but an answer (clip.rejected); this is for events that make no sense.
func Permanent(err error) error { return wrap(err, permanent) }

// Busy says that somebody else is at this very work: 409, delivered again later.
func Busy(err error) error { return wrap(err, busy) }

// Unavailable says that the store, the sink or something else that the work needs is away: 503, delivered again later.
func Unavailable(err error) error { return wrap(err, unavailable) }

// Hint adds to an error what the operator can do about it. It is logged and answered beside the error.
func Hint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hinted{err, hint}
}

// HintOf returns the outermost hint of an error, or "". Errors of other packages give theirs by a method Hint() string.
func HintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// Status is the one place where an error becomes an HTTP status. Knative delivers again after 404, 408, 409, 429 and 5xx,
// and gives the event to the dead-letter sink after any other 4xx.
func Status(err error) int {
	status, _ := classify(err)
	return status
}

// classify gives the status of an error, and the word for it in logs and metrics. Where an error has several classes the
// one that is tried again wins: a delivery too many is harmless, a lost one is not. For the same reason nothing is permanent once the
// request was cut short, whatever the code that was interrupted made of it.
func classify(err error) (status int, outcome string) {
	over, interrupted := errors.AsType[*interruption](err)
	refused, refusal := errors.AsType[*refusal](err)
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case err == nil:
		return http.StatusNoContent, "done"
	case interrupted && errors.Is(over.cause, errTimeout):
		return http.StatusGatewayTimeout, "timeout"
	case interrupted && errors.Is(over.cause, errStopping):
		return http.StatusServiceUnavailable, "stopping"
	case interrupted:
		return statusClientClosed, "cancelled"
	case refusal:
		return refused.status, "refused"
	case tooLarge:
		return http.StatusRequestEntityTooLarge, "refused"
	case is(err, unavailable) || away(err):
		return http.StatusServiceUnavailable, "unavailable"
	case is(err, busy) || taken(err):
		return http.StatusConflict, "busy"
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout, "timeout"
	case is(err, permanent):
		return http.StatusUnprocessableEntity, "permanent"
	default:
		return http.StatusInternalServerError, "failed"
	}
}

// statusClientClosed is nginx's code for a caller that hung up; nobody is there to read it.
const statusClientClosed = 499

var (
	errTimeout  = errors.New("not finished within VEDETTE_TIMEOUT")
	errStopping = errors.New("this process is stopping")
)

type class int

const (
	permanent class = iota
	busy
	unavailable
)

type classed struct {
	error
	class class
}

func (e *classed) Unwrap() error { return e.error }

func wrap(err error, c class) error {
	if err == nil {
		return nil
	}
	return &classed{err, c}
}

// is looks for a class anywhere in err's tree; errors.As would stop at the first classed error of whatever class.
func is(err error, c class) bool {
	switch e := err.(type) { //nolint:errorlint // this is the walk itself
	case nil:
		return false
	case *classed:
		return e.class == c || is(e.error, c)
	case interface{ Unwrap() error }:
		return is(e.Unwrap(), c)
	case interface{ Unwrap() []error }:
		for _, each := range e.Unwrap() {
			if is(each, c) {
				return true
			}
		}
	}
	return false
}

// away says whether an error of another package says of itself, by a method Unavailable() bool, that what the work needs
// is away: a store does.
func away(err error) bool {
	var e interface{ Unavailable() bool }
	return errors.As(err, &e) && e.Unavailable()
}

// taken says whether an error of another package says of itself, by a method Busy() bool, that somebody else is at the work.
func taken(err error) bool {
	var e interface{ Busy() bool }
	return errors.As(err, &e) && e.Busy()
}

type hinted struct {
	error
	hint string
}

func (e *hinted) Hint() string { return e.hint }

func (e *hinted) Unwrap() error { return e.error }

// refusal is a request that never reached the function.
type refusal struct {
	error
	status int
}

func refuse(status int, format string, args ...any) error {
	return &refusal{fmt.Errorf(format, args...), status}
}

func (e *refusal) Unwrap() error { return e.error }

// interruption is an error of work whose context was over when it returned.
type interruption struct {
	cause error
	err   error
}

func (e *interruption) Error() string {
	return fmt.Sprintf("%v: %v", e.cause, e.err)
}

func (e *interruption) Unwrap() []error { return []error{e.cause, e.err} }

// crash is a panic that was caught.
type crash struct {
	value any
	stack []byte
}

func (e *crash) Error() string { return fmt.Sprintf("panic: %v", e.value) }
