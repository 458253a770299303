package broker

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// guard runs a part of a session's life. A panic in it is a fault of ours that a frame of this
// session has met: it is logged with its stack and returned as the end of this session alone.
//
// A panic with a store's code on the stack goes on, and ends the process: what the store has
// promised cannot be vouched for any more, and its locks may be held.
func (s *session) guard(f func()) (bad *ending) {
	returned := false
	defer func() {
		if returned || inStore() {
			return
		}
		v := recover()
		if v == nil {
			return // runtime.Goexit, in tests
		}
		s.b.log.Error("session panicked", "session", s.id, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		bad = &ending{Reason: reasonInternal, cause: fmt.Errorf("panic: %v", v)}
	}()
	f()
	returned = true
	return nil
}

// inStore tells whether a store's code is on this goroutine's stack.
func inStore() bool {
	pc := make([]uintptr, 256)
	frames := runtime.CallersFrames(pc[:runtime.Callers(2, pc)])
	for {
		frame, more := frames.Next()
		if strings.Contains(frame.Function, "gudok/store") {
			return true
		}
		if !more {
			return false
		}
	}
}
