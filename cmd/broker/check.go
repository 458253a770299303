package main

import (
	"fmt"
	"io"
	"os"

	"github.com/gudokmq/gudok/conf"
)

const checkHelp = `Check a configuration: the file, what the GUDOK_ variables of the environment
override, and the certificates it names. Prints "ok", after a warning for each rule
that nobody can match and each limit that cannot be reached; or one line that tells
what to mend and where.

Usage: broker check -config FILE

Flags:
  -config FILE   the configuration; without it only the environment is checked

Example:
  broker check -config gudok.yaml
`

func runCheck(args []string, stdout, stderr io.Writer) int {
	f := newFlags("check", checkHelp, stdout, stderr)
	path := f.String("config", "", "")
	if code, ok := f.parseNone(args); !ok {
		return code
	}
	c, err := configure(*path)
	if err != nil {
		return f.fail(err)
	}
	all := warnings(c)
	if files, err := raiseFileLimit(); err == nil {
		if w := fileWarning(c, files); w != nil {
			all = append(all, w)
		}
	}
	for _, w := range all {
		fmt.Fprintf(stderr, "warning: %s\n", oneLine(w.Error()))
	}
	fmt.Fprintln(stdout, "ok")
	return exitOK
}

// configure reads the configuration and lets the parts judge what only they can.
func configure(path string) (*conf.Config, error) {
	c, err := conf.Load(path, os.Environ())
	if err != nil {
		return nil, err
	}
	if _, err := policies(c.Policies); err != nil {
		return nil, err
	}
	if _, err := authorizer(c); err != nil {
		return nil, err
	}
	if err := checkLogins(c); err != nil {
		return nil, err
	}
	return c, nil
}
