package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// What the program exits with: a command line that cannot be understood is told apart from work
// that failed.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
	exitStuck = 70 // EX_SOFTWARE of sysexits: the process came to a standstill
	exitDisk  = 74 // EX_IOERR of sysexits: the disk failed, what it holds is to be read anew
)

// command is a subcommand.
type command struct {
	name  string
	short string // for the list of subcommands
	help  string // the whole of "broker NAME -h"
	run   func(args []string, stdout, stderr io.Writer) int
}

func commands() []command {
	return []command{
		{"serve", "run the broker (the default)", serveHelp, runServe},
		{"bench", "load a broker and measure it", benchHelp, runBench},
		{"check", "check a configuration file and do nothing else", checkHelp, runCheck},
		{"compact", "give back disk space, while no broker runs", compactHelp, runCompact},
		{"passwd", "make a password hash for the configuration", passwdHelp, runPasswd},
		{"pub", "send one message", pubHelp, runPub},
		{"recover", "save what is intact of a damaged store", recoverHelp, runRecover},
		{"sub", "subscribe and print what arrives", subHelp, runSub},
		{"version", "print the version", versionHelp, runVersion},
	}
}

func find(name string) *command {
	for _, c := range commands() {
		if c.name == name {
			return &c
		}
	}
	return nil
}

// run is the program: it picks the subcommand and gives its exit code.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		return runServe(nil, stdout, stderr)
	}
	switch name := args[0]; name {
	case "help", "-h", "-help", "--help":
		return runHelp(args[1:], stdout, stderr)
	case "-version", "--version":
		return runVersion(nil, stdout, stderr)
	default:
		if strings.HasPrefix(name, "-") {
			return runServe(args, stdout, stderr)
		}
		if c := find(name); c != nil {
			return c.run(args[1:], stdout, stderr)
		}
		return unknown(name, stderr)
	}
}

func unknown(name string, stderr io.Writer) int {
	names := make([]string, 0, len(commands()))
	for _, c := range commands() {
		names = append(names, c.name)
	}
	fmt.Fprintf(stderr, "broker: %q is no subcommand (use one of %s; broker help tells more)\n", name, strings.Join(names, ", "))
	return exitUsage
}

func runHelp(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		c := find(args[0])
		if c == nil {
			return unknown(args[0], stderr)
		}
		fmt.Fprint(stdout, c.help)
		return exitOK
	}
	fmt.Fprint(stdout, `Gudok is a STOMP message broker for WebSocket and TCP.

Usage:
  broker                      run it, on this machine only, without configuration
  broker -config FILE         run it as the file says
  broker SUBCOMMAND [flags]

Subcommands:
`)
	for _, c := range commands() {
		fmt.Fprintf(stdout, "  %-9s %s\n", c.name, c.short)
	}
	fmt.Fprint(stdout, `
Try it, in three terminals:
  broker
  broker sub /topic/greetings
  broker pub /topic/greetings hello

"broker SUBCOMMAND -h" tells the flags of each.
`)
	return exitOK
}

// flags is the command line of one subcommand.
type flags struct {
	*flag.FlagSet
	help   string
	stdout io.Writer
	stderr io.Writer
}

func newFlags(name, help string, stdout, stderr io.Writer) *flags {
	f := &flags{flag.NewFlagSet(name, flag.ContinueOnError), help, stdout, stderr}
	f.SetOutput(io.Discard) // faults are told in one line, by parse
	f.Usage = func() {}
	return f
}

// parse reads flags wherever they stand among the operands, up to "--". If it returns false, the
// subcommand ends with the code.
func (f *flags) parse(args []string) (operands []string, code int, ok bool) {
	for {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(f.stdout, f.help)
			return nil, exitOK, false
		} else if err != nil {
			return nil, f.misuse("%v", err), false
		}
		rest := f.Args()
		if len(rest) == 0 {
			return operands, exitOK, true
		}
		if n := len(args) - len(rest); n > 0 && args[n-1] == "--" {
			return append(operands, rest...), exitOK, true
		}
		operands, args = append(operands, rest[0]), rest[1:]
	}
}

// parseNone is parse for a subcommand without operands.
func (f *flags) parseNone(args []string) (code int, ok bool) {
	operands, code, ok := f.parse(args)
	if ok && len(operands) > 0 {
		return f.misuse("%q is one argument too many", operands[0]), false
	}
	return code, ok
}

// misuse tells a fault of the command line.
func (f *flags) misuse(format string, args ...any) int {
	fmt.Fprintf(f.stderr, "broker %s: %s (see: broker %[1]s -h)\n", f.Name(), oneLine(fmt.Sprintf(format, args...)))
	return exitUsage
}

// fail tells why the work failed.
func (f *flags) fail(err error) int {
	fmt.Fprintf(f.stderr, "broker %s: %s\n", f.Name(), oneLine(err.Error()))
	return exitError
}

func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}
