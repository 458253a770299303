package broker

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
)

// contexts ends sessions whose context ends. Sessions of one context, which a transport gives to all of
// its own, share one registration: an idle session has none to keep.
type contexts struct {
	mu sync.Mutex // guards what follows
	of map[context.Context]*watched
}

// watched is a context with sessions.
type watched struct {
	ctx      context.Context
	sessions map[*session]struct{} // nil: one alone, of a context that cannot be compared
	stop     func() bool
}

// watch ends s when ctx does, until forget.
func (c *contexts) watch(ctx context.Context, s *session) *watched {
	switch {
	case ctx.Done() == nil:
		return nil
	case !reflect.TypeOf(ctx).Comparable():
		return &watched{stop: context.AfterFunc(ctx, s.abandon)}
	}
	w := c.join(ctx, s)
	if ctx.Err() != nil { // done may have been here already
		s.abandon()
	}
	return w
}

func (c *contexts) join(ctx context.Context, s *session) *watched {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.of[ctx]
	if w == nil {
		if c.of == nil {
			c.of = make(map[context.Context]*watched)
		}
		w = &watched{ctx: ctx, sessions: make(map[*session]struct{})}
		w.stop = context.AfterFunc(ctx, func() { c.done(w) })
		c.of[ctx] = w
	}
	w.sessions[s] = struct{}{}
	return w
}

// done ends all sessions of a context that has ended.
func (c *contexts) done(w *watched) {
	c.mu.Lock()
	all := slices.Collect(maps.Keys(w.sessions))
	c.mu.Unlock()
	for _, s := range all {
		s.abandon()
	}
}

// forget is the end of s, which was watched by w.
func (c *contexts) forget(w *watched, s *session) {
	if w == nil {
		return
	}
	if w.sessions != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(w.sessions, s)
		if len(w.sessions) > 0 || c.of[w.ctx] != w {
			return
		}
		delete(c.of, w.ctx)
	}
	w.stop()
}

// abandon ends a session whose context has ended.
func (s *session) abandon() { s.end(&ending{Reason: reasonShutdown}) }
