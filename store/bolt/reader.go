package bolt

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gudokmq/gudok/store/internal/queues"
	"go.etcd.io/bbolt"
)

// reader is the one goroutine that reads bodies back, away from all that must not wait for a disk.
type reader struct {
	// Static after construction.
	j      *journal
	db     *bbolt.DB
	opts   *Options
	table  *queues.Table
	damage *damages
	fail   func(error)   // told that the disk cannot be read
	done   chan struct{} // closed when it has ended

	file *os.File // bbolt's

	// What of the file the kernel was last asked to read ahead; the goroutine's own.
	from, to int64

	mu      sync.Mutex
	filled  sync.Cond
	fetches []fetch
	cleans  []*moves
	ending  bool
}

// fetch is a queue that waits for the body of its next message.
type fetch struct {
	q   *queues.Queue
	pos uint64
	at  queues.Place
}

// What one fetch reads ahead at most, and what it may while memory is full.
const (
	aheadMessages = 1024
	aheadBytes    = 1 << 20
	tightBytes    = 64 << 10
)

func (r *reader) fetch(q *queues.Queue, pos uint64, at queues.Place) {
	r.mu.Lock()
	r.fetches = append(r.fetches, fetch{q, pos, at})
	r.mu.Unlock()
	r.filled.Signal()
}

// clean asks for the records of commits to be moved.
func (r *reader) clean(mv *moves) {
	r.mu.Lock()
	r.cleans = append(r.cleans, mv)
	r.mu.Unlock()
	r.filled.Signal()
}

// end stops it and waits for that.
func (r *reader) end() {
	r.mu.Lock()
	r.ending = true
	r.mu.Unlock()
	r.filled.Signal()
	<-r.done
}

func (r *reader) run() {
	defer close(r.done)
	for {
		r.mu.Lock()
		for len(r.fetches) == 0 && len(r.cleans) == 0 && !r.ending {
			r.filled.Wait()
		}
		if r.ending {
			r.mu.Unlock()
			return
		}
		var f fetch
		var clean *moves
		if len(r.fetches) > 0 {
			f, r.fetches = r.fetches[0], r.fetches[1:]
		} else {
			clean, r.cleans = r.cleans[0], r.cleans[1:]
		}
		r.mu.Unlock()
		if f.q != nil {
			r.serve(f)
		} else {
			r.gather(clean)
		}
	}
}

// serve reads the body that a queue waits for, and those of the messages after it.
func (r *reader) serve(f fetch) {
	budget := int64(aheadBytes)
	if left := r.opts.HotBytes - r.table.Hot(); left < budget {
		budget = max(left, tightBytes)
	}
	cold := f.q.Cold(f.pos, aheadMessages)
	if len(cold) == 0 || cold[0].Pos != f.pos {
		f.q.Install(nil, true) // it has gone meanwhile
		return
	}
	got, err := r.load(f.q, cold, budget)
	if err != nil {
		r.opts.Logger.Error("read messages back", "queue", f.q.Name(), "path", r.opts.file(), "error", err)
	}
	f.q.Install(got, true)
}

// read puts the messages in that are where bodies says.
func (r *reader) read(q *queues.Queue, bodies []queues.Body) {
	for len(bodies) > 0 {
		got, err := r.load(q, bodies, aheadBytes)
		if err != nil {
			r.opts.Logger.Error("read messages", "queue", q.Name(), "path", r.opts.file(), "error", err)
		}
		copy(bodies, got)
		bodies = bodies[max(len(got), 1):]
	}
}

// load reads the bodies of as many of the messages as the budget allows, at least of the first.
// Damaged ones are told to the committer, and come back without a message.
func (r *reader) load(q *queues.Queue, cold []queues.Body, budget int64) ([]queues.Body, error) {
	var got []queues.Body
	var missing error
	err := view(r.db, func(tx *bbolt.Tx) error {
		log := tx.Bucket(bucketLog)
		var c *commit
		for _, b := range cold {
			if len(got) > 0 && budget <= 0 {
				return nil
			}
			if c == nil || c.no != commitOf(b.At) {
				var err error
				r.ahead(log.Bucket(commitKey(commitOf(b.At))))
				if c, err = openCommit(log, commitOf(b.At)); err != nil {
					missing = err
					return nil
				}
			}
			if b.At&pending != 0 || indexOf(b.At) >= c.n() {
				missing = errGone
				return nil
			}
			body, err := c.body(indexOf(b.At))
			if err == nil {
				b.M = c.record(indexOf(b.At)).message(append([]byte(nil), body...))
				budget -= int64(b.M.Size())
			} else {
				r.quarantine(q.Name(), b.At, c, err)
			}
			got = append(got, b)
		}
		return nil
	})
	if errors.Is(err, errUnreadable) {
		r.fail(fmt.Errorf("read messages of %s: %w", q.Name(), err))
		return nil, nil
	}
	if errors.Is(err, ErrDamaged) && len(got) == 0 {
		return r.broken(q, cold, err), nil
	}
	if err != nil || len(got) > 0 || missing == nil {
		return got, err
	}
	// The first was not there. Unless it is being moved just now, the file has lost it.
	b := cold[0]
	for r.j.isWriting() {
		time.Sleep(time.Millisecond)
	}
	if now := q.Cold(b.Pos, 1); len(now) == 1 && now[0] == b {
		r.damage.report(r.opts.Logger, Damage{Queue: q.Name(), Commit: commitOf(b.At), Record: indexOf(b.At), Reason: missing.Error()})
		return []queues.Body{b}, nil
	}
	return nil, nil
}

// broken tells of the messages that lie in the first one's commit, whose pages make no sense, and gives
// them without a message, so that those of other commits have their turn. They stay in the file.
func (r *reader) broken(q *queues.Queue, cold []queues.Body, err error) (lost []queues.Body) {
	for _, b := range cold {
		if commitOf(b.At) != commitOf(cold[0].At) || b.At&pending != 0 {
			break
		}
		b.M = nil
		r.damage.report(r.opts.Logger, Damage{Queue: q.Name(), Commit: commitOf(b.At), Record: indexOf(b.At), Reason: err.Error()})
		lost = append(lost, b)
	}
	return lost
}

// readAhead is how much the kernel is asked for at a time: commits that follow each other in a queue
// mostly do so in the file.
const readAhead = 4 << 20

// ahead has the kernel read what comes after a commit's pages, before it is wanted: to wait for a page
// at the touch of it holds up more than this goroutine.
func (r *reader) ahead(b *bbolt.Bucket) {
	if b == nil || b.Root() == 0 {
		return // it is gone, or so small that it is read already
	}
	at := int64(b.Root()) * int64(r.db.Info().PageSize)
	switch {
	case at >= r.from && at < r.to-readAhead/2:
		return
	case at >= r.from && at < r.to:
		r.from = at
	default:
		r.from, r.to = at, at
	}
	adviseNeed(r.file, r.to, readAhead)
	r.to += readAhead
}

// gather reads the live records of commits for the committer to write them again. It takes them
// all for live that are in the file; the committer knows better.
func (r *reader) gather(mv *moves) {
	err := view(r.db, func(tx *bbolt.Tx) error {
		log, acks := tx.Bucket(bucketLog), tx.Bucket(bucketAcks)
		bytes := 0
		for i, no := range mv.commits {
			c, err := openCommit(log, no)
			if errors.Is(err, errGone) {
				continue
			}
			if err != nil {
				return err
			}
			known := newBucket(no, c.n())
			if raw := acks.Get(commitKey(no)); raw != nil {
				if err := known.readMarks(raw); err != nil {
					return err
				}
			}
			if n := c.size(known); mv.budget > 0 && bytes+n > mv.budget {
				if bytes == 0 {
					continue // too big by itself
				}
				mv.left = mv.commits[i:]
				return nil
			}
			for k := range c.n() {
				if !known.isLive(k) {
					continue
				}
				if mv.budget == 0 && (len(mv.records) >= aheadMessages || bytes >= aheadBytes) {
					return nil
				}
				body, err := c.body(k)
				if err != nil {
					continue // it is reported when it is to be delivered
				}
				rec := *c.record(k)
				mv.records = append(mv.records, rec)
				mv.bodies = append(mv.bodies, append([]byte(nil), body...))
				mv.old = append(mv.old, place(no, k))
				bytes += len(body) + 2*recordLen
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, errUnreadable):
		r.fail(fmt.Errorf("clean the journal: %w", err))
	case err != nil:
		r.opts.Logger.Error("clean the journal", "path", r.opts.file(), "error", err)
	}
	mv.owners = make([]*queues.Queue, len(mv.records))
	for i := range mv.records {
		mv.owners[i] = r.table.Find(mv.records[i].queue)
	}
	r.j.mu.Lock()
	r.j.put(op{kind: opMove, moves: mv})
	r.j.mu.Unlock()
}

// isWriting tells that a commit is under way.
func (j *journal) isWriting() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.writing != nil
}

// view is db.View, of which damage to the file makes an error instead of a panic.
func view(db *bbolt.DB, f func(tx *bbolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // also of a page that the disk cannot give
	size := int64(0)
	defer func() {
		if p := recover(); p != nil {
			err = panicked(db, size, p)
		}
	}()
	return db.View(func(tx *bbolt.Tx) error {
		size = tx.Size()
		return f(tx)
	})
}

// errUnreadable tells that the disk does not give a page that the file has.
var errUnreadable = errors.New("the disk cannot be read")

// panicked makes an error of a panic in bbolt, whose file is in use up to size: the disk has failed if
// it was in the mapped file that memory could not be read, the file is damaged otherwise.
func panicked(db *bbolt.DB, size int64, p any) error {
	if at, ok := p.(interface{ Addr() uintptr }); ok {
		if start := db.Info().Data; at.Addr() >= start && at.Addr()-start < uintptr(size) {
			return fmt.Errorf("%w: at byte %d of the file", errUnreadable, at.Addr()-start)
		}
	}
	return fmt.Errorf("%w: %v", ErrDamaged, p)
}

// errGone tells that there is no such commit, or no such record in it.
var errGone = errors.New("the commit is missing")

// commit is a commit's bucket in a transaction; it is good for as long as that.
type commit struct {
	no     uint64
	bucket *bbolt.Bucket
	index  index
	bodies []byte
}

// openCommit reads a commit's index. One whose checksum is wrong is used as far as it goes: each
// record has its own.
func openCommit(log *bbolt.Bucket, no uint64) (*commit, error) {
	b := log.Bucket(commitKey(no))
	if b == nil {
		return nil, errGone
	}
	idx, err := parseIndex(b.Get(keyIndex), func(name []byte) string { return string(name) })
	if err != nil && !errors.Is(err, errIndexCRC) {
		return nil, err
	}
	return &commit{no: no, bucket: b, index: idx, bodies: b.Get(keyBodies)}, nil
}

func (c *commit) n() int               { return len(c.index.records) }
func (c *commit) record(i int) *record { return &c.index.records[i] }

// size is about how much of the file the records take that are live.
func (c *commit) size(known *bucket) int {
	n := 0
	for i := range c.n() {
		if known.isLive(i) {
			n += c.record(i).bodyLen() + 2*recordLen
		}
	}
	return n
}

// body gives ID and data of a record, checked.
func (c *commit) body(i int) ([]byte, error) {
	r := c.record(i)
	if r.off == ownKey {
		return r.body(nil, c.bucket.Get(bigKey(i)))
	}
	return r.body(c.bodies, nil)
}

// quarantine has a damaged record set aside and says so.
func (r *reader) quarantine(queue string, at queues.Place, c *commit, why error) {
	i := indexOf(at)
	rec := c.record(i)
	d := &damaged{at: at}
	raw := c.bodies
	switch {
	case rec.off == ownKey:
		raw = c.bucket.Get(bigKey(i))
	case uint64(rec.off)+uint64(rec.bodyLen()) <= uint64(len(raw)):
		raw = raw[rec.off:][:rec.bodyLen()]
	default:
		raw = nil
	}
	d.raw = append(d.raw, raw...)
	d.about = Damage{Queue: queue, ID: printable(raw, int(rec.idLen)), Commit: c.no, Record: i, Reason: why.Error()}
	if !r.damage.report(r.opts.Logger, d.about) {
		return // already known, and on its way
	}
	r.j.mu.Lock()
	r.j.put(op{kind: opDamage, at: at, damage: d})
	r.j.mu.Unlock()
}

// printable is what can be told of the ID of a damaged message.
func printable(raw []byte, n int) string {
	id := make([]byte, 0, min(n, len(raw)))
	for _, c := range raw[:min(n, len(raw), 256)] {
		if c < ' ' || c > '~' {
			c = '?'
		}
		id = append(id, c)
	}
	return string(id)
}

// damages collects what is known to be damaged.
type damages struct {
	mu    sync.Mutex
	count int
	seen  map[queues.Place]bool
	list  []Damage // the first of them
}

// maxDamages bounds how many damages are told one by one.
const maxDamages = 1000

// report notes a damage and logs it; false if it is known.
func (d *damages) report(logger *slog.Logger, about Damage) bool {
	at := place(about.Commit, max(about.Record, 0))
	d.mu.Lock()
	known := about.Record >= 0 && d.seen[at]
	if !known {
		if d.seen == nil {
			d.seen = map[queues.Place]bool{}
		}
		d.seen[at] = true
		d.count++
		if len(d.list) < maxDamages {
			d.list = append(d.list, about)
		}
	}
	told := !known && len(d.list) < maxDamages
	d.mu.Unlock()
	if told {
		logger.Error("a part of the store is damaged", "queue", about.Queue, "message", about.ID,
			"commit", about.Commit, "record", about.Record, "reason", about.Reason)
	}
	return !known
}
