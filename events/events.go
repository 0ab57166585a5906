// Package events is the contract of Vedette: the CloudEvents that its functions exchange.
//
// An event is a past-tense fact and a hint: all state is in the ledger, so an event may come twice, late, out of order
// or never, and its receiver looks into the ledger before it believes anything. Events stay small, carry references
// instead of media, and carry no names of people. The id of an event is made from what it says, so that the same fact
// sent twice is the same event.
//
// What an alert or a Trigger filters on is a CloudEvents extension attribute as well as data: clip, run, segment,
// camera, active, staged, step, status.
package events

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// The types of events, in the order in which a clip meets them.
const (
	ClipUploaded    = "dev.vedette.clip.v1.uploaded"
	ClipRejected    = "dev.vedette.clip.v1.rejected"
	PlanContinued   = "dev.vedette.plan.v1.continued"
	SegmentCut      = "dev.vedette.segment.v1.cut"
	SegmentDecoded  = "dev.vedette.segment.v1.decoded"
	ObjectsDetected = "dev.vedette.objects.v1.detected"
	SegmentAnalyzed = "dev.vedette.segment.v1.analyzed"
	SegmentTracked  = "dev.vedette.segment.v1.tracked"
	SegmentEncoded  = "dev.vedette.segment.v1.encoded"
	StepAbandoned   = "dev.vedette.step.v1.abandoned"
	ClipAnalyzed    = "dev.vedette.clip.v1.analyzed"
	ClipCompleted   = "dev.vedette.clip.v1.completed"
	ProxyRequested  = "dev.vedette.proxy.v1.requested"
	ProxyEncoded    = "dev.vedette.proxy.v1.encoded"
	ProxyCompleted  = "dev.vedette.proxy.v1.completed"
	ClockTicked     = "dev.vedette.clock.v1.ticked"
)

// OfRun addresses one run of one clip; every event's data begins with it.
type OfRun struct {
	Clip   string `json:"clip"`             // id of the clip: 32 hexadecimal digits
	Run    int    `json:"run"`              // 1 for the first, more for replays
	Camera string `json:"camera,omitempty"` // as ingest found it
}

// OfSegment addresses one segment of a run.
type OfSegment struct {
	OfRun
	Segment int `json:"segment"` // counted from 0
}

// Uploaded is the data of ClipUploaded.
type Uploaded struct {
	OfRun
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
}

// Rejected is the data of ClipRejected: the clip cannot be processed, and that is its answer.
type Rejected struct {
	OfRun
	Reason string `json:"reason"` // one of few stable words, such as "truncated"
	Hint   string `json:"hint"`   // what its owner can do
}

// Continued is the data of PlanContinued: split hands itself the next part of a plan.
type Continued struct {
	OfRun
	Part int `json:"part"` // the part to be made next
}

// Cut is the data of SegmentCut.
type Cut struct {
	OfSegment
	StartUS int64 `json:"start_us"` // µs after the clip's first frame
	EndUS   int64 `json:"end_us"`
}

// Decoded is the data of SegmentDecoded.
type Decoded struct {
	OfSegment
	Active bool `json:"active"` // something moved
	Frames int  `json:"frames"` // sampled and staged; 0 if nobody needs to look
}

// Detected is the data of ObjectsDetected.
type Detected struct {
	OfSegment
	Active  bool `json:"active"`
	Persons int  `json:"persons"` // tracks of persons in this segment
	Faces   int  `json:"faces"`   // tracks with a face
}

// Analyzed is the data of SegmentAnalyzed: every finding the segment requires is in the ledger (or given up: Failed).
type Analyzed struct {
	OfSegment
	Active bool `json:"active"`
	Failed bool `json:"failed,omitempty"`
}

// Tracked is the data of SegmentTracked: the segment's tracks have their numbers in the clip.
type Tracked struct {
	OfSegment
	Active bool `json:"active"`
}

// Encoded is the data of SegmentEncoded.
type Encoded struct {
	OfSegment
}

// Abandoned is the data of StepAbandoned: a step of a segment (or of a whole run: Segment is -1) is given up.
type Abandoned struct {
	OfSegment
	Step   string `json:"step"`
	Reason string `json:"reason"`
}

// Reported is the data of ClipAnalyzed and ClipCompleted.
type Reported struct {
	OfRun
	Status  string `json:"status"` // analyzed, completed or failed
	Report  string `json:"report"` // key of the report in the ledger
	Persons int    `json:"persons"`
	Faces   int    `json:"faces"`
}

// Requested is the data of ProxyRequested: somebody wants the whole clip in a form that browsers play, and it is this
// segment's turn to be encoded. Whoever wants it asks with the first, 0.
type Requested struct {
	OfSegment
}

// Proxied is the data of ProxyEncoded, when all segments are encoded, and of ProxyCompleted, when they are joined.
type Proxied struct {
	OfRun
	Video string `json:"video,omitempty"` // key of the MP4 in the ledger
}

// Source names a function as the source of its events.
func Source(function string) string { return "/vedette/" + function }

// build makes an event about a run; its id is the run's address and what it says of it.
func build(typ, function string, r OfRun, what string, data any, extensions map[string]any) event.Event {
	e := event.New()
	e.SetType(typ)
	e.SetSource(Source(function))
	e.SetID(fmt.Sprintf("%s/%d/%s", r.Clip, r.Run, what))
	e.SetSubject(r.Clip)
	e.SetTime(time.Now())
	e.SetExtension("clip", r.Clip)
	e.SetExtension("run", r.Run)
	if r.Camera != "" {
		e.SetExtension("camera", r.Camera)
	}
	for k, v := range extensions {
		e.SetExtension(k, v)
	}
	if err := e.SetData("application/json", data); err != nil {
		panic(fmt.Sprintf("events: data of %s does not encode: %v", typ, err)) // only structs of this package come here
	}
	return e
}

// short cuts what others have written to what an event has room for.
func short(s string) string {
	const most = 2000
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func word(b bool) string { return map[bool]string{true: "true", false: "false"}[b] }

func (s OfSegment) what(step string) string { return fmt.Sprintf("%d/%s", s.Segment, step) }

// Event makes the event that says d.
func (d Uploaded) Event(function string) event.Event {
	return build(ClipUploaded, function, d.OfRun, "uploaded", d, nil)
}

// Event makes the event that says d.
func (d Rejected) Event(function string) event.Event {
	d.Hint = short(d.Hint)
	return build(ClipRejected, function, d.OfRun, "rejected", d, map[string]any{"reason": d.Reason})
}

// Event makes the event that says d.
func (d Continued) Event(function string) event.Event {
	return build(PlanContinued, function, d.OfRun, fmt.Sprintf("plan/%d", d.Part), d, nil)
}

// Event makes the event that says d.
func (d Cut) Event(function string) event.Event {
	return build(SegmentCut, function, d.OfRun, d.what("cut"), d, map[string]any{"segment": d.Segment})
}

// Event makes the event that says d.
func (d Decoded) Event(function string) event.Event {
	return build(SegmentDecoded, function, d.OfRun, d.what("decoded"), d,
		map[string]any{"segment": d.Segment, "active": word(d.Active), "staged": word(d.Frames > 0)})
}

// Event makes the event that says d.
func (d Detected) Event(function string) event.Event {
	return build(ObjectsDetected, function, d.OfRun, d.what("detected"), d,
		map[string]any{"segment": d.Segment, "active": word(d.Active), "persons": d.Persons, "faces": d.Faces})
}

// Event makes the event that says d.
func (d Analyzed) Event(function string) event.Event {
	return build(SegmentAnalyzed, function, d.OfRun, d.what("analyzed"), d,
		map[string]any{"segment": d.Segment, "active": word(d.Active)})
}

// Event makes the event that says d.
func (d Tracked) Event(function string) event.Event {
	return build(SegmentTracked, function, d.OfRun, d.what("tracked"), d,
		map[string]any{"segment": d.Segment, "active": word(d.Active)})
}

// Event makes the event that says d.
func (d Encoded) Event(function string) event.Event {
	return build(SegmentEncoded, function, d.OfRun, d.what("encoded"), d, map[string]any{"segment": d.Segment})
}

// Event makes the event that says d.
func (d Abandoned) Event(function string) event.Event {
	d.Reason = short(d.Reason)
	return build(StepAbandoned, function, d.OfRun, d.what("abandoned/"+d.Step), d,
		map[string]any{"segment": d.Segment, "step": d.Step})
}

// Analyzed makes the event that says the report is there.
func (d Reported) Analyzed(function string) event.Event {
	return build(ClipAnalyzed, function, d.OfRun, "analyzed", d, map[string]any{"status": d.Status, "persons": d.Persons})
}

// Completed makes the event that says that nothing more comes.
func (d Reported) Completed(function string) event.Event {
	return build(ClipCompleted, function, d.OfRun, "completed", d, map[string]any{"status": d.Status, "persons": d.Persons})
}

// Event makes the event that says d.
func (d Requested) Event(function string) event.Event {
	return build(ProxyRequested, function, d.OfRun, d.what("proxy/requested"), d, map[string]any{"segment": d.Segment})
}

// Encoded makes the event that says that all segments are encoded.
func (d Proxied) Encoded(function string) event.Event {
	return build(ProxyEncoded, function, d.OfRun, "proxy/encoded", d, nil)
}

// Completed makes the event that says that the proxy is there.
func (d Proxied) Completed(function string) event.Event {
	return build(ProxyCompleted, function, d.OfRun, "proxy/completed", d, nil)
}

// Ticked makes the event by which a clock (a PingSource, the local runtime) wakes reconcile.
func Ticked(source string, at time.Time) event.Event {
	e := event.New()
	e.SetType(ClockTicked)
	e.SetSource(source)
	e.SetID(at.UTC().Format(time.RFC3339Nano))
	e.SetTime(at)
	return e
}

// Restarted is a tick by a broker that begins anew, without the events that it held when it ended: whatever is unfinished
// has lost them, and is sent again at once instead of when it is overdue.
func Restarted(source string, at time.Time) event.Event {
	e := Ticked(source, at)
	e.SetExtension("lost", "true")
	return e
}

// Stored tells of an object as S3's own notifications do.
type Stored struct {
	Bucket string
	Key    string
	ETag   string
	Size   int64
	At     time.Time
}

// ObjectCreated is the prefix of the types of S3's notifications of uploads, which are not ours.
const ObjectCreated = "com.amazonaws.s3.ObjectCreated:"

// Event makes the event that says d.
func (d Stored) Event(function string) event.Event {
	e := event.New()
	e.SetType(ObjectCreated + "Put")
	e.SetSource(Source(function))
	e.SetID(fmt.Sprintf("%s/%s/%s", d.Bucket, d.Key, d.ETag))
	e.SetSubject(d.Key)
	e.SetTime(d.At)
	record := map[string]any{
		"eventSource": "aws:s3",
		"eventTime":   d.At.UTC().Format(time.RFC3339Nano),
		"eventName":   "ObjectCreated:Put",
		"s3": map[string]any{
			"bucket": map[string]any{"name": d.Bucket},
			"object": map[string]any{"key": url.QueryEscape(d.Key), "size": d.Size, "eTag": d.ETag},
		},
	}
	if err := e.SetData("application/json", map[string]any{"Records": []any{record}}); err != nil {
		panic(fmt.Sprintf("events: a record of S3 does not encode: %v", err)) // strings and numbers do
	}
	return e
}
