package main

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// console is where people read: answers go to out, progress and complaints to err, a line at a time.
type console struct {
	out, err screen
	terminal bool // somebody is there

	mu sync.Mutex
}

// screen is where lines go.
type screen struct {
	io.Writer
	coloured bool
}

func newConsole(out, err *os.File) *console {
	is := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) } //nolint:gosec // a file's number is small
	plain := os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb"
	return &console{
		out:      screen{out, is(out) && !plain},
		err:      screen{err, is(err) && !plain},
		terminal: is(os.Stdin) && is(out) && is(err),
	}
}

// The colours that are used, sparingly.
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (s screen) paint(colour, text string) string {
	if !s.coloured {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// say tells of progress.
func (c *console) say(format string, args ...any) { c.line(c.err, fmt.Sprintf(format, args...)) }

// warn tells of what went wrong but ends nothing.
func (c *console) warn(format string, args ...any) {
	c.line(c.err, c.err.paint(yellow, fmt.Sprintf(format, args...)))
}

// complain tells of what ends a command, or of a clip that failed.
func (c *console) complain(format string, args ...any) {
	c.line(c.err, c.err.paint(red, "vedette: "+fmt.Sprintf(format, args...)))
}

// print gives an answer.
func (c *console) print(text string) { c.line(c.out, text) }

func (c *console) line(w io.Writer, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = fmt.Fprintln(w, text)
}
