// Command vedette runs Vedette on this machine and talks to it: see usage.
//
// A clip goes the same way whichever command brings it: an upload to the bucket of clips, events, functions as processes
// of their own, results in the ledger. Answers are printed to standard output, progress and complaints to standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// How a command ends.
const (
	exitDone     = 0
	exitFailed   = 1
	exitRejected = 2 // some clips cannot be processed; the others are unharmed
)

type command struct {
	name, arguments, does string
	run                   func(ctx context.Context, c *console, args []string) (int, error)
}

func commands() []command {
	return []command{
		{"up", "[--sample CLIP]", "start Vedette and stay until interrupted", up},
		{"process", "CLIP...", "process clips and print what was found", process},
		{"upload", "CLIP...", "put clips into the bucket of a Vedette that is running", upload},
		{"clips", "", "list the clips that are known", clips},
		{"report", "ID", "print the report of a clip", report},
		{"proxy", "ID", "make a clip that browsers do not play into one that they do", proxy},
		{"replay", "ID...", "process known clips once more", replay},
		{"doctor", "", "check libraries, models, hardware and store, and say what to do", doctor},
	}
}

// errUsage asks for the usage to be shown; what was wrong is said already.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second one ends us at once, and the kernel our processes
	os.Exit(run(ctx, newConsole(os.Stdout, os.Stderr), os.Args[1:]))
}

func run(ctx context.Context, c *console, args []string) int {
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
		usage(c.out)
		return exitDone
	}
	for _, command := range commands() {
		if command.name != args[0] {
			continue
		}
		code, err := command.run(ctx, c, args[1:])
		switch {
		case errors.Is(err, flag.ErrHelp):
			return exitDone
		case errors.Is(err, errUsage):
			return exitFailed
		case err != nil && ctx.Err() != nil:
			c.say("interrupted")
			return exitFailed
		case err != nil:
			c.complain("%v", err)
			return exitFailed
		}
		return code
	}
	c.complain("there is no command %q", args[0])
	usage(c.err)
	return exitFailed
}

func usage(w io.Writer) {
	_, _ = fmt.Fprint(w, "Vedette watches surveillance clips: who was there, and when.\n\nusage: vedette COMMAND\n\n")
	for _, c := range commands() {
		_, _ = fmt.Fprintf(w, "  %-24s %s\n", c.name+" "+c.arguments, c.does)
	}
	_, _ = fmt.Fprint(w, `
vedette COMMAND --help shows the options of a command.

Everything is kept in one folder: VEDETTE_DATA, by default ${XDG_DATA_HOME:-~/.local/share}/vedette. With VEDETTE_S3_ENDPOINT
(and _ACCESS_KEY, _SECRET_KEY, _REGION, _CLIPS, _LEDGER) clips and results are kept in that S3 store instead.
`)
}

// options are the flags of a command. They may stand before, between and after its arguments.
type options struct {
	*flag.FlagSet
	c *console
}

func newOptions(c *console, name, arguments, about string) options {
	o := options{flag.NewFlagSet(name, flag.ContinueOnError), c}
	o.SetOutput(c.err)
	o.Usage = func() {
		_, _ = fmt.Fprintf(o.Output(), "usage: vedette %s %s\n\n%s\n\n", name, arguments, about)
		o.PrintDefaults()
	}
	return o
}

// parse returns the arguments.
func (o options) parse(args []string) ([]string, error) {
	var arguments []string
	for {
		if err := o.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, errUsage // flag has said what is wrong
		}
		if o.NArg() == 0 {
			return arguments, nil
		}
		arguments = append(arguments, o.Arg(0))
		if args = o.Args()[1:]; len(args) == 0 {
			return arguments, nil
		}
	}
}

// misusedOr is what a command returns whose arguments could not be parsed, or are not what they should be.
func (o options) misusedOr(err error, what string) (int, error) {
	if err != nil {
		return exitFailed, err
	}
	return o.misused("%s", what)
}

// misused says what is wrong with the arguments.
func (o options) misused(format string, args ...any) (int, error) {
	o.c.complain(format, args...)
	o.Usage()
	return exitFailed, errUsage
}
