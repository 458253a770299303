package bolt

import "sync"

// answerer runs callbacks, in order, on a goroutine of its own: they may publish, and so wait for the
// committer.
type answerer struct {
	onFatal func(error)
	recycle func([]op)    // takes a slice whose ops are answered
	done    chan struct{} // closed when it has ended

	mu     sync.Mutex
	filled sync.Cond
	queue  [][]op
	failed error // onFatal is to be told
	ending bool
}

func newAnswerer(onFatal func(error), recycle func([]op)) *answerer {
	a := &answerer{onFatal: onFatal, recycle: recycle, done: make(chan struct{})}
	a.filled.L = &a.mu
	return a
}

// put has the ops answered, each with its own error. It takes the slice over.
func (a *answerer) put(ops []op) {
	if len(ops) == 0 {
		return
	}
	a.mu.Lock()
	a.queue = append(a.queue, ops)
	a.mu.Unlock()
	a.filled.Signal()
}

func (a *answerer) fatal(err error) {
	a.mu.Lock()
	a.failed = err
	a.mu.Unlock()
	a.filled.Signal()
}

// end has it answer what is left and stop, and waits for that.
func (a *answerer) end() {
	a.mu.Lock()
	a.ending = true
	a.mu.Unlock()
	a.filled.Signal()
	<-a.done
}

func (a *answerer) run() {
	defer close(a.done)
	for {
		a.mu.Lock()
		for len(a.queue) == 0 && a.failed == nil && !a.ending {
			a.filled.Wait()
		}
		queue, failed := a.queue, a.failed
		a.queue, a.failed = nil, nil
		ended := a.ending && len(queue) == 0
		a.mu.Unlock()
		for _, ops := range queue {
			for i := range ops {
				ops[i].answer()
			}
			a.recycle(ops)
		}
		if failed != nil && a.onFatal != nil {
			a.onFatal(failed)
		}
		if ended {
			return
		}
	}
}

// answer tells whoever waits for an op.
func (o *op) answer() {
	switch {
	case o.tx != nil:
		o.tx.Finish(o.places, o.err)
	case o.published != nil:
		o.published(false, o.err)
	case o.done != nil:
		o.done(o.err)
	}
}
