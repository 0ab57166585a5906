package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/notification"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/store"
)

const (
	namespace = "vedette"
	label     = "vedette.dev/smoke"
	accessKey = "smoke" // as manifests/kustomization.yaml has them
	secretKey = "smoke-secret"
	prompt    = 10 * time.Second // an emitter who waits longer waits for the sleeper, who takes 60 s
)

// test is one run of the smoke test.
type test struct {
	kubeconfig string
	load       string // command that brings archives of images to the cluster's nodes
	clip       string
	vedette    string
	images     string
	started    time.Time
	woken      sightings
}

func (t *test) say(format string, args ...any) {
	fmt.Printf("[%4.0fs] %s\n", time.Since(t.started).Seconds(), fmt.Sprintf(format, args...))
}

func (t *test) run(ctx context.Context) (err error) {
	if err := t.check(ctx); err != nil {
		return err
	}
	t.say("local runtime: %s", filepath.Base(t.clip))
	want, err := t.local(ctx)
	if err != nil {
		return err
	}
	t.say("  %d segments, %d tracks", len(want.Segments), len(want.Tracks))
	if err := t.loadImages(ctx); err != nil {
		return err
	}

	t.woken = sightings{seen: map[string]bool{}, pods: map[string]bool{}}
	if t.woken.dir, err = os.MkdirTemp("", "vedette-smoke-logs-"); err != nil {
		return err
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(t.woken.dir) // after a failure somebody wants to read them
		}
	}()
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
		defer cancel()
		if err != nil {
			t.diagnose(cleanup)
		}
		t.say("deleting the namespace %s", namespace)
		_, gone := t.kubectl(cleanup, "delete", "namespace", namespace, "--ignore-not-found")
		err = errors.Join(err, gone)
	}()
	if err := t.apply(ctx); err != nil {
		return err
	}
	services, err := t.ready(ctx)
	if err != nil {
		return err
	}
	forwards, hangUp := context.WithCancel(ctx)
	defer hangUp()
	broker, err := t.forward(forwards, "knative-eventing", "broker-ingress", "80")
	if err != nil {
		return err
	}
	if err := t.probe(ctx, broker, "before"); err != nil {
		return err
	}
	got, err := t.upload(forwards, services)
	if err != nil {
		return err
	}
	if err := t.probe(ctx, broker, "after"); err != nil { // by now the sleeper has every event of the clip
		return err
	}
	if all := differences(want, got); len(all) > 0 {
		return fmt.Errorf("the cluster's report is not the local one:\n  %s", strings.Join(all, "\n  "))
	}
	t.say("same report as the local runtime's: %d segments, %d tracks", len(got.Segments), len(got.Tracks))
	if err := until(ctx, "every Service is at zero again", func() (bool, error) {
		awake, err := t.awake(ctx)
		return len(awake) == 0, err
	}); err != nil {
		return err
	}
	t.say("every Service is at zero again")
	return nil
}

// check refuses what could not work, and what could harm somebody.
func (t *test) check(ctx context.Context) error {
	if t.kubeconfig == "" {
		return errors.New("KUBECONFIG is not set: it says which cluster this test may use, there is no default")
	}
	if t.load == "" {
		return errors.New("CLUSTER_LOAD is not set: the command that brings archives of images to the cluster, such as 'ctr -n k8s.io images import' on a node with containerd")
	}
	for _, file := range []string{t.clip, t.vedette, t.images} {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("%w: run this by `make cluster-smoke`", err)
		}
	}
	server, err := t.kubectl(ctx, "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
	if err != nil {
		return err
	}
	t.say("cluster %s", server)
	for _, crd := range []string{"services.serving.knative.dev", "brokers.eventing.knative.dev"} {
		if _, err := t.kubectl(ctx, "get", "crd", crd); err != nil {
			return fmt.Errorf("no Knative there: %w", err)
		}
	}
	there, err := t.kubectl(ctx, "get", "namespace", "--ignore-not-found", "-o", "name", namespace)
	if err != nil || there == "" {
		return err
	}
	ours, err := t.kubectl(ctx, "get", "namespace", namespace, "-o", `jsonpath={.metadata.labels.vedette\.dev/smoke}`)
	if err != nil {
		return err
	}
	if ours == "" {
		return fmt.Errorf("the namespace %s is there already and lacks the label %s: somebody's Vedette, which this test would delete", namespace, label)
	}
	t.say("deleting what an earlier test left")
	_, err = t.kubectl(ctx, "delete", "namespace", namespace)
	return err
}

// local lets the local runtime process the clip.
func (t *test) local(ctx context.Context) (findings.Report, error) {
	var report findings.Report
	dir, err := os.MkdirTemp("", "vedette-smoke-")
	if err != nil {
		return report, err
	}
	defer os.RemoveAll(dir)
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, t.vedette, "process", "--json", "--out", filepath.Join(dir, "out"), t.clip)
	cmd.Env = append(os.Environ(), "VEDETTE_DATA="+filepath.Join(dir, "data"))
	cmd.Stdout, cmd.Stderr = &said, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Run(); err != nil {
		return report, fmt.Errorf("vedette process: %w", err)
	}
	if err := json.Unmarshal(said.Bytes(), &report); err != nil {
		return report, fmt.Errorf("vedette process --json: %w in %q", err, said.Bytes())
	}
	if report.Status != findings.StatusCompleted || len(report.Tracks) == 0 {
		return report, fmt.Errorf("the local report says %s with %d tracks: nothing to compare with", report.Status, len(report.Tracks))
	}
	return report, nil
}

func (t *test) loadImages(ctx context.Context) error {
	archives, err := filepath.Glob(filepath.Join(t.images, "*.tar"))
	if err != nil {
		return err
	}
	for _, archive := range archives {
		t.say("loading %s", archive)
		if out, err := exec.CommandContext(ctx, "sh", "-c", t.load+` "$1"`, "load", archive).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", t.load, archive, err, out)
		}
	}
	return nil
}

func (t *test) apply(ctx context.Context) error {
	t.say("applying knative/, a MinIO and a sleeper")
	// The webhooks of Knative may still be starting.
	return until(ctx, "the cluster takes the manifests", func() (bool, error) {
		_, err := t.kubectl(ctx, "apply", "-k", "integration/cluster/manifests")
		if err != nil && strings.Contains(err.Error(), "failed calling webhook") {
			return false, nil
		}
		return err == nil, err
	})
}

// ready waits until everything is, and returns the names of the Services, which all are at zero.
func (t *test) ready(ctx context.Context) ([]string, error) {
	for _, wait := range [][]string{{"Ready", "ksvc"}, {"Ready", "broker"}, {"Ready", "trigger"}, {"Available", "deployment/minio", "deployment/sleeper"}} {
		args := append([]string{"-n", namespace, "wait", "--timeout=180s", "--for=condition=" + wait[0]}, wait[1:]...)
		if len(wait) == 2 {
			args = append(args, "--all")
		}
		if _, err := t.kubectl(ctx, args...); err != nil {
			return nil, err
		}
	}
	names, err := t.kubectl(ctx, "-n", namespace, "get", "ksvc", "-o", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		return nil, err
	}
	awake, err := t.awake(ctx)
	if err != nil {
		return nil, err
	}
	if len(awake) > 0 {
		return nil, fmt.Errorf("before anything happened there are pods of %v", awake)
	}
	services := strings.Fields(names)
	t.say("ready: %d Services, none with a pod", len(services))
	return services, nil
}

// probe sends events that only the sleeper takes. They are with him for a minute; whoever emits while he sleeps must not
// notice: neither these probes nor the functions.
func (t *test) probe(ctx context.Context, broker, when string) error {
	var longest time.Duration
	for i := range 3 {
		took, err := emit(ctx, "http://"+broker+"/"+namespace+"/default", fmt.Sprintf("%s-%d", when, i))
		if err != nil {
			return err
		}
		longest = max(longest, took)
	}
	if longest > prompt {
		return fmt.Errorf("the broker kept an emitter waiting for %v while a subscriber slept", longest)
	}
	events := 0
	if err := until(ctx, "the sleeper has the last probe", func() (bool, error) {
		said, err := t.kubectl(ctx, "-n", namespace, "logs", "deployment/sleeper")
		events = strings.Count(said, "took ") - strings.Count(said, "answered ")
		return strings.Contains(said, "took "+probed+" "+when+"-2"), err
	}); err != nil {
		return err
	}
	t.say("the sleeper sleeps over %d events; no emitter waited longer than %v", events, longest.Round(time.Millisecond))
	return nil
}

const probed = "dev.vedette.smoke.v1.probed"

// emit sends an event to the broker and says how long that took.
func emit(ctx context.Context, broker, id string) (time.Duration, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, broker, strings.NewReader("{}"))
	if err != nil {
		return 0, err
	}
	for k, v := range map[string]string{"Ce-Specversion": "1.0", "Ce-Type": probed, "Ce-Source": "/smoke", "Ce-Id": id, "Content-Type": "application/json"} {
		r.Header.Set(k, v)
	}
	begun := time.Now()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		return 0, fmt.Errorf("the broker answered %s", answer.Status)
	}
	return time.Since(begun), nil
}

// upload puts the clip into the store and waits for its report; every Service must have woken by then.
func (t *test) upload(ctx context.Context, services []string) (findings.Report, error) {
	var report findings.Report
	address, err := t.forward(ctx, namespace, "minio", "9000")
	if err != nil {
		return report, err
	}
	s, err := store.Open(store.Config{Endpoint: "http://" + address, AccessKey: accessKey, SecretKey: secretKey, Region: "us-east-1", Clips: "clips", Ledger: "ledger"})
	if err != nil {
		return report, err
	}
	defer s.Close()
	if err := s.EnsureBuckets(ctx); err != nil {
		return report, err
	}
	if err := notify(ctx, address); err != nil {
		return report, fmt.Errorf("asking MinIO to notify ingest: %w", err)
	}
	if err := t.watch(ctx); err != nil {
		return report, err
	}
	f, err := os.Open(t.clip)
	if err != nil {
		return report, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return report, err
	}
	key := "smoke/" + filepath.Base(t.clip)
	etag, err := s.Clips().Upload(ctx, key, f, info.Size(), "application/octet-stream", nil)
	if err != nil {
		return report, err
	}
	begun := time.Now()
	t.say("uploaded %s", key)
	clip := ledger.ClipID("clips", key, etag)
	answers := map[string]bool{}
	if err := until(ctx, "the clip is completed", func() (bool, error) {
		for _, answer := range []string{"analyzed.json", "completed.json", "rejected.json"} {
			body, err := s.Ledger().Get(ctx, ledger.RunKey(clip, 1, answer))
			if errors.Is(err, ledger.ErrNotExist) || answers[answer] {
				continue
			}
			if err != nil {
				return false, err
			}
			answers[answer] = true
			t.say("%s after %.1f s", answer, time.Since(begun).Seconds())
			if err := json.Unmarshal(body, &report); err != nil {
				return false, fmt.Errorf("%s: %w", answer, err)
			}
		}
		return answers["completed.json"] || answers["rejected.json"], nil
	}); err != nil {
		return report, errors.Join(err, fmt.Errorf("the ledger has %q", listing(ctx, s.Ledger())))
	}
	return report, until(ctx, "the upload has woken every Service", func() (bool, error) {
		return len(t.woken.lacks(services)) == 0, nil
	})
}

// listing is what is in the ledger, for people to look at.
func listing(ctx context.Context, b *store.Bucket) (keys []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for entry, err := range b.List(ctx, "", "") {
		if err != nil {
			return append(keys, err.Error())
		}
		keys = append(keys, entry.Key)
	}
	return keys
}

// notify has MinIO tell ingest, whose webhook its environment names, of every new object.
func notify(ctx context.Context, address string) error {
	client, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(accessKey, secretKey, "")})
	if err != nil {
		return err
	}
	c := notification.NewConfig(notification.NewArn("minio", "sqs", "", "INGEST", "webhook"))
	c.AddEvents(notification.ObjectCreatedAll)
	var all notification.Configuration
	all.AddQueue(c)
	return client.SetBucketNotification(ctx, "clips", all)
}

// diagnose prints what helps to see why the test failed.
func (t *test) diagnose(ctx context.Context) {
	for _, args := range [][]string{
		{"get", "ksvc,broker,trigger,pods"},
		{"get", "events", "--field-selector", "type=Warning"},
		{"logs", "deployment/minio", "--tail", "20"},
		{"logs", "deployment/sleeper", "--tail", "20"},
	} {
		said, err := t.kubectl(ctx, slices.Concat([]string{"-n", namespace}, args)...)
		fmt.Fprintf(os.Stderr, "--- kubectl %s\n%s\n", strings.Join(args, " "), said)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	logs, _ := filepath.Glob(filepath.Join(t.woken.dir, "*.log"))
	for _, file := range logs {
		body, err := os.ReadFile(file)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(body)), "\n")
		fmt.Fprintf(os.Stderr, "--- %s\n%s\n", file, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
}
