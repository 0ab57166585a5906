package ingest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// record is what we want to know of an S3 notification.
type record struct {
	Event  string // such as ObjectCreated:Put
	Bucket string
	Key    string // as it is, not escaped
	ETag   string // "" if not told
	Size   int64
	Time   time.Time
}

// created says whether an object was made: put, posted, copied, or completed of parts. An event without a name comes
// from a rule that was made for uploads.
func (r record) created() bool {
	return r.Event == "" || strings.HasPrefix(strings.TrimPrefix(r.Event, "s3:"), "ObjectCreated:") || r.Event == "Object Created"
}

// object is how an object is told of, in any of the shapes.
type object struct {
	Key  string `json:"key"`
	Size int64  `json:"size"`
	ETag string `json:"eTag"` // encoding/json takes "etag" for it as well
}

type bucket struct {
	Name string `json:"name"`
}

// notified is a record of S3's own notifications, AWS's and MinIO's alike. Its key is escaped as in a URL's query.
type notified struct {
	Event string    `json:"eventName"`
	Time  time.Time `json:"eventTime"`
	S3    *struct {
		Bucket bucket `json:"bucket"`
		Object object `json:"object"`
	} `json:"s3"`
}

// parse reads a notification: a list of records, one record by itself (as CloudEvents carry it), or an event of
// EventBridge. A store's test of the way to us has no records, which is no error.
func parse(body []byte) ([]record, error) {
	var n struct {
		Records []notified `json:"Records"`
		Test    string     `json:"Event"` // s3:TestEvent
		notified
		Kind   string    `json:"detail-type"`
		At     time.Time `json:"time"`
		Detail *struct {
			Bucket bucket `json:"bucket"`
			Object object `json:"object"`
		} `json:"detail"`
	}
	if err := json.Unmarshal(body, &n); err != nil {
		return nil, fmt.Errorf("the notification is not what S3 sends: %w", err)
	}
	if n.Detail != nil { // keys of EventBridge are not escaped
		r := record{Event: n.Kind, Bucket: n.Detail.Bucket.Name, Key: n.Detail.Object.Key, Size: n.Detail.Object.Size, Time: n.At}
		r.ETag = strings.Trim(n.Detail.Object.ETag, `"`)
		return []record{r}, r.check()
	}
	list := n.Records
	if n.S3 != nil {
		list = append(list, n.notified)
	}
	if len(list) == 0 && n.Test == "" && n.Records == nil {
		return nil, fmt.Errorf("the notification has no records: %.100q", body)
	}
	var records []record
	for i, each := range list {
		if each.S3 == nil {
			return nil, fmt.Errorf("record %d of the notification tells of no object", i)
		}
		key, err := url.QueryUnescape(each.S3.Object.Key)
		if err != nil {
			return nil, fmt.Errorf("record %d of the notification: key %q is not escaped as S3 does it: %w", i, each.S3.Object.Key, err)
		}
		r := record{Event: each.Event, Bucket: each.S3.Bucket.Name, Key: key, Size: each.S3.Object.Size, Time: each.Time}
		r.ETag = strings.Trim(each.S3.Object.ETag, `"`)
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("record %d of the notification: %w", i, err)
		}
		records = append(records, r)
	}
	return records, nil
}

func (r record) check() error {
	if r.Bucket == "" || r.Key == "" {
		return fmt.Errorf("it names no object: bucket %q, key %q", r.Bucket, r.Key)
	}
	return nil
}
