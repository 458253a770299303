package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

const versionHelp = `Print the version of the broker and what it was built with.

Usage: broker version
`

func runVersion(args []string, stdout, stderr io.Writer) int {
	f := newFlags("version", versionHelp, stdout, stderr)
	if code, ok := f.parseNone(args); !ok {
		return code
	}
	built := runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				built += " " + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	fmt.Fprintf(stdout, "Gudok %s (%s)\n", version, built)
	return exitOK
}
