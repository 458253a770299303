//go:build !unix

package main

import "os"

// debugSignal does not exist here.
var debugSignal os.Signal
