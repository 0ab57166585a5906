package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/store"
)

// order is what process, replay and up --sample are asked for.
type order struct {
	out   string // folder for the results; "" for none
	json  bool
	again bool
	limit time.Duration
	settings
}

func (o *order) flags(f options) {
	f.StringVar(&o.out, "out", "", "write what was found into a folder of each clip's name in this `folder`")
	f.BoolVar(&o.json, "json", false, "print each report as a line of JSON")
	f.DurationVar(&o.limit, "timeout", 0, "give up after this `duration`; 0 waits as long as it takes")
	f.BoolVar(&o.verbose, "verbose", false, "show what the functions log")
}

// process processes files.
func process(ctx context.Context, c *console, args []string) (int, error) {
	var o order
	f := newOptions(c, "process", "CLIP... [options]",
		"Processes clips and prints what was found. It ends with 0 when all are completed, 2 when some cannot be processed\n"+
			"(the others are unharmed), 1 when something failed.")
	o.flags(f)
	f.BoolVar(&o.again, "again", false, "process clips that are known once more")
	camera := f.String("camera", "", "`name` of the camera that took the clips")
	files, err := f.parse(args)
	if err != nil {
		return exitFailed, err
	}
	if len(files) == 0 {
		return f.misused("process needs a clip")
	}
	list, err := openClips(files, *camera)
	if err != nil {
		return exitFailed, err
	}
	return o.carryOut(ctx, c, list)
}

// replay processes known clips once more.
func replay(ctx context.Context, c *console, args []string) (int, error) {
	o := order{again: true}
	f := newOptions(c, "replay", "ID... [options]", "Processes clips that are known once more, as a new run: `vedette clips` lists them.")
	o.flags(f)
	ids, err := f.parse(args)
	if err != nil {
		return exitFailed, err
	}
	if len(ids) == 0 {
		return f.misused("replay needs the id of a clip")
	}
	var list []*clip
	for _, id := range ids {
		list = append(list, &clip{id: id, name: id})
	}
	return o.carryOut(ctx, c, list)
}

func openClips(files []string, camera string) ([]*clip, error) {
	var list []*clip
	keys := map[string]bool{}
	for _, file := range files {
		c, err := openClip(file, camera)
		if err != nil {
			return nil, err
		}
		if !keys[c.key] { // named twice is one clip
			keys[c.key] = true
			list = append(list, c)
		}
	}
	return list, nil
}

// carryOut processes clips in the Vedette that runs, or in one that it starts for them.
func (o *order) carryOut(ctx context.Context, c *console, list []*clip) (int, error) {
	if o.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("not finished within %v", o.limit))
		defer cancel()
	}
	p, err := find(ctx, c, o.settings)
	if err != nil {
		return exitFailed, err
	}
	s := newSession(ctx, c, o, p)
	defer s.close(ctx)
	return s.process(ctx, list), nil
}

// session is the processing of clips in a place. If somebody else's place goes away meanwhile, another is found, or
// started: nothing is lost with it.
type session struct {
	c       *console
	order   *order
	watcher *watcher

	mu      sync.Mutex
	place   *place
	gone    <-chan struct{} // closed when the place is
	unwatch context.CancelFunc
}

// newSession begins a session, and shows what happens in it.
func newSession(ctx context.Context, c *console, o *order, p *place) *session {
	s := &session{c: c, order: o, place: p, watcher: newWatcher(c)}
	ctx, s.unwatch = context.WithCancel(ctx)
	s.gone = s.watcher.begin(ctx, p.URL)
	return s
}

// How long a place of our own may take to do what an answer left to be done.
const settling = 3 * time.Second

// close ends the session. A place of our own is stopped.
func (s *session) close(ctx context.Context) {
	p, _ := s.current()
	if p.own != nil {
		ctx, cancel := context.WithTimeout(ctx, settling)
		defer cancel()
		p.own.runtime.Settle(ctx)
	}
	s.unwatch()
	p.close()
}

func (s *session) current() (p *place, gone <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.place, s.gone
}

// replace finds another place after one went away.
func (s *session) replace(ctx context.Context, gone *place) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.place != gone {
		return nil // somebody was quicker
	}
	s.c.warn("the Vedette that was running is gone; going on without it")
	gone.close()
	p, err := find(ctx, s.c, s.order.settings)
	if err != nil {
		return err
	}
	s.place = p
	s.unwatch()
	ctx, s.unwatch = context.WithCancel(ctx)
	s.gone = s.watcher.begin(ctx, p.URL)
	return nil
}

// Clips that are processed at a time: many enough to keep a machine busy.
const atATime = 16

// process processes clips and prints the answers, each as soon as those before it are printed.
func (s *session) process(ctx context.Context, list []*clip) int {
	done := make([]chan struct{}, len(list))
	places := make(chan struct{}, atATime)
	for i, c := range list {
		done[i] = make(chan struct{})
		go func() {
			defer close(done[i])
			places <- struct{}{}
			defer func() { <-places }()
			c.err = s.one(ctx, c)
		}()
	}
	names := folders{}
	code := exitDone
	for i, c := range list {
		<-done[i]
		if c.err == nil && s.order.out != "" {
			c.err = s.write(ctx, c, names.unique(c.name))
		}
		s.answer(ctx, c)
		switch verdict := c.verdict(); {
		case verdict == exitFailed:
			code = exitFailed
		case verdict == exitRejected && code == exitDone:
			code = exitRejected
		}
	}
	return code
}

// one processes one clip.
func (s *session) one(ctx context.Context, c *clip) error {
	for {
		p, gone := s.current()
		if p.own != nil {
			gone = nil // it lives as long as we do
		}
		err := c.begin(ctx, p, s.order.again)
		if err == nil {
			if c.known {
				s.c.say("%s is known: processed before, as run %d (--again processes it once more)", c.name, c.run)
			}
			err = c.await(ctx, p, gone, s.watcher.expect(c.name, c.id, c.key))
		}
		away, isStore := errors.AsType[*store.Error](err)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case p.own == nil && (isStore && away.Away || errors.Is(err, errNobody)):
			if err := s.replace(ctx, p); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// answer prints what became of a clip.
func (s *session) answer(_ context.Context, c *clip) {
	if c.err != nil {
		s.c.complain("%s: %v", c.name, c.err)
		return
	}
	switch c.report.Status {
	case findings.StatusCompleted:
	case findings.StatusRejected:
		s.c.complain("%s is rejected: %s. %s", c.name, c.report.Reason, c.report.Hint)
	default:
		s.c.complain("%s %s: %s. %s", c.name, c.report.Status, c.report.Reason, c.report.Hint)
	}
	if s.order.json {
		line, err := json.Marshal(c.report)
		if err != nil {
			c.err = err
			return
		}
		s.c.print(string(line))
		return
	}
	if c.report.Status != findings.StatusRejected {
		s.c.print(table(s.c, c.name, c.report))
	}
}
