//go:build !linux

package main

import "os"

// hideInput is not there on this system: the password is read as from a pipe.
func hideInput(*os.File) (show func(), ok bool) { return nil, false }
