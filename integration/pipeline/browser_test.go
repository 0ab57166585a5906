package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/media"
)

// grid is how finely pictures are compared: the mean brightness of so many by so many fields.
const grid = 12

// checkBrowser plays what came out in Chromium, and compares pictures on both sides of every boundary with what FFmpeg
// decodes there: the annotated video and, by its playlist, the original.
func checkBrowser(t *testing.T, m machine, out string) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("NO CHROMIUM HERE: whether browsers play the results is NOT TESTED (apt-get install chromium)")
	}
	var r findings.Report
	body, err := os.ReadFile(filepath.Join(out, "report.json"))
	if err == nil {
		err = json.Unmarshal(body, &r)
	}
	if err != nil {
		t.Fatal(err)
	}

	// The store keeps objects as files, so a file server shows the ledger as a signed request would.
	ledger := filepath.Join(m.data, "s3", "objects", "ledger")
	mux := http.NewServeMux()
	mux.Handle("/ledger/", http.StripPrefix("/ledger/", http.FileServer(http.Dir(ledger))))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, page)
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	var boundaries []float64
	for _, s := range r.Segments[1:] {
		boundaries = append(boundaries, s.Start)
	}
	for name, key := range map[string]string{"annotated": r.Media.Annotated, "original": r.Media.Original} {
		t.Run(name, func(t *testing.T) {
			if key == "" {
				t.Fatalf("the report names none: %s", r.Media.Note)
			}
			truth := filepath.Join(ledger, key)
			if name == "original" {
				truth = filepath.Join(m.data, "s3", "objects", r.Source.Bucket, r.Source.Key)
			}
			compare(t, chromium, server.URL, "/ledger/"+key, truth, boundaries)
		})
	}
}

const page = `<!doctype html><video muted></video><script>
const video = document.querySelector("video")
async function open(url) {
  video.src = url
  await new Promise((ok, bad) => { video.onloadeddata = ok; video.onerror = () => bad(new Error(video.error.message)) })
  return video.duration
}
async function at(time, grid) {
  const shown = new Promise(ok => video.requestVideoFrameCallback((_, f) => ok(f.mediaTime)))
  video.currentTime = time
  await new Promise(ok => video.onseeked = ok)
  await shown
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight), c = canvas.getContext("2d")
  c.drawImage(video, 0, 0)
  const p = c.getImageData(0, 0, canvas.width, canvas.height).data
  const sums = Array(grid * grid).fill(0), counts = Array(grid * grid).fill(0)
  for (let y = 0; y < canvas.height; y++) for (let x = 0; x < canvas.width; x++) {
    const i = 4 * (y * canvas.width + x), f = Math.floor(y * grid / canvas.height) * grid + Math.floor(x * grid / canvas.width)
    sums[f] += .299 * p[i] + .587 * p[i + 1] + .114 * p[i + 2]
    counts[f]++
  }
  return sums.map((s, i) => s / counts[i])
}
</script>`

func compare(t *testing.T, chromium, base, url, truth string, boundaries []float64) {
	t.Helper()
	profile, err := os.MkdirTemp("", "chromium")
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: Chromium goes on writing for a moment after it has ended.
	defer func() { _ = os.RemoveAll(profile) }()
	allocated, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	defer cancel()
	ctx, cancel := chromedp.NewContext(allocated)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()

	var duration float64
	if err := chromedp.Run(ctx, chromedp.Navigate(base), evaluate(fmt.Sprintf("open(%q)", url), &duration)); err != nil {
		t.Fatalf("Chromium does not play it: %v", err)
	}
	for _, b := range boundaries {
		for _, at := range []float64{b - .15, b + .05} { // the last picture but one before, and the first after
			var shown []float64
			if err := chromedp.Run(ctx, evaluate(fmt.Sprintf("at(%f, %d)", at, grid), &shown)); err != nil {
				t.Fatalf("seek to %.2f s: %v", at, err)
			}
			if off := distance(shown, decoded(t, truth, at)); off > 6 {
				t.Errorf("at %.2f s of %.2f Chromium shows another picture than FFmpeg: %.1f grey levels apart", at, duration, off)
			}
		}
	}
}

// evaluate waits for a promise.
func evaluate(expression string, into any) chromedp.Action {
	return chromedp.Evaluate(expression, into, func(p *runtime.EvaluateParams) *runtime.EvaluateParams {
		return p.WithAwaitPromise(true)
	})
}

// decoded is the picture on display at a time, as FFmpeg decodes it.
func decoded(t *testing.T, path string, at float64) []float64 {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := media.Decode(t.Context(), bytes.NewReader(body), media.DecodeOptions{Format: media.Gray})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var fields []float64
	for {
		f, err := d.Next()
		if errors.Is(err, io.EOF) || err == nil && f.PTS > int64(at*1e6) {
			return fields
		}
		if err != nil {
			t.Fatal(err)
		}
		fields = average(f)
	}
}

func average(f *media.Frame) []float64 {
	pix, stride := f.Plane(0)
	sums, counts := make([]float64, grid*grid), make([]float64, grid*grid)
	for y := range f.Height() {
		for x := range f.Width() {
			i := y*grid/f.Height()*grid + x*grid/f.Width()
			sums[i] += float64(pix[y*stride+x])
			counts[i]++
		}
	}
	for i := range sums {
		sums[i] /= counts[i]
	}
	return sums
}

// distance is how far two pictures are apart in the field where they differ most.
func distance(a, b []float64) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	most := 0.
	for i := range a {
		most = max(most, math.Abs(a[i]-b[i]))
	}
	return most
}
