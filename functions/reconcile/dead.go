package reconcile

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"vedette.dev/events"
	"vedette.dev/shared/findings"
	"vedette.dev/shared/function"
	"vedette.dev/shared/join"
	"vedette.dev/shared/ledger"
)

// The extensions by which Knative says of a dead letter who did not take it, and what it answered last.
const (
	errorDest = "knativeerrordest"
	errorCode = "knativeerrorcode"
	errorData = "knativeerrordata" // base64
)

func isDead(e event.Event) bool {
	x := e.Extensions()
	return x[errorDest] != nil || x[errorCode] != nil
}

// letter is a dead letter, read.
type letter struct {
	at       events.OfSegment
	work     ledger.Work
	function string // that should have handled it
	to       string // URL of who did not take it, "" if not told
	code     int    // what it answered last; 0 if not told, or nothing was answered
	said     string
}

// bury gives up the work that an event asked for and that nobody could do, and sends what follows without it. If only
// nobody was there to do it, the letter is no reason: the clock will send it again.
func (f *Function) bury(ctx context.Context, e event.Event) error {
	log := f.Log.With("type", e.Type(), "id", e.ID(), "to", e.Extensions()[errorDest], "code", e.Extensions()[errorCode])
	l, err := read(e)
	switch {
	case err != nil:
		return function.Permanent(err)
	case l.work.Step == "":
		log.WarnContext(ctx, "a dead letter of which no clip depends: ignored")
		return nil
	case !l.meant():
		log.WarnContext(ctx, "a dead letter of somebody else's function: ignored")
		return nil
	case l.transient():
		log.WarnContext(ctx, "a dead letter because nobody was there to take it: it will be sent again")
		return nil
	}
	if done, err := f.Ledger.Done(ctx, l.at.Clip, l.at.Run); err != nil || done {
		return err // an echo
	}
	if _, err := f.Ledger.Clip(ctx, l.at.Clip); errors.Is(err, ledger.ErrNotExist) {
		log.WarnContext(ctx, "a dead letter of a clip that is not known: ignored")
		return nil
	} else if err != nil {
		return err
	}
	switch err := f.Ledger.Read(ctx, l.work.Key(), new(any)); {
	case err == nil && l.work.Segment == ledger.Whole:
		return nil // it was done after all, and what follows is overdue some time
	case err == nil:
		return join.Segment(ctx, f.Ledger, f.Out, name, l.at)
	case !errors.Is(err, ledger.ErrNotExist):
		return err
	}
	log.ErrorContext(ctx, "gave up", "work", l.work.String(), "said", l.said)
	a, err := f.Ledger.GiveUp(ctx, l.work, l.reason())
	if err != nil {
		return err
	}
	if l.work.Segment == ledger.Whole {
		return join.Fail(ctx, f.Ledger, f.Out, name, l.at.OfRun, a)
	}
	return join.GivenUp(ctx, f.Ledger, f.Out, name, l.at, a)
}

// read finds out which work a dead letter asked for.
func read(e event.Event) (letter, error) {
	var l letter
	steps := map[string]string{
		events.SegmentCut: findings.Decode, events.SegmentDecoded: findings.Detect, events.SegmentTracked: findings.Encode,
	}
	assembled := []string{events.SegmentAnalyzed, events.SegmentEncoded, events.StepAbandoned}
	var d struct {
		events.OfSegment
		Part int `json:"part"`
	}
	switch {
	case e.Type() == events.ClipUploaded, e.Type() == events.PlanContinued:
		l.function = findings.Split
	case steps[e.Type()] != "":
		l.function = steps[e.Type()]
	case slices.Contains(assembled, e.Type()):
		l.function = findings.Assemble
	default:
		return l, nil
	}
	if err := e.DataAs(&d); err != nil || d.Clip == "" || d.Run == 0 {
		return l, fmt.Errorf("data of %s %s does not say which clip it is of (%w)", e.Type(), e.ID(), err)
	}
	l.at = d.OfSegment
	switch l.function {
	case findings.Split:
		l.work = ledger.Part(d.Clip, d.Run, d.Part)
	case findings.Assemble:
		l.work = ledger.Work{Clip: d.Clip, Run: d.Run, Segment: ledger.Whole, Step: findings.Assemble}
	default:
		l.work = ledger.Work{Clip: d.Clip, Run: d.Run, Segment: d.Segment, Step: l.function}
	}

	x := e.Extensions()
	l.to, _ = types.ToString(x[errorDest])
	if code, err := types.ToInteger(x[errorCode]); err == nil {
		l.code = int(code)
	}
	if data, err := types.ToString(x[errorData]); err == nil {
		if b, err := base64.StdEncoding.DecodeString(data); err == nil {
			data = string(b)
		}
		l.said = strings.ToValidUTF8(data, "?")
	}
	return l, nil
}

// meant reports whether the letter died at the function whose work it asks for. The same event may go to others too:
// they are nothing to us.
func (l letter) meant() bool {
	u, err := url.Parse(l.to)
	if err != nil || u.Host == "" {
		return true
	}
	host := u.Hostname()
	if net.ParseIP(host) != nil || host == "localhost" {
		return true // a local runtime's, which does not say by it who it is
	}
	return strings.HasPrefix(host, l.function+".") || strings.HasPrefix(host, l.function+"-") || host == l.function
}

// transient reports whether the letter says nothing of the work: nobody took it, or store or broker were away.
func (l letter) transient() bool {
	switch l.code {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable:
		return true
	}
	return l.code <= 0
}

func (l letter) reason() string {
	reason := fmt.Sprintf("no delivery of it succeeded; the last was answered %d %s", l.code, http.StatusText(l.code))
	if l.said != "" {
		reason += ": " + l.said
	}
	return reason
}
