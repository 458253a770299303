package memory

import (
	"cmp"
	"slices"
	"sync"

	"github.com/gudokmq/gudok/store"
)

// bindings are the engine's [store.Binder] part: what is bound, for as long as the engine lives.
type bindings struct {
	mu      sync.Mutex // guards what follows
	byQueue map[string]store.Binding
}

var _ store.Binder = (*Engine)(nil)

// Bind implements [store.Binder]. done runs before Bind returns.
func (e *Engine) Bind(b store.Binding, done func(error)) {
	e.bound.mu.Lock()
	if e.bound.byQueue == nil {
		e.bound.byQueue = map[string]store.Binding{}
	}
	e.bound.byQueue[b.Queue] = b
	e.bound.mu.Unlock()
	if done != nil {
		done(nil)
	}
}

// Unbind implements [store.Binder]. done runs before Unbind returns.
func (e *Engine) Unbind(queue string, done func(error)) {
	e.Drop(queue, func(err error) {
		if err == nil {
			e.bound.mu.Lock()
			delete(e.bound.byQueue, queue)
			e.bound.mu.Unlock()
		}
		if done != nil {
			done(err)
		}
	})
}

// Bindings implements [store.Binder].
func (e *Engine) Bindings() []store.Binding {
	e.bound.mu.Lock()
	all := make([]store.Binding, 0, len(e.bound.byQueue))
	for _, b := range e.bound.byQueue {
		all = append(all, b)
	}
	e.bound.mu.Unlock()
	slices.SortFunc(all, func(a, b store.Binding) int { return cmp.Compare(a.Queue, b.Queue) })
	return all
}
