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
	out, err io.Writer
	terminal bool // both are one, and somebody may be there
	colour   bool

	mu sync.Mutex
}

func newConsole(out, err *os.File) *console {
	is := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	return &console{
		out: out, err: err,
		terminal: is(os.Stdin) && is(out) && is(err),
		colour:   is(err) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
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

func (c *console) paint(colour, text string) string {
	if !c.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// say tells of progress.
func (c *console) say(format string, args ...any) { c.line(c.err, fmt.Sprintf(format, args...)) }

// warn tells of what went wrong but ends nothing.
func (c *console) warn(format string, args ...any) {
	c.line(c.err, c.paint(yellow, fmt.Sprintf(format, args...)))
}

// complain tells of what ends a command, or of a clip that failed.
func (c *console) complain(format string, args ...any) {
	c.line(c.err, c.paint(red, "vedette: "+fmt.Sprintf(format, args...)))
}

// print gives an answer.
func (c *console) print(text string) { c.line(c.out, text) }

func (c *console) line(w io.Writer, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = fmt.Fprintln(w, text)
}
