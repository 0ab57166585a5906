package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// kubectl runs kubectl on the cluster of KUBECONFIG and returns what it prints.
func (t *test) kubectl(ctx context.Context, args ...string) (string, error) {
	var said, wrong bytes.Buffer
	cmd := t.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &said, &wrong
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(wrong.String()))
	}
	return strings.TrimSpace(said.String()), nil
}

func (t *test) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "kubectl", args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+t.kubeconfig)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

var forwarding = regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+) `)

// forward makes a port of a Service reachable on this machine, while ctx lasts, and returns its address.
func (t *test) forward(ctx context.Context, namespace, service, port string) (string, error) {
	cmd := t.command(ctx, "-n", namespace, "port-forward", "service/"+service, ":"+port)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	var wrong bytes.Buffer
	cmd.Stderr = &wrong
	if err := cmd.Start(); err != nil {
		return "", err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := forwarding.FindStringSubmatch(lines.Text()); m != nil {
			go func() {
				_, _ = io.Copy(io.Discard, out)
				_ = cmd.Wait()
			}()
			return m[1], nil
		}
	}
	return "", fmt.Errorf("port %s of service %s is not forwarded: %w: %s", port, service, cmd.Wait(), wrong.String())
}

// sightings notes which Services had a pod, and keeps what the pods said: a pod that is gone says nothing any more.
type sightings struct {
	dir string // of the logs, a file each pod

	mu   sync.Mutex
	seen map[string]bool // Services
	pods map[string]bool
}

func (s *sightings) lacks(services []string) (missing []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range services {
		if !s.seen[name] {
			missing = append(missing, name)
		}
	}
	return missing
}

// note says whether the Service and its pod are new.
func (s *sightings) note(service, pod string) (newService, newPod bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	newService, newPod = !s.seen[service], !s.pods[pod]
	s.seen[service], s.pods[pod] = true, true
	return newService, newPod
}

const podsOfServices = "serving.knative.dev/service"

// watch notes the pods of Services, while ctx lasts.
func (t *test) watch(ctx context.Context) error {
	cmd := t.command(ctx, "-n", namespace, "get", "pods", "-l", podsOfServices, "--watch", "-o", `jsonpath={.metadata.labels.serving\.knative\.dev/service} {.metadata.name}{"\n"}`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			service, pod, _ := strings.Cut(lines.Text(), " ")
			newService, newPod := t.woken.note(service, pod)
			if newService {
				t.say("  %s wakes", service)
			}
			if newPod {
				go t.keepLog(ctx, pod)
			}
		}
		_ = cmd.Wait()
	}()
	return nil
}

// keepLog writes what a pod says into a file, until the pod ends.
func (t *test) keepLog(ctx context.Context, pod string) {
	f, err := os.Create(filepath.Join(t.woken.dir, pod+".log"))
	if err != nil {
		t.say("  %v", err)
		return
	}
	defer f.Close()
	for range 60 { // there is no log before the container runs
		cmd := t.command(ctx, "-n", namespace, "logs", "--follow", pod, "-c", "user-container")
		cmd.Stdout = f
		if cmd.Run() == nil || ctx.Err() != nil {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// awake says which Services have pods.
func (t *test) awake(ctx context.Context) ([]string, error) {
	names, err := t.kubectl(ctx, "-n", namespace, "get", "pods", "-l", podsOfServices, "-o", `jsonpath={range .items[*]}{.metadata.labels.serving\.knative\.dev/service}{"\n"}{end}`)
	return strings.Fields(names), err
}

// until asks every second until the answer is yes or ctx ends, which is an error that says what was waited for.
func until(ctx context.Context, what string, ask func() (bool, error)) error {
	for {
		yes, err := ask()
		if err != nil && ctx.Err() == nil || yes {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waited in vain until %s", what), context.Cause(ctx))
		}
	}
}
