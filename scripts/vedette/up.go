package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"vedette.dev/shared/findings"
	"vedette.dev/shared/ledger"
)

// Where Vedette is to be found unless told otherwise.
const (
	usualListen = "127.0.0.1:7700"
	usualS3     = "127.0.0.1:7701"
)

// up runs Vedette until it is interrupted.
func up(ctx context.Context, c *console, args []string) (int, error) {
	var o order
	f := newOptions(c, "up", "[options]", "Starts Vedette on this machine and stays until interrupted.")
	f.StringVar(&o.listen, "listen", "", "`address` for events, functions and watchers (default "+usualListen+", or a free port if that is taken)")
	f.StringVar(&o.s3, "s3", "", "`address` for S3 (default "+usualS3+", likewise)")
	f.BoolVar(&o.verbose, "verbose", false, "show what the functions log")
	sample := f.String("sample", "", "process this `clip` first; without a terminal, end afterwards")
	if rest, err := f.parse(args); err != nil || len(rest) > 0 {
		return f.misusedOr(err, "up takes no arguments")
	}
	var list []*clip
	if *sample != "" {
		var err error
		if list, err = openClips([]string{*sample}, ""); err != nil {
			return exitFailed, err
		}
	}
	o.listen, o.s3 = usually(o.listen, usualListen), usually(o.s3, usualS3)
	p, err := find(ctx, c, o.settings)
	if err != nil {
		return exitFailed, err
	}
	s := newSession(ctx, c, &o, p)
	defer s.close(ctx)
	s.watcher.watchAll()
	whereabouts(c, p)
	if p.own == nil {
		c.say("It runs already, as process %d.", p.PID)
		if len(list) == 0 {
			return exitDone, nil
		}
	}
	code := exitDone
	if len(list) > 0 {
		code = s.process(ctx, list)
		if ctx.Err() == nil {
			s.pointTo(list[0])
		}
	}
	if p.own == nil || len(list) > 0 && !c.terminal {
		return code, nil
	}
	c.say("\nPut clips into the bucket and watch; Ctrl-C ends.")
	select {
	case <-ctx.Done():
		c.say("stopping")
		return exitDone, nil
	case <-p.own.ended():
		return exitFailed, errors.New("the S3 server ended by itself")
	}
}

// usually is the address that was asked for, or else the usual one as long as nobody has it.
func usually(asked, usual string) string {
	if asked != "" {
		return asked
	}
	l, err := net.Listen("tcp", usual)
	if err != nil || l.Close() != nil {
		return ""
	}
	return usual
}

// whereabouts says where everything is.
func whereabouts(c *console, p *place) {
	c.say("%s", c.err.paint(bold, "Vedette is up."))
	c.say("  S3       %s, bucket %s for clips, %s for results", p.Store.Endpoint, p.Store.Clips, p.Store.Ledger)
	if p.own != nil && p.own.s3 != nil {
		c.say("  keys     %s (AWS_SHARED_CREDENTIALS_FILE, AWS_PROFILE=vedette)", p.own.home.path("credentials"))
		c.say("  data     %s", p.own.home.folder)
		c.say("  logs     %s", p.own.home.path("logs"))
	}
	c.say("  events   %s/events (what happens), %s/vedette/default (the broker)", p.URL, p.URL)
	c.say("  photos   curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' %s/functions/detect/", p.URL)
}

// pointTo says where the results of a clip are.
func (s *session) pointTo(c *clip) {
	p, _ := s.current()
	m := c.report.Media
	if c.err != nil || m == nil {
		return
	}
	s.c.say("")
	show := func(what, key string) {
		if key == "" {
			return
		}
		where := fmt.Sprintf("s3://%s/%s", p.Store.Ledger, key)
		if p.own != nil && p.own.s3 != nil {
			where = filepath.Join(p.own.home.path("s3", "objects"), p.Store.Ledger, filepath.FromSlash(key))
		}
		s.c.say("  %-9s%s", what, where)
	}
	show("report", ledger.RunKey(c.id, c.run, findings.StatusCompleted+".json"))
	show("video", m.Annotated)
	show("findings", m.Findings)
	if m.Note != "" {
		s.c.say("  %-9s%s", "note", m.Note)
	}
}
