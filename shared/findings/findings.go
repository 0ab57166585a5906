// Package findings holds the documents in which the steps say what they found: what decode, detect, assemble and encode
// commit for a segment, and the report of a clip.
//
// Times are microseconds after the clip's first frame, in fields that end in US; the report, which people read, has
// seconds. Boxes are fractions of the displayed picture. Everything here is plain data: it is written once, as JSON, and
// says by its Made how it came to be.
package findings

import (
	"time"

	"vedette.dev/shared/vision"
	"vedette.dev/shared/vision/track"
)

// The steps that leave a document in the ledger. A step is named like the function that runs it.
const (
	Split    = "split"
	Decode   = "decode"
	Detect   = "detect"
	Encode   = "encode"
	Assemble = "assemble"
	Tracks   = "tracks" // assemble's document of one segment
	Proxy    = "proxy"  // encode's document of one segment, and assemble's of a run: made only when asked for
)

// Made says how a result came to be.
type Made struct {
	Version    string         `json:"version"`              // of the step's algorithm; changes when its findings can
	Models     []Model        `json:"models,omitempty"`     // what it inferred with
	Parameters map[string]any `json:"parameters,omitempty"` // thresholds and rates that were in force
	CPUSeconds float64        `json:"cpu_seconds"`
	Seconds    float64        `json:"wall_seconds"`
}

// Model is a set of weights.
type Model struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// Ref points at an object of the ledger.
type Ref struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Type   string `json:"type"` // media type
}

// Decoded is what decode says of a segment.
type Decoded struct {
	Made         Made      `json:"made"`
	Active       bool      `json:"active"`                 // something moved
	Stretches    []Stretch `json:"stretches,omitempty"`    // when, with a second around it
	Rule         string    `json:"rule"`                   // which rule of the gate decided: "packets", "pictures", ...
	Score        float64   `json:"score"`                  // how much moved, by that rule; 1 is the threshold
	Width        int       `json:"width"`                  // of the displayed picture, before any scaling, in pixels
	Height       int       `json:"height"`                 //
	Frames       []int64   `json:"frames,omitempty"`       // time of each staged frame, in order, µs
	StagedWidth  int       `json:"staged_width,omitempty"` // of the staged frames, px
	StagedHeight int       `json:"staged_height,omitempty"`
	Staged       *Ref      `json:"staged,omitempty"` // Matroska of JPEGs, one for each of Frames; gone when the clip is completed
	Broken       int       `json:"broken,omitempty"` // frames that could not be decoded
}

// Stretch is a time within a segment in which something moved.
type Stretch struct {
	StartUS int64 `json:"start_us"`
	EndUS   int64 `json:"end_us"`
}

// Objects is what detect says of a segment.
type Objects struct {
	Made   Made     `json:"made"`
	Tracks []Track  `json:"tracks"`
	End    Trackers `json:"end"` // by which assemble goes on
}

// Trackers are the states of the trackers after a segment: who may go on into the next.
type Trackers struct {
	Persons track.State `json:"persons"`
	Faces   track.State `json:"faces"` // of those without a body
}

// The kinds of objects.
const (
	Person = "person"
	FaceOf = "face" // only where no body belongs to it
)

// Track is one object over the time of one segment. Its ID is one of the segment's alone, whatever the object: Trackers use
// the same. It may be unconfirmed: what is seen once at a segment's edge may be confirmed by the next.
type Track struct {
	ID     int           `json:"id"`
	Object string        `json:"object"`
	Hits   int           `json:"hits"` // observations with a high score
	Peak   float64       `json:"peak"` // best score
	Points []Observation `json:"points"`
	Face   *Face         `json:"face,omitempty"` // the best one seen
	Crop   *Ref          `json:"crop,omitempty"` // JPEG of the object at its best
}

// Observation is an object at a time.
type Observation struct {
	US    int64       `json:"us"`
	Box   vision.Box  `json:"box"`
	Score float64     `json:"score"`
	Face  *vision.Box `json:"face,omitempty"` // its face, if seen at that time
}

// Face is the best face of a track.
type Face struct {
	US        int64           `json:"us"`
	Box       vision.Box      `json:"box"`
	Width     int             `json:"width"` // px of the displayed picture
	Score     float64         `json:"score"`
	Landmarks [5]vision.Point `json:"landmarks"` // right eye, left eye, nose, right and left mouth corner as seen; fractions
	Quality   float64         `json:"quality"`   // by which it is the best
	Verified  bool            `json:"verified"`  // whether it may go on to recognition and mask
	Crop      *Ref            `json:"crop,omitempty"`
}

// Numbered is what assemble says of a segment: which number each of its tracks has in the clip. Numbers count from 1; a
// track that is not confirmed yet has a negative one, and if it comes to nothing keeps it.
type Numbered struct {
	Made      Made        `json:"made"`
	Numbers   map[int]int `json:"numbers"`             // track ID in the segment → number in the clip
	Confirmed map[int]int `json:"confirmed,omitempty"` // negative number → the one it has from now on
	Highest   int         `json:"highest"`             // number given so far
	Lowest    int         `json:"lowest"`              // negative number given so far
	End       Trackers    `json:"end"`                 // with numbers of the clip
	Carried   []Carried   `json:"carried,omitempty"`   // who is taken to stand still to the segment's end
}

// Carried is a track of the clip that is not seen in a segment but is taken to be there, since nothing moved.
type Carried struct {
	Number int        `json:"number"`
	Object string     `json:"object"`
	Box    vision.Box `json:"box"`
}

// Encoded is what encode says of an active segment.
type Encoded struct {
	Made   Made    `json:"made"`
	Videos []Video `json:"videos"` // of its active stretches, in order
	Width  int     `json:"width"`
	Height int     `json:"height"`
	Poster *Ref    `json:"poster,omitempty"` // JPEG: a telling frame of it, drawn on
}

// Video is an encoded stretch.
type Video struct {
	Stretch
	Media Ref `json:"media"` // MP4, H.264 and AAC
}

// Proxied is what assemble says of the proxy of a run: the whole clip as H.264, with nothing drawn on it.
type Proxied struct {
	Made  Made `json:"made"`
	Video Ref  `json:"video"`
}

// What may become of a clip.
const (
	StatusAnalyzed  = "analyzed"  // the findings are there, the video is not yet
	StatusCompleted = "completed" // all is there
	StatusRejected  = "rejected"  // the clip cannot be processed: bad input is an answer
	StatusFailed    = "failed"    // a step was given up; what the others found is there
)

// Report is the answer to a clip.
type Report struct {
	Schema   string             `json:"schema"` // SchemaReport
	Clip     string             `json:"clip"`
	Run      int                `json:"run"`
	Status   string             `json:"status"`
	Reason   string             `json:"reason,omitempty"`
	Hint     string             `json:"hint,omitempty"`
	Source   Origin             `json:"source"`
	Duration float64            `json:"duration"` // seconds
	Width    int                `json:"width,omitempty"`
	Height   int                `json:"height,omitempty"`
	Segments []ReportedSegment  `json:"segments"`
	Tracks   []ReportedTrack    `json:"tracks"`
	Media    *Media             `json:"media,omitempty"`
	Models   []Model            `json:"models,omitempty"`
	Steps    map[string]Expense `json:"steps"`
}

// SchemaReport names the schema of Report.
const SchemaReport = "https://vedette.dev/schemas/report.v1.json"

// Origin says where a clip came from and when its first frame was taken.
type Origin struct {
	Bucket   string    `json:"bucket"`
	Key      string    `json:"key"`
	ETag     string    `json:"etag"`
	Size     int64     `json:"size"`
	Camera   string    `json:"camera,omitempty"`
	Captured time.Time `json:"captured"` // time of the first frame
	By       string    `json:"by"`       // how that is known: metadata, key, container or upload
	SureS    float64   `json:"sure"`     // ± seconds by which it may be off
}

// ReportedSegment is a segment as the report tells it.
type ReportedSegment struct {
	Start  float64      `json:"start"` // seconds
	End    float64      `json:"end"`
	Active bool         `json:"active"`
	Motion [][2]float64 `json:"motion,omitempty"` // when something moved, from and to
	Failed string       `json:"failed,omitempty"` // the step that was given up
}

// ReportedTrack is a track of the clip.
type ReportedTrack struct {
	ID     int           `json:"id"`
	Object string        `json:"object"`
	Start  float64       `json:"start"` // seconds
	End    float64       `json:"end"`
	Face   *ReportedFace `json:"face"` // null where none was seen
	Crop   string        `json:"crop,omitempty"`
}

// ReportedFace is the best face of a track of the clip.
type ReportedFace struct {
	Width int     `json:"width"` // px
	Score float64 `json:"score"`
	Crop  string  `json:"crop,omitempty"`
}

// Media says what there is to look at: keys of the ledger.
type Media struct {
	Annotated  string   `json:"annotated,omitempty"`  // MP4 of the active spans
	Original   string   `json:"original,omitempty"`   // HLS playlist
	Findings   string   `json:"findings,omitempty"`   // timed findings
	Thumbnails []string `json:"thumbnails,omitempty"` // JPEG
	Note       string   `json:"note,omitempty"`       // what is missing, and why
	Spans      []Span   `json:"spans,omitempty"`      // of the annotated video
}

// Span maps time of the annotated video to time of the clip; seconds.
type Span struct {
	At    float64 `json:"at"` // in the video
	Start float64 `json:"start"`
	End   float64 `json:"end"`
}

// Expense is what a step cost over the whole clip.
type Expense struct {
	Runs       int     `json:"runs"`
	CPUSeconds float64 `json:"cpu_seconds"`
	Seconds    float64 `json:"wall_seconds"`
}
