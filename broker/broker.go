package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/memory"
	"github.com/gudokmq/gudok/store/mutant"
)

// Options are what a Broker is built from. The zero value works: queues in memory, anyone may
// connect and do anything, default limits, no log.
type Options struct {
	// Engine holds the queues. The broker does not close it. Nil means memory, which the broker
	// then owns.
	Engine store.Engine
	// Auth decides who may connect; nil lets anyone, with any login or none.
	Auth Authenticator
	// Rules decides who may send and subscribe where; nil permits everything.
	Rules Authorizer
	// Limits and HeartBeat bound every session.
	Limits    Limits
	HeartBeat HeartBeat
	// Policies say how destinations behave; nil means the defaults.
	Policies *Policies
	// MemoryInUse tells what Limits.Memory is held against, in bytes, a few times a second, or once while the broker
	// rests; nil means what the Go runtime has from the system.
	MemoryInUse func() int64
	// OnRest is called whenever Resting has changed. It may be called from any goroutine and must not block.
	OnRest func()
	// Logger gets one line per session that ends badly, and what goes wrong in the store.
	Logger *slog.Logger
	// Version is what CONNECTED's server header says after "gudok/".
	Version string
}

// Broker routes frames between sessions. Its methods may be called from any goroutine.
type Broker struct {
	// Static.
	engine    store.Engine
	ownEngine bool
	transient *memory.Engine // temporary queues, and those of Spring's user destinations
	private   *memory.Engine // those behind topic subscriptions, apart so that slow ones harm no other
	policies  *Policies
	log       *slog.Logger
	server    string
	version   string
	started   time.Time
	ids       *idSource
	numbers   *sessionNumbers
	topics    *topics
	wheel     *wheel
	names     store.Names // of all engines' queues
	durables  durables
	expiry    expiry
	contexts  contexts
	pressure  pressure
	delayed   store.Consumer
	replies   sync.Map // token of a reply address → name of its queue

	// ctx ends when Shutdown begins, cut when it has no more time.
	ctx, cut       context.Context
	cancel, cutOff context.CancelFunc

	access atomic.Pointer[access] // replaced by Reload
	bounds atomic.Pointer[bounds] // replaced by SetLimits
	reload sync.Mutex             // one Reload at a time; taken before all other locks

	// Counters.
	census      *census
	grants      atomic.Uint64 // that have been made of rules for sessions
	refusals    tally
	refusing    atomic.Int64 // connections that are being told why they may not be there
	refusedAt   atomic.Int64 // when one was last logged, Unix seconds
	deadLetters atomic.Uint64
	logins      loginCounts
	connects    atomic.Uint64
	received    atomic.Uint64 // of sessions that have ended
	delivered   atomic.Uint64

	mu       sync.Mutex // guards what follows
	sessions map[*session]struct{}
	queues   map[string]*queue
	closing  bool
	wg       sync.WaitGroup // sessions
}

// New makes a Broker. Give it connections by Serve; end it by Shutdown.
func New(o Options) (*Broker, error) {
	numbers := new(sessionNumbers)
	b := &Broker{
		engine:   o.Engine,
		policies: o.Policies,
		log:      o.Logger,
		version:  o.Version,
		started:  time.Now(),
		ids:      newIDSource(),
		census:   newCensus(),
		refusals: newTally(),
		topics:   newTopics(numbers),
		numbers:  numbers,
		wheel:    newWheel(),
		sessions: make(map[*session]struct{}),
		queues:   make(map[string]*queue),
	}
	if err := b.SetLimits(o.Limits, o.HeartBeat); err != nil {
		return nil, err
	}
	if b.engine == nil {
		b.engine, b.ownEngine = memory.New(memory.Options{}), true
	}
	b.transient = memory.New(memory.Options{MaxBytes: transientBytes})
	b.private = memory.New(memory.Options{MaxBytes: privateBytes})
	b.names.Exempt = exempt
	for _, e := range []store.Engine{b.engine, b.transient, b.private} {
		if n, ok := e.(store.Namer); ok {
			n.CountNames(&b.names)
		}
	}
	if b.policies == nil {
		b.policies = &Policies{ids: b.ids}
	}
	if o.Auth == nil {
		o.Auth = anyone{}
	}
	b.access.Store(&access{auth: o.Auth, rules: o.Rules})
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.server = "gudok"
	if b.version != "" {
		b.server += "/" + b.version
	}
	b.durables.byQueue = make(map[string]*durable)
	if err := errors.Join(b.restore(), b.releaseDelayed()); err != nil {
		return nil, errors.Join(err, b.transient.Close(), b.private.Close())
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.cut, b.cutOff = context.WithCancel(context.Background())
	b.pressure.init(o.MemoryInUse, o.OnRest)
	go b.sampler()
	return b, nil
}

// Bounds of what lives in memory whatever the engine.
const (
	transientBytes = 256 << 20        // all temporary and Spring user queues together
	privateBytes   = 1 << 30          // all private queues together; they share what they have in common
	orphanTime     = 30 * time.Second // how long such a queue keeps a message without a consumer
)

// ErrShutdown answers a Serve after Shutdown began.
var ErrShutdown = errors.New("broker is shutting down")

// Serve runs a session on c until it ends, and closes c. It returns when nothing of the session
// is left. ctx ending ends the session.
func (b *Broker) Serve(ctx context.Context, c Conn) { b.begin(ctx, c, false, func() {}) }

// Begin is Serve for who need not wait for the end: it may return as soon as the session waits for its client, if c is a
// [Waiter]. From then on the session has goroutines of its own, for which Shutdown waits. When nothing of the session
// is left, over is called, once, perhaps before Begin returns.
func (b *Broker) Begin(ctx context.Context, c Conn, over func()) {
	_, leaves := c.(Waiter)
	b.begin(ctx, c, leaves, over)
}

func (b *Broker) begin(ctx context.Context, c Conn, leaves bool, over func()) {
	s := newSession(b, c)
	if refused := b.admit(s); refused != nil {
		defer over()
		s.refuse(refused)
		return
	}
	s.staying, s.over = leaves, over
	s.watched = b.contexts.watch(ctx, s)
	s.b.wheel.wake(s, s.within, false)
	s.conn.OnWait(s.unsettled, s.settle)
	s.run()
}

// TurnAway tells who is at c that there are too many connections, and closes it. It is for a process that
// can spare no file descriptor for c.
func (b *Broker) TurnAway(c Conn) {
	newSession(b, c).refuse(because(reasonConnections, "the broker has as many connections as its open files allow"))
}

// TurnedAway counts a connection that was told so by somebody else.
func (b *Broker) TurnedAway() { b.refusals.count(reasonConnections) }

func (b *Broker) admit(s *session) *ending {
	from, now := place(s.conn.Peer().Addr), time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return &ending{Reason: reasonShutdown, cause: ErrShutdown}
	}
	if mutant.Is(mutant.WebSocketsUncounted) && s.conn.Peer().Transport == "websocket" {
		b.sessions[s] = struct{}{}
		s.number = b.numbers.give(s)
		b.wg.Add(1)
		return nil
	}
	if refused := b.census.enter(&s.counted, from, s.limits, now); refused != nil {
		return refused
	}
	if b.pressure.refuses() {
		b.census.leave(&s.counted)
		return because(reasonMemory, "try again in a while")
	}
	b.sessions[s] = struct{}{}
	s.number = b.numbers.give(s)
	b.wg.Add(1)
	b.connects.Add(1)
	return nil
}

func (b *Broker) dismiss(s *session) {
	b.contexts.forget(s.watched, s)
	b.received.Add(s.received.Load())
	b.delivered.Add(s.delivered.Load())
	b.census.leave(&s.counted)
	if s.detached {
		b.numbers.drop(s.number)
	}
	b.mu.Lock()
	delete(b.sessions, s)
	b.mu.Unlock()
	b.wg.Done()
}

// Shutdown drains the broker: new sessions are refused, those that are there are closed (code
// 1012, spread over up to a second so that not all come back at once), what they had not
// acknowledged returns to its queue, of which nothing more is handed out. When ctx ends first, the rest is cut off. It returns when
// no session is left, with ctx's error if it had to cut.
func (b *Broker) Shutdown(ctx context.Context) error {
	b.mu.Lock()
	b.closing = true
	all := make([]*session, 0, len(b.sessions))
	for s := range b.sessions {
		all = append(all, s)
	}
	b.mu.Unlock()
	b.cancel()

	gone := make(chan struct{})
	go func() {
		b.wg.Wait()
		close(gone)
	}()
	b.spread(ctx, all)
	var err error
	select {
	case <-gone:
	case <-ctx.Done():
		err = fmt.Errorf("drain sessions: %w", ctx.Err())
		b.cutOff()
		for _, s := range all {
			s.conn.Abort()
		}
		<-gone
	}
	b.cutOff()
	b.pressure.end()
	b.delayed.Close()
	if cerr := errors.Join(b.transient.Close(), b.private.Close()); err == nil && cerr != nil {
		err = fmt.Errorf("close temporary queues: %w", cerr)
	}
	if b.ownEngine {
		if cerr := b.engine.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("close store: %w", cerr)
		}
	}
	return err
}

// spread ends sessions one after the other, with jitter, within a second.
func (b *Broker) spread(ctx context.Context, all []*session) {
	const step = 2 * time.Millisecond
	mean := min(step, time.Second/time.Duration(len(all)+1))
	for i, s := range all {
		s.end(&ending{Reason: reasonShutdown})
		if len(all) < 50 || i%16 != 15 {
			continue // few need no spreading, and a timer per session would be coarse
		}
		select {
		case <-time.After(time.Duration(rand.Int64N(int64(32*mean) + 1))): // #nosec G404 -- it spreads goodbyes
		case <-ctx.Done():
		}
	}
}

// logStore returns a done callback that logs an engine's error nobody else could act on.
func (b *Broker) logStore(what, destination string) func(error) {
	return func(err error) {
		if err != nil && !errors.Is(err, store.ErrClosed) {
			b.log.Error(what, "destination", destination, "error", err)
		}
	}
}

// Snapshot is the broker at one moment.
type Snapshot struct {
	Version   string
	Started   time.Time
	Sessions  int
	Topics    int    // topic names and patterns that somebody subscribes to
	Queues    int    // queues that have a consumer
	Connects  uint64 // sessions since the start
	Received  uint64 // SEND frames since the start
	Delivered uint64 // MESSAGE frames written since the start
	Dead      uint64 // dead letters since the start

	// Logins that failed since the start: refused; not looked at because too many had failed before;
	// not checked because that was not possible. And sessions ended because their time was over.
	LoginsRefused   uint64
	LoginsSlowed    uint64
	LoginsUnchecked uint64
	Expired         uint64

	Outboxes      int64  // bytes that wait to be written to all sessions
	LargestOutbox int64  // to one of them
	Memory        int64  // bytes in use, as Limits.Memory counts them
	MemoryMark    int64  // Limits.Memory
	MemoryShort   bool   // it is above that, or was and is not well below again
	Shed          uint64 // sessions closed since the start because of that, or of Limits.Outboxes

	// Refused is what was refused since the start, by reason: all reasons there are, sorted.
	Refused []Refusal
}

// Snapshot tells how the broker is doing. It takes a lock for as long as it takes to visit every
// session; call it as often as a person would.
func (b *Broker) Snapshot() Snapshot {
	s := Snapshot{
		Version:   b.version,
		Started:   b.started,
		Topics:    b.topics.count(),
		Connects:  b.connects.Load(),
		Received:  b.received.Load(),
		Delivered: b.delivered.Load(),
		Dead:      b.deadLetters.Load(),

		LoginsRefused:   b.logins.refused.Load(),
		LoginsSlowed:    b.logins.slowed.Load(),
		LoginsUnchecked: b.logins.unchecked.Load(),
		Expired:         b.expiry.count.Load(),
		Refused:         b.refusals.list(),

		Memory:      b.pressure.used.Load(),
		MemoryMark:  b.bounds.Load().limits.Memory,
		MemoryShort: b.MemoryShort(),
		Shed:        b.pressure.shed.Load(),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Sessions, s.Queues = len(b.sessions), len(b.queues)
	for c := range b.sessions {
		s.Received += c.received.Load()
		s.Delivered += c.delivered.Load()
		waiting := c.out.waiting.Load()
		s.Outboxes += waiting
		s.LargestOutbox = max(s.LargestOutbox, waiting)
	}
	return s
}

// Resting tells that for a while nothing has come but heart-beats. Whatever ends that is handled no later for it: what
// is saved meanwhile is the program's to decide.
func (b *Broker) Resting() bool { return b.pressure.resting.Load() }

// Pulse is a number that changes at least twice a second while the broker lives and does not rest, from New to
// Shutdown: so a watchdog knows.
func (b *Broker) Pulse() uint64 { return b.pressure.samples.Load() }

// MemoryShort tells that the broker refuses connections for want of memory.
func (b *Broker) MemoryShort() bool { return b.pressure.eased.Load() != nil }
