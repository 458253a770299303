package bolt

import (
	"fmt"
	"sync"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/internal/queues"
	"go.etcd.io/bbolt"
)

// Engine is a [store.Engine] on a file. Open makes one; Close ends it. Its dups are always false.
type Engine struct {
	engine

	// Static after Open.
	opts      Options
	db        *bbolt.DB
	table     *queues.Table
	journal   *journal
	committer *committer
	reader    *reader
	answerer  *answerer
	damage    *damages
	bound     bindings

	closing sync.Once
	err     error // of closing the file
}

type engine = store.Engine

var _ store.Engine = (*Engine)(nil)

// Open opens the store in a data directory, or makes one. It reads the index of what the file holds,
// not the messages. An error is one line that names the path and the cure; see ErrDamaged and
// ErrFormat. The engine owns four goroutines, which Close ends.
func Open(o Options) (*Engine, error) {
	o = o.withDefaults()
	if err := makeDir(&o); err != nil {
		return nil, err
	}
	free, err := lockDir(o.Path, o.LockTimeout)
	if err != nil {
		return nil, openError(o.file(), err)
	}
	defer free() // the file is locked then
	if err := prepare(&o); err != nil {
		return nil, err
	}
	db, f, err := openFile(&o, o.file())
	if err != nil {
		return nil, err
	}
	if compactPays(db) {
		if err := db.Close(); err != nil {
			return nil, openError(o.file(), err)
		}
		if err := compact(o); err != nil {
			o.Logger.Warn("the file stays as big as it is", "path", o.file(), "error", err)
		}
		if db, f, err = openFile(&o, o.file()); err != nil {
			return nil, err
		}
	}
	e := assemble(o, db)
	e.committer.file, e.reader.file = f, f
	err = e.restore()
	if err == nil {
		err = e.committer.openRoom()
	}
	if err != nil {
		_ = db.Close() // the error that counts is the first
		return nil, openError(o.file(), err)
	}
	e.start()
	return e, nil
}

// assemble puts the parts together.
func assemble(o Options, db *bbolt.DB) *Engine {
	e := &Engine{opts: o, db: db, journal: newJournal(), damage: &damages{}}
	e.answerer = newAnswerer(o.Fatal, e.journal.recycle)
	e.table = queues.New(queues.Options{
		MaxBytes: o.MaxBytes, MaxMessages: o.MaxMessages, MaxQueueBytes: o.MaxQueueBytes,
		MaxTransient: o.MaxTransient, HotBytes: o.HotBytes, Expired: o.Expired, Bounds: o.Bounds, Now: o.Now, Journal: e.journal,
	})
	e.engine = e.table
	e.reader = &reader{
		j: e.journal, db: db, opts: &e.opts, table: e.table, damage: e.damage, done: make(chan struct{}),
	}
	e.reader.filled.L = &e.reader.mu
	e.journal.reader = e.reader
	e.committer = &committer{
		j: e.journal, db: db, opts: &e.opts, table: e.table, answer: e.answerer, done: make(chan struct{}),
		buckets: map[uint64]*bucket{}, bound: map[string]uint64{},
	}
	e.reader.fail = e.committer.fail
	return e
}

func (e *Engine) start() {
	go e.answerer.run()
	go e.committer.run()
	go e.reader.run()
	e.table.Start(func(q *queues.Queue, at queues.Place) {
		e.damage.report(e.opts.Logger, Damage{
			Queue: q.Name(), Commit: commitOf(at), Record: indexOf(at), Reason: "its place in the queue is taken by another message",
		})
	})
}

// Usage tells how much of the disk the store takes, as of the last commit.
func (e *Engine) Usage() Usage {
	e.committer.mu.Lock()
	defer e.committer.mu.Unlock()
	return e.committer.usage
}

// Full tells that messages are refused for want of room on the disk.
func (e *Engine) Full() bool { return e.journal.full.Load() }

// Close implements [store.Engine]: it writes what was promised, and answers it, before it returns.
func (e *Engine) Close() error {
	e.closing.Do(func() {
		_ = e.table.Close() // nil always
		e.journal.end()
		<-e.committer.done
		e.answerer.end()
		e.reader.end()
		if e.committer.stuck {
			return // it would wait for ever; the process is to end
		}
		if err := e.db.Close(); err != nil {
			e.err = fmt.Errorf("close %s: %w", e.opts.file(), err)
		}
	})
	return e.err
}

// CountNames implements [store.Namer].
func (e *Engine) CountNames(n *store.Names) { e.table.CountNames(n) }

// Rebound implements [store.Rebounder].
func (e *Engine) Rebound() { e.table.Rebound() }

// Path is the data directory.
func (e *Engine) Path() string { return e.opts.Path }
