package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"go.uber.org/zap"
	eventing "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/eventfilter"
	"knative.dev/eventing/pkg/eventfilter/attributes"
	"knative.dev/eventing/pkg/eventfilter/subscriptionsapi"
	"knative.dev/eventing/pkg/eventingtls"
	"knative.dev/eventing/pkg/kncloudevents"
	"knative.dev/pkg/apis"
	duck "knative.dev/pkg/apis/duck/v1"
)

const (
	// Deliveries that are accepted and not done with; beyond them the broker answers 503.
	mostWaiting = 10_000
	// Deliveries of one Trigger that hold a connection (two files); the others wait in memory.
	mostAtOnce = 256
	// Events are small; this is far beyond what the contract allows.
	largestEvent = 1 << 20
)

var errFull = errors.New("too many events wait for delivery")

// broker takes events and delivers them.
type broker struct {
	reply    duck.Addressable
	triggers []*trigger
	dispatch *kncloudevents.Dispatcher
	feed     *feed
	log      *slog.Logger

	ctx  context.Context //nolint:containedctx // of all deliveries: they belong to no request
	stop context.CancelFunc

	mu         sync.Mutex
	waiting    int
	refusing   bool
	deliveries sync.WaitGroup
}

// trigger is who wants which events.
type trigger struct {
	name       string
	host       string // of the function on a cluster
	service    *service
	filter     eventfilter.Filter
	retry      *kncloudevents.RetryConfig
	deadLetter *service // nil: an event that cannot be delivered is lost
	to, dead   duck.Addressable
	places     chan struct{}
}

func newBroker(c Config, base, sink string, services map[string]*service, feed *feed) (*broker, error) {
	kncloudevents.ConfigureConnectionArgs(&kncloudevents.ConnectionArgs{MaxIdleConns: mostAtOnce, MaxIdleConnsPerHost: mostAtOnce})
	b := &broker{
		dispatch: kncloudevents.NewDispatcher(eventingtls.ClientConfig{}, nil),
		feed:     feed,
		log:      c.Log,
	}
	b.ctx, b.stop = context.WithCancel(context.Background())
	var err error
	if b.reply, err = addressable(sink); err != nil {
		return nil, err
	}
	for _, spec := range c.Topology.Triggers {
		t, err := newTrigger(spec, c, base, services)
		if err != nil {
			return nil, fmt.Errorf("trigger %s: %w", spec.Name, err)
		}
		b.triggers = append(b.triggers, t)
	}
	return b, nil
}

func newTrigger(spec *eventing.Trigger, c Config, base string, services map[string]*service) (*trigger, error) {
	subscriber, err := c.Topology.Service(spec.Spec.Subscriber)
	if err != nil {
		return nil, err
	}
	t := &trigger{
		name:    spec.Name,
		host:    fmt.Sprintf("%s.%s.svc.cluster.local", subscriber.Name, subscriber.Namespace),
		service: services[subscriber.Name],
		filter:  filter(spec),
		places:  make(chan struct{}, mostAtOnce),
	}
	if t.to, err = addressable(base + "/triggers/" + spec.Name); err != nil {
		return nil, err
	}
	if t.dead, err = addressable(base + "/deadletters/" + spec.Name); err != nil {
		return nil, err
	}
	delivery := spec.Spec.Delivery // replaces the Broker's altogether
	if delivery == nil {
		delivery = c.Topology.Broker.Spec.Delivery
	}
	if delivery == nil {
		return t, nil
	}
	retry, err := kncloudevents.RetryConfigFromDeliverySpec(*delivery)
	if err != nil {
		return nil, err
	}
	t.retry = &retry
	if delivery.DeadLetterSink != nil {
		dead, err := c.Topology.Service(*delivery.DeadLetterSink)
		if err != nil {
			return nil, err
		}
		t.deadLetter = services[dead.Name]
	}
	return t, nil
}

func filter(spec *eventing.Trigger) eventfilter.Filter {
	if f := spec.Spec.Filter; len(spec.Spec.Filters) == 0 && f != nil && len(f.Attributes) > 0 {
		return attributes.NewAttributesFilter(f.Attributes)
	}
	return subscriptionsapi.CreateSubscriptionsAPIFilters(zap.NewNop(), spec.Spec.Filters)
}

func addressable(address string) (duck.Addressable, error) {
	u, err := apis.ParseURL(address)
	return duck.Addressable{URL: u}, err
}

// ingress takes events over HTTP, and answers 202 when they are accepted.
func (b *broker) ingress(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", "POST, OPTIONS")
	switch r.Method {
	case http.MethodOptions: // CloudEvents' web hooks ask for permission first
		w.Header().Set("WebHook-Allowed-Origin", "*")
		w.Header().Set("WebHook-Allowed-Rate", "*")
		return
	case http.MethodPost:
	default:
		http.Error(w, "events are posted", http.StatusMethodNotAllowed)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, largestEvent)
	message := cehttp.NewMessageFromHttpRequest(r)
	defer func() { _ = message.Finish(nil) }()
	e, err := binding.ToEvent(r.Context(), message)
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		http.Error(w, fmt.Sprintf("this is no CloudEvent: %v", err), http.StatusBadRequest)
		return
	}
	if err := b.accept(*e, r.Header); err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// accept takes an event and sees to its deliveries.
func (b *broker) accept(e event.Event, header http.Header) error {
	var matching []*trigger
	for _, t := range b.triggers {
		if b.wants(t, e) {
			matching = append(matching, t)
		}
	}
	b.mu.Lock()
	switch {
	case b.refusing:
		b.mu.Unlock()
		return errStopping
	case b.waiting+len(matching) > mostWaiting:
		b.mu.Unlock()
		return errFull
	}
	b.waiting += len(matching)
	b.deliveries.Add(len(matching))
	b.mu.Unlock()

	b.feed.tell(Notice{Kind: Published, Event: about(e)})
	for _, t := range matching {
		go func() {
			defer b.deliveries.Done()
			b.send(t, e, trace(header))
			b.mu.Lock()
			defer b.mu.Unlock()
			b.waiting--
		}()
	}
	return nil
}

// wants says whether an event passes a Trigger's filter. One that is no question at all (a CESQL expression that yields a
// number) makes Knative's filter panic.
func (b *broker) wants(t *trigger, e event.Event) (wanted bool) {
	defer func() {
		if broken := recover(); broken != nil {
			b.log.Error("a filter is broken: nothing passes it", "trigger", t.name, "error", broken)
		}
	}()
	return t.filter.Filter(b.ctx, e) != eventfilter.FailFilter
}

// trace keeps the headers by which a trace follows an event.
func trace(header http.Header) http.Header {
	kept := http.Header{}
	for _, name := range []string{"Traceparent", "Tracestate"} {
		if value := header.Get(name); value != "" {
			kept.Set(name, value)
		}
	}
	return kept
}

// send delivers an event to the subscriber of a Trigger: with retries, and at last to the dead-letter sink.
func (b *broker) send(t *trigger, e event.Event, header http.Header) {
	select {
	case t.places <- struct{}{}:
	case <-b.ctx.Done():
		return
	}
	defer func() { <-t.places }()
	reply, dead := b.reply, t.dead // copies: the dispatcher writes to them
	options := []kncloudevents.SendOption{kncloudevents.WithHeader(header), kncloudevents.WithReply(&reply)}
	if t.retry != nil {
		options = append(options, kncloudevents.WithRetryConfig(t.retry))
	}
	if t.deadLetter != nil {
		options = append(options, kncloudevents.WithDeadLetterSink(&dead))
	}
	if _, err := b.dispatch.SendEvent(b.ctx, e, t.to, options...); err != nil && b.ctx.Err() == nil {
		b.log.Warn("an event is lost", "trigger", t.name, "type", e.Type(), "id", e.ID(), "error", err)
		b.feed.tell(Notice{Kind: Lost, Function: t.service.name, Event: about(e), Text: err.Error()})
	}
}

// deliver is where the dispatcher sends an event of a Trigger: one attempt.
func (b *broker) deliver(w http.ResponseWriter, r *http.Request) {
	b.attempt(w, r, func(t *trigger) *service { return t.service }, Delivered)
}

// deadLetter is where the dispatcher sends an event that a Trigger's subscriber did not take.
func (b *broker) deadLetter(w http.ResponseWriter, r *http.Request) {
	b.attempt(w, r, func(t *trigger) *service { return t.deadLetter }, Dead)
}

func (b *broker) attempt(w http.ResponseWriter, r *http.Request, to func(*trigger) *service, kind string) {
	i := slices.IndexFunc(b.triggers, func(t *trigger) bool { return t.name == r.PathValue("name") })
	if i < 0 || to(b.triggers[i]) == nil {
		http.Error(w, "there is no such Trigger", http.StatusNotFound)
		return
	}
	t := b.triggers[i]
	if kind == Dead {
		// The dispatcher wrote where it sent the event, which is here; on a cluster it is the function.
		r.Header.Set("Ce-Knativeerrordest", "http://"+t.host)
	}
	began := time.Now()
	r.URL.Path = "/"
	seen := &recorder{ResponseWriter: w}
	to(t).serve(seen, r, onlyEvent)

	n := Notice{Kind: kind, Function: t.service.name, Status: seen.status, Seconds: time.Since(began).Seconds(), Event: fromHeader(r.Header)}
	if seen.status > 299 {
		n.Kind, n.Text = Failed, strings.TrimSpace(string(seen.text))
	}
	b.feed.tell(n)
}

// busy says whether an event is on its way.
func (b *broker) busy() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting > 0
}

// refuse makes the broker take no more events.
func (b *broker) refuse() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusing = true
}

// close gives up what is not delivered: the ledger knows of it.
func (b *broker) close() {
	b.stop()
	b.deliveries.Wait()
	for _, t := range b.triggers {
		t.filter.Cleanup()
	}
}

// recorder remembers what was answered, and the beginning of what was said if it was a failure.
type recorder struct {
	http.ResponseWriter
	status int
	text   []byte
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if left := tailSize - len(r.text); r.status > 299 && left > 0 {
		r.text = append(r.text, b[:min(left, len(b))]...)
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the writer below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// isEvent tells whether headers announce a CloudEvent.
func isEvent(h http.Header) bool {
	return cehttp.NewMessage(h, http.NoBody).ReadEncoding() != binding.EncodingUnknown
}

// fromHeader reads what a notice says of an event out of a delivery's headers: the dispatcher sends binary ones.
func fromHeader(h http.Header) *Event {
	e := &Event{Extensions: map[string]any{}}
	for name, values := range h {
		attribute, ok := strings.CutPrefix(strings.ToLower(name), "ce-")
		if !ok {
			continue
		}
		value, err := url.PathUnescape(values[0])
		if err != nil {
			value = values[0]
		}
		switch attribute {
		case "type":
			e.Type = value
		case "id":
			e.ID = value
		case "subject":
			e.Subject = value
		case "source", "specversion", "time", "dataschema":
		default:
			e.Extensions[attribute] = value
		}
	}
	return e
}
