//go:build !linux

package bolt

import "os"

func adviseRandom(*os.File) {}
