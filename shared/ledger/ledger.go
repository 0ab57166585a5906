// Package ledger is the protocol by which Vedette loses nothing and doubles no result: the bucket is the ledger, events
// are hints.
//
// All state is objects in one bucket. A result is written once, with a conditional PUT, and that write is its commit:
// whoever comes second finds it there, throws its own away and goes on with the committed one. Side objects (media,
// pictures) are named by their content and written before the result that refers to them. An event may come twice, late,
// out of order or never, and a process may die between any two of the writes below; the same event delivered again then
// finishes the work, because a step that finds its result already there still runs its tail.
//
//	<clip>/clip.json                         who the clip is: ingest
//	<clip>/<run>/plan-<part>.json            its segments, and the findings each requires: split
//	<clip>/<run>/seg/<segment>/<step>.json   what a step found
//	<clip>/<run>/seg/<segment>/analyzed.*    marker: every required finding is there; its ending is active, quiet or failed
//	<clip>/<run>/dead/<segment>/<step>.json  a step that is given up; a result that comes later counts all the same
//	<clip>/<run>/rejected.json, analyzed.json, completed.json   the answers
//	<clip>/side/<sha256>.<ending>            side objects
//	attempts/<clip>/<run>/<segment>/<step>/  an attempt under way, each an object; removed however it ends
//	open/<day>/<clip>-<run>                  work under way
//	done/<clip>-<run>                        work finished; stays when retention takes the rest
//
// # A step
//
// [Run] is the protocol of every step: if the result is there, run the tail. Otherwise count the attempts that were
// opened and never closed: those are what crashes leave, or a duplicate still at work; for one that is fresh the event
// waits a little. With two of them the work runs
// alone in its process, so that an innocent neighbour does not die with it; with three it is given up, unless one of them
// is so young that it may be a duplicate at work. Otherwise open an attempt, make the result, commit it, close the attempt,
// run the tail. No leases, and no decision compares two clocks: times are the store's. What is given up may still be done,
// by a duplicate that was at it all the while: then the result counts, and its tail joins once more.
//
// # A join
//
// [Ledger.Conclude] is the join of a segment: it lists the segment's objects after the commit, so that of two steps that
// finish together at least one sees both. Both may; what they write and send is the same.
//
// # A window
//
// A run begins with its first few segments; each that is analyzed lets in the one a window later. Whoever analyzes
// segment k marks it first and looks into the plan second; whoever plans segment k + window commits the plan first and
// looks for the mark second. So one of the two sends it. A segment that is decoded already is not sent again: without
// that, a single duplicate would grow into more and more of them from window to window.
//
// # An end
//
// The answer is committed, then told, and only then is the run closed: whoever dies in between leaves it open, and
// what is open is looked at again. Closing writes done/ before it removes open/.
package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strconv"
	"strings"
	"time"

	"vedette.dev/shared/findings"
)

// Whole stands for the segment of work that concerns a run as a whole.
const Whole = -1

var (
	// ErrNotExist says that there is no such object.
	ErrNotExist = errors.New("no such object")
	// ErrExists says that a conditional write was lost: the object is there already.
	ErrExists = errors.New("object exists already")
)

// Bucket is what the ledger needs of an object store. Listing must be strongly consistent, Create atomic; package
// ledgertest says precisely what that means.
type Bucket interface {
	Get(ctx context.Context, key string) ([]byte, error)                         // ErrNotExist
	Create(ctx context.Context, key string, body []byte, mediaType string) error // ErrExists if somebody was first
	Put(ctx context.Context, key string, body []byte, mediaType string) error
	// Stream is Put of a body of any size, which is never whole in memory.
	Stream(ctx context.Context, key string, body io.Reader, size int64, mediaType string) error
	Delete(ctx context.Context, key string) error // no error if it is not there
	// List yields the objects under prefix, in the order of their keys, from the first key greater than after.
	List(ctx context.Context, prefix, after string) iter.Seq2[Entry, error]
}

// Entry is an object as a listing shows it.
type Entry struct {
	Key      string
	Size     int64
	ETag     string    // without quotes
	Modified time.Time // by the store's clock; may be cut to seconds
}

// Source is an object to read from, by ranges.
type Source interface {
	io.ReaderAt
	io.Closer
	Size() int64 // bytes
}

// Ledger reads and writes the state of clips.
type Ledger struct {
	bucket Bucket
	plans  plans
}

// New makes a ledger of a bucket.
func New(b Bucket) *Ledger { return &Ledger{bucket: b} }

// Work addresses what one step does to one segment (or, with Whole, to a run).
type Work struct {
	Clip    string
	Run     int
	Segment int
	Step    string
}

func (w Work) String() string {
	if w.Segment == Whole {
		return fmt.Sprintf("%s of clip %s, run %d", w.Step, w.Clip, w.Run)
	}
	return fmt.Sprintf("%s of segment %d of clip %s, run %d", w.Step, w.Segment, w.Clip, w.Run)
}

// Key is where the work's result stands.
func (w Work) Key() string {
	if w.Segment == Whole {
		return runKey(w.Clip, w.Run, w.Step+".json")
	}
	return segmentKey(w.Clip, w.Run, w.Segment, w.Step+".json")
}

func (w Work) deadKey() string {
	return runKey(w.Clip, w.Run, "dead", index(w.Segment), w.Step+".json")
}

func (w Work) attempts() string {
	return attemptsOf(w.Clip, w.Run) + index(w.Segment) + "/" + w.Step + "/"
}

func attemptsOf(clip string, run int) string {
	return path.Join("attempts", clip, strconv.Itoa(run)) + "/"
}

func runKey(clip string, run int, name ...string) string {
	return path.Join(append([]string{clip, strconv.Itoa(run)}, name...)...)
}

func segmentKey(clip string, run, segment int, name string) string {
	return runKey(clip, run, segments, index(segment), name)
}

const segments = "seg"

func index(segment int) string {
	if segment == Whole {
		return "whole"
	}
	return fmt.Sprintf("%05d", segment)
}

// ClipID is the id of a clip: a hash of bucket, key and ETag, so that the same bytes at the same place are the same clip.
func ClipID(bucket, key, etag string) string {
	h := sha256.New()
	for _, s := range []string{bucket, key, strings.Trim(etag, `"`)} {
		fmt.Fprintf(h, "%d:%s", len(s), s) // with lengths, so that no two triples run into each other
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Clip is who a clip is: written once by ingest.
type Clip struct {
	ID     string          `json:"id"`
	Origin findings.Origin `json:"origin"`
	Day    string          `json:"day"` // of the marker under open/, as whoever came first had it
}

// Read reads the document at key into doc.
func (l *Ledger) Read(ctx context.Context, key string, doc any) error {
	b, err := l.bucket.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("read %s from the ledger: %w", key, err)
	}
	if err := json.Unmarshal(b, doc); err != nil {
		return fmt.Errorf("%s in the ledger is not what it should be: %w", key, err)
	}
	return nil
}

// Commit writes doc at key unless something is there already, and returns what the ledger then holds, whoever wrote it.
func Commit[T any](ctx context.Context, l *Ledger, key string, doc T) (T, error) {
	var held T
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return held, fmt.Errorf("commit %s: %w", key, err)
	}
	switch err := l.bucket.Create(ctx, key, b, "application/json"); {
	case err == nil:
		// The winner goes on with what a later reader would see, not with what it had in mind.
		if err := json.Unmarshal(b, &held); err != nil {
			return held, fmt.Errorf("commit %s: it cannot be read back: %w", key, err)
		}
		return held, nil
	case errors.Is(err, ErrExists):
		return held, l.Read(ctx, key, &held)
	default:
		return held, fmt.Errorf("commit %s: %w", key, err)
	}
}

// Side stores a side object of a clip under the name of its content.
func (l *Ledger) Side(ctx context.Context, clip, ending, mediaType string, body []byte) (findings.Ref, error) {
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	key := path.Join(clip, "side", digest+"."+ending)
	// Whoever was first wrote the same bytes.
	if err := l.bucket.Create(ctx, key, body, mediaType); err != nil && !errors.Is(err, ErrExists) {
		return findings.Ref{}, fmt.Errorf("store side object %s: %w", key, err)
	}
	return findings.Ref{Key: key, Size: int64(len(body)), SHA256: digest, Type: mediaType}, nil
}

// SideStream stores a side object of any size, which is read twice and never whole in memory.
func (l *Ledger) SideStream(ctx context.Context, clip, ending, mediaType string, body io.ReadSeeker) (findings.Ref, error) {
	h := sha256.New()
	size, err := io.Copy(h, body)
	if err == nil {
		_, err = body.Seek(0, io.SeekStart)
	}
	if err != nil {
		return findings.Ref{}, fmt.Errorf("read a side object of clip %s: %w", clip, err)
	}
	digest := hex.EncodeToString(h.Sum(nil))
	key := path.Join(clip, "side", digest+"."+ending)
	// In parts there is no condition, and none is needed: whoever was first wrote the same bytes.
	if err := l.bucket.Stream(ctx, key, body, size, mediaType); err != nil {
		return findings.Ref{}, fmt.Errorf("store side object %s: %w", key, err)
	}
	return findings.Ref{Key: key, Size: size, SHA256: digest, Type: mediaType}, nil
}

// Place writes something that is no result but is made from results, so that whoever writes it writes the same.
func (l *Ledger) Place(ctx context.Context, key, mediaType string, body []byte) error {
	if err := l.bucket.Put(ctx, key, body, mediaType); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// Fetch reads a side object whole.
func (l *Ledger) Fetch(ctx context.Context, r findings.Ref) ([]byte, error) {
	b, err := l.bucket.Get(ctx, r.Key)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", r.Key, err)
	}
	return b, nil
}
