package ingest

import (
	"path"
	"regexp"
	"strings"
	"time"
)

// capture is which camera took a clip, and when; by says how that is known, and sure by how much it may be off.
type capture struct {
	camera string
	at     time.Time
	by     string
	sure   time.Duration
}

// How sure a time is, by where it is from.
const (
	surelyTold   = time.Second     // whoever uploads says it of the clip
	surelyNamed  = 2 * time.Second // recorders round, and name a file when they begin it
	sureOfDay    = 14 * time.Hour  // a local time without its zone
	sureOfUpload = 24 * time.Hour  // it was taken before, nobody knows how long
)

// stamp finds an RFC 3339 time in a key, with the separators that file names allow.
var stamp = regexp.MustCompile(`(\d{4})-?(\d{2})-?(\d{2})[T_ ](\d{2})[-:.]?(\d{2})[-:.]?(\d{2})(\.\d{1,9})?(Z|[+-]\d{2}[-:]?\d{2})?`)

// whence says who took a clip and when, by these rules, the first that applies, for camera and time each:
//
//  1. The object's metadata: x-amz-meta-camera, and x-amz-meta-captured in RFC 3339.
//  2. The key: <camera>/<RFC 3339 time>…, the camera being the folder, the time anywhere after it.
//  3. For the time, the container's tags, which split reads; they are put before 4 when the report is made.
//  4. The time of the upload.
func whence(key string, metadata map[string]string, uploaded time.Time) capture {
	c := capture{camera: metadata["camera"], at: uploaded, by: "upload", sure: sureOfUpload}
	if folder := path.Dir(key); c.camera == "" && folder != "." && folder != "/" {
		// A day's folder within the camera's is none of its name.
		if at := stampFolder.FindStringIndex(folder); at != nil {
			folder = folder[:at[0]]
		}
		c.camera = strings.Trim(folder, "/")
	}
	if t, err := time.Parse(time.RFC3339Nano, metadata["captured"]); err == nil {
		c.at, c.by, c.sure = t, "metadata", surelyTold
		return c
	}
	found := stamp.FindAllStringSubmatch(key, -1)
	if len(found) == 0 {
		return c
	}
	m := found[len(found)-1]
	zone, sure := strings.ReplaceAll(strings.ReplaceAll(m[8], ":", ""), "Z", "+0000"), surelyNamed
	if len(zone) == 6 { // +02-00, as file names have it
		zone = zone[:3] + zone[4:]
	}
	if zone == "" {
		zone, sure = "+0000", sureOfDay
	}
	t, err := time.Parse("20060102150405.999999999-0700", strings.Join(m[1:7], "")+m[7]+zone)
	if err == nil {
		c.at, c.by, c.sure = t, "key", sure
	}
	return c
}

// stampFolder is where a folder's name begins to be a date.
var stampFolder = regexp.MustCompile(`(^|/)\d{4}[-/]?\d{2}[-/]?\d{2}`)
