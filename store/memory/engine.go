package memory

import (
	"time"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/internal/queues"
)

// Options are the limits and hooks of an [Engine]. The zero Options are fine.
type Options struct {
	// MaxBytes bounds the sum of Message.Size over the whole engine; 0 means 1 GiB. The memory
	// in use is higher by 60 to 130 bytes a message, and by what Go's heap has in reserve.
	MaxBytes int64
	// MaxMessages bounds each queue's messages, whatever their state; 0 means 1,000,000.
	MaxMessages int
	// Expired is called once for each message that expired in its queue, and gives the message
	// to publish in its place (a dead letter) or nil for none. A dead letter that a limit refuses
	// is dropped. It runs on the engine's housekeeping goroutine with no lock held, must not
	// block and must not call Engine.Close. nil drops expired messages.
	Expired func(m *store.Message) *store.Message
	// Bounds are further limits of a queue, by name; nil for none. It is asked once for each queue and by Rebound,
	// must not block and must not call the engine.
	Bounds func(queue string) store.Bounds
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
}

// Engine is a [store.Engine] in memory. New makes one; Close ends it. The done of a call runs
// before the call returns; dup is always false.
type Engine struct {
	engine
	bound bindings
}

type engine = store.Engine

var (
	_ store.Engine    = (*Engine)(nil)
	_ store.Rebounder = (*Engine)(nil)
	_ store.Gauger    = (*Engine)(nil)
	_ store.Namer     = (*Engine)(nil)
)

// CountNames implements [store.Namer].
func (e *Engine) CountNames(n *store.Names) { e.engine.(*queues.Table).CountNames(n) }

// Rebound implements [store.Rebounder].
func (e *Engine) Rebound() { e.engine.(*queues.Table).Rebound() }

// Gauges implements [store.Gauger].
func (e *Engine) Gauges(deepest int) store.Gauges { return e.engine.(*queues.Table).Gauges(deepest) }

// New starts an engine. It owns one goroutine, which Close ends.
func New(o Options) *Engine {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 30
	}
	if o.MaxMessages <= 0 {
		o.MaxMessages = 1_000_000
	}
	t := queues.New(queues.Options{MaxBytes: o.MaxBytes, MaxMessages: o.MaxMessages, Expired: o.Expired, Bounds: o.Bounds, Now: o.Now})
	t.Start(nil)
	return &Engine{engine: t}
}
