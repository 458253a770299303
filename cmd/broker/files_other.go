//go:build !linux

package main

import "math"

// raiseFileLimit does nothing here: other systems have no limit of this kind, or Go raises it.
func raiseFileLimit() (uint64, error) { return math.MaxUint64, nil }

// fileLimit is not known here.
func fileLimit() uint64 { return math.MaxUint64 }
