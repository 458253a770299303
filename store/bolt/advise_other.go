//go:build !linux

package bolt

import "os"

func adviseRandom(*os.File) {}

func adviseNeed(*os.File, int64, int64) {}
