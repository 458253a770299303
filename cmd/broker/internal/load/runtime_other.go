//go:build !unix

package load

import "errors"

func wakeUp(int) error { return errors.New("only on Unix") }
