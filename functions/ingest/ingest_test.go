package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"vedette.dev/events"
	"vedette.dev/shared/function"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/ledger/ledgertest"
	"vedette.dev/shared/store"
)

var uploaded = time.Date(2026, 11, 22, 10, 20, 30, 0, time.UTC)

// shelf holds objects by bucket/key.
type shelf map[string]store.Info

func (s shelf) Stat(_ context.Context, bucket, key string) (store.Info, error) {
	i, ok := s[bucket+"/"+key]
	if !ok {
		return i, ledger.ErrNotExist
	}
	return i, nil
}

type outbox struct {
	sent []events.Uploaded
	err  error
}

func (o *outbox) Emit(_ context.Context, e event.Event) error {
	if o.err != nil {
		return o.err
	}
	var d events.Uploaded
	if err := e.DataAs(&d); err != nil {
		return err
	}
	o.sent = append(o.sent, d)
	return nil
}

func newFunction(objects shelf) (*Function, *outbox, *ledgertest.Bucket) {
	out, bucket := &outbox{}, ledgertest.New()
	return &Function{
		Bucket: "clips", Ledger: ledger.New(bucket), Objects: objects, Out: out,
		Log: slog.New(slog.DiscardHandler),
	}, out, bucket
}

var object1 = store.Info{Entry: ledger.Entry{Size: 7, ETag: "e1", Modified: uploaded}}

const aws = `{"Records":[{"eventVersion":"2.2","eventSource":"aws:s3","awsRegion":"eu-central-1","eventTime":"2026-11-22T10:20:30.000Z",
"eventName":"ObjectCreated:Put","userIdentity":{"principalId":"A"},"responseElements":{"x":"y"},"s3":{"s3SchemaVersion":"1.0",
"bucket":{"name":"clips","arn":"arn:aws:s3:::clips"},"object":{"key":"front+door/a%2Bb.mp4","size":7,"eTag":"e1","sequencer":"0A"}},"new":{"field":1}}]}`

const minio = `{"EventName":"s3:ObjectCreated:CompleteMultipartUpload","Key":"clips/front%20door/a%2Bb.mp4","Records":[{"eventSource":"minio:s3",
"eventTime":"2026-11-22T10:20:30.000Z","eventName":"s3:ObjectCreated:CompleteMultipartUpload","s3":{"bucket":{"name":"clips"},
"object":{"key":"front%20door%2Fa%2Bb.mp4","size":7,"eTag":"e1","contentType":"video/mp4"}},"source":{"host":"127.0.0.1"}}]}`

const eventBridge = `{"detail-type":"Object Created","time":"2026-11-22T10:20:30Z","detail":{"bucket":{"name":"clips"},
"object":{"key":"front door/a+b.mp4","size":7,"etag":"e1"}}}`

func TestShapes(t *testing.T) {
	single := strings.TrimSuffix(strings.TrimPrefix(aws, `{"Records":[`), `]}`)
	for name, body := range map[string]string{"AWS": aws, "MinIO": minio, "one record": single, "EventBridge": eventBridge} {
		t.Run(name, func(t *testing.T) {
			f, out, bucket := newFunction(shelf{"clips/front door/a+b.mp4": object1})
			e := event.New()
			e.SetType("com.amazonaws.s3.ObjectCreated:Put")
			if err := e.SetData("application/json", []byte(body)); err != nil {
				t.Fatal(err)
			}
			for range 2 { // twice delivered is one clip
				if err := f.Handle(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			id := ledger.ClipID("clips", "front door/a+b.mp4", "e1")
			want := events.Uploaded{OfRun: events.OfRun{Clip: id, Run: 1, Camera: "front door"}, Bucket: "clips", Key: "front door/a+b.mp4"}
			if diff := cmp.Diff([]events.Uploaded{want, want}, out.sent); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
			if open := bucket.Keys("open/"); len(open) != 1 || open[0] != "open/2026-11-22/"+id+"-1" {
				t.Errorf("open markers %v", open)
			}
		})
	}
}

func notice(event, bucket, key, etag string) string {
	return fmt.Sprintf(`{"Records":[{"eventName":%q,"eventTime":"2026-11-22T10:20:30Z","s3":{"bucket":{"name":%q},"object":{"key":%q,"eTag":%q}}}]}`,
		event, bucket, key, etag)
}

func TestAdmission(t *testing.T) {
	for _, test := range []struct {
		name, body string
		want       int
	}{
		{"uploaded", notice("ObjectCreated:Put", "clips", "a.mp4", "e1"), 1},
		{"copied", notice("s3:ObjectCreated:Copy", "clips", "a.mp4", "e1"), 1},
		{"without an ETag", notice("ObjectCreated:Put", "clips", "a.mp4", ""), 1},
		{"overwritten meanwhile, which split says", notice("ObjectCreated:Put", "clips", "a.mp4", "e0"), 1},
		{"deleted meanwhile, which split says", notice("ObjectCreated:Put", "clips", "gone.mp4", "e1"), 1},
		{"deleted before anybody knew which", notice("ObjectCreated:Put", "clips", "gone.mp4", ""), 0},
		{"a deletion", notice("ObjectRemoved:Delete", "clips", "a.mp4", ""), 0},
		{"another bucket", notice("ObjectCreated:Put", "ledger", "a.mp4", "e1"), 0},
		{"a folder", notice("ObjectCreated:Put", "clips", "a/", "e1"), 0},
		{"the store's own test", `{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"clips"}`, 0},
		{"no records", `{"Records":[]}`, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, out, _ := newFunction(shelf{"clips/a.mp4": object1})
			if err := f.take(t.Context(), []byte(test.body)); err != nil {
				t.Fatal(err)
			}
			if len(out.sent) != test.want {
				t.Errorf("sent %v, want %d", out.sent, test.want)
			}
		})
	}
}

func TestNonsense(t *testing.T) {
	for _, body := range []string{``, `[]`, `{}`, `{"Records":[{}]}`, `{"Records":[{"s3":{"bucket":{"name":"clips"},"object":{"key":"%zz"}}}]}`,
		notice("ObjectCreated:Put", "", "a.mp4", ""), `{"detail":{}}`} {
		f, _, _ := newFunction(nil)
		if err := f.take(t.Context(), []byte(body)); function.Status(err) != http.StatusUnprocessableEntity || function.HintOf(err) == "" {
			t.Errorf("%s: %v, want a permanent error with a hint", body, err)
		}
	}
}

func TestWebhookAsksAgain(t *testing.T) {
	f, out, _ := newFunction(shelf{"clips/a.mp4": object1})
	call := func(available error) (int, error) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(notice("ObjectCreated:Put", "clips", "a.mp4", "e1")))
		err := f.Webhook(func(context.Context) error { return available })(w, r)
		if w.Body.Len() > 0 {
			t.Errorf("answered %q, want nothing", w.Body)
		}
		return w.Code, err
	}
	if _, err := call(function.Unavailable(errors.New("no broker"))); function.Status(err) != http.StatusServiceUnavailable {
		t.Errorf("without a broker: %v", err)
	}
	out.err = function.Unavailable(errors.New("the broker is away"))
	if _, err := call(nil); function.Status(err) != http.StatusServiceUnavailable {
		t.Errorf("with a broker that fails: %v", err)
	}
	out.err = nil
	if code, err := call(nil); code != http.StatusNoContent || err != nil || len(out.sent) != 1 {
		t.Errorf("%d, %v, sent %v", code, err, out.sent)
	}
}

func TestFinishedClipStaysFinished(t *testing.T) {
	f, out, bucket := newFunction(shelf{"clips/a.mp4": object1})
	clip, err := f.Ledger.Admit(t.Context(), ledger.Clip{ID: ledger.ClipID("clips", "a.mp4", "e1"), Day: "2026-11-21"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Ledger.Close(t.Context(), clip, 1); err != nil {
		t.Fatal(err)
	}
	if err := f.take(t.Context(), []byte(notice("ObjectCreated:Put", "clips", "a.mp4", "e1"))); err != nil {
		t.Fatal(err)
	}
	if open := bucket.Keys("open/"); len(out.sent) > 0 || len(open) > 0 {
		t.Errorf("sent %v, opened %v", out.sent, open)
	}
	if err := f.Ledger.Erase(t.Context(), clip.ID); err != nil {
		t.Fatal(err)
	}
	if err := f.take(t.Context(), []byte(notice("ObjectCreated:Put", "clips", "a.mp4", "e1"))); err != nil {
		t.Fatal(err)
	}
	if left := bucket.Keys(clip.ID); len(left) > 0 {
		t.Errorf("written again after it was erased: %v", left)
	}
}

func TestWhence(t *testing.T) {
	at := func(s string) time.Time {
		parsed, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for _, test := range []struct {
		key      string
		metadata map[string]string
		want     capture
	}{
		{"a.mp4", nil, capture{"", uploaded, "upload", sureOfUpload}},
		{"door/a.mp4", nil, capture{"door", uploaded, "upload", sureOfUpload}},
		{"site/door/a.mp4", nil, capture{"site/door", uploaded, "upload", sureOfUpload}},
		{"door/2026-11-22T08:00:00Z.mp4", nil, capture{"door", at("2026-11-22T08:00:00Z"), "key", surelyNamed}},
		{"door/2026-11-22T08-00-00.25+0200_1.mp4", nil, capture{"door", at("2026-11-22T08:00:00.25+02:00"), "key", surelyNamed}},
		{"door/2026-11-22T08-00-00-05-00.mp4", nil, capture{"door", at("2026-11-22T08:00:00-05:00"), "key", surelyNamed}},
		{"door/2026/11/22/20261122_080000.mp4", nil, capture{"door", at("2026-11-22T08:00:00Z"), "key", sureOfDay}},
		{"2026-11-22/door-20261122T080000Z.mp4", nil, capture{"", at("2026-11-22T08:00:00Z"), "key", surelyNamed}},
		{"door/2026-13-42T08:00:00Z.mp4", nil, capture{"door", uploaded, "upload", sureOfUpload}},
		{"x/2026-11-22T08:00:00Z.mp4", map[string]string{"camera": "gate", "captured": "2026-01-02T03:04:05Z"},
			capture{"gate", at("2026-01-02T03:04:05Z"), "metadata", surelyTold}},
		{"x/2026-11-22T08:00:00Z.mp4", map[string]string{"captured": "yesterday"},
			capture{"x", at("2026-11-22T08:00:00Z"), "key", surelyNamed}},
	} {
		got := whence(test.key, test.metadata, uploaded)
		if !got.at.Equal(test.want.at) {
			t.Errorf("%s: taken at %v, want %v", test.key, got.at, test.want.at)
		}
		got.at = test.want.at
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(capture{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.key, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{aws, minio, eventBridge, `{}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		records, err := parse(body)
		if err != nil {
			return
		}
		for _, r := range records {
			if r.Bucket == "" || r.Key == "" {
				t.Errorf("%q: a record of nothing: %+v", body, r)
			}
		}
	})
}
