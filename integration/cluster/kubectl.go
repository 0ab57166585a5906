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

// sightings notes which Services had a pod.
type sightings struct {
	mu   sync.Mutex
	seen map[string]bool
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

const podsOfServices = "serving.knative.dev/service"

// watch notes the Services that have pods, while ctx lasts.
func (t *test) watch(ctx context.Context) (*sightings, error) {
	cmd := t.command(ctx, "-n", namespace, "get", "pods", "-l", podsOfServices, "--watch", "-o", `jsonpath={.metadata.labels.serving\.knative\.dev/service}{"\n"}`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &sightings{seen: map[string]bool{}}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			s.mu.Lock()
			known := s.seen[lines.Text()]
			s.seen[lines.Text()] = true
			s.mu.Unlock()
			if !known {
				t.say("  %s wakes", lines.Text())
			}
		}
		_ = cmd.Wait()
	}()
	return s, nil
}

// asleep says which Services have pods.
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
