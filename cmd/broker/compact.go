package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gudokmq/gudok/conf"
	"github.com/gudokmq/gudok/store/bolt"
)

const compactHelp = `Give back the disk space that a store no longer needs. The broker does so by
itself at start when it pays; this does it at once, while no broker runs on the
store. Killed at any moment it leaves the store as it was.

Usage: broker compact [-config FILE]

Flags:
  -config FILE   the configuration that names the store (store.path)

Example:
  broker compact -config gudok.yaml
`

const recoverHelp = `Save what is intact of a damaged store into a new file, and tell what is not.
The damaged file stays where it is, under another name; nothing is deleted. No
broker may run on the store.

Usage: broker recover [-config FILE]

Flags:
  -config FILE   the configuration that names the store (store.path)

Example:
  broker recover -config gudok.yaml
`

func runCompact(args []string, stdout, stderr io.Writer) int {
	return onStore("compact", compactHelp, args, stdout, stderr, func(s conf.Store) error {
		file := filepath.Join(s.Path, bolt.FileName)
		before := fileSize(file)
		if err := bolt.Compact(bolt.Options{Path: s.Path}); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s: %s before, %s now\n", file, before, fileSize(file))
		return nil
	})
}

func runRecover(args []string, stdout, stderr io.Writer) int {
	return onStore("recover", recoverHelp, args, stdout, stderr, func(s conf.Store) error {
		return bolt.Recover(bolt.Options{Path: s.Path}, stdout)
	})
}

// onStore runs a subcommand that works on the store of a configuration.
func onStore(name, help string, args []string, stdout, stderr io.Writer, work func(conf.Store) error) int {
	f := newFlags(name, help, stdout, stderr)
	path := f.String("config", "", "")
	if code, ok := f.parseNone(args); !ok {
		return code
	}
	c, err := configure(*path)
	if err != nil {
		return f.fail(err)
	}
	if c.Store.Engine != "bolt" {
		return f.fail(c.Refuse("store.engine", fmt.Sprintf("%q keeps no file (write bolt)", c.Store.Engine)))
	}
	if err := work(c.Store); err != nil {
		return f.fail(err)
	}
	return exitOK
}

func fileSize(path string) conf.Size {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return conf.Size(info.Size())
}
