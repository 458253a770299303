package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
	berrors "go.etcd.io/bbolt/errors"
)

// classify wraps store.ErrFull where the disk or the file has no room. bbolt has then undone the
// transaction. Everything else, and whatever a sync says, means that nobody knows what is on the
// disk.
func classify(err error) error {
	if err == nil || mutant.Is(mutant.SyncErrorIgnored) {
		return nil
	}
	var path *fs.PathError
	full := errors.As(err, &path) && path.Op == "write" && noRoom(err)
	// bbolt does not wrap what truncate said; nothing has been written then.
	resize := strings.HasPrefix(err.Error(), "file resize error") &&
		slices.ContainsFunc(noRooms, func(e error) bool { return strings.Contains(err.Error(), e.Error()) })
	if full || resize || errors.Is(err, berrors.ErrMaxSizeReached) || errors.Is(err, store.ErrFull) {
		return fmt.Errorf("%w: write the journal: %w", store.ErrFull, err)
	}
	return fmt.Errorf("write the journal: %w", err)
}

// noRooms are how the system says that the disk, the user's share of it, or the file is full.
var noRooms = []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}

func noRoom(err error) bool {
	return slices.ContainsFunc(noRooms, func(e error) bool { return errors.Is(err, e) })
}

// Usage is how much of the disk the store takes.
type Usage struct {
	// File is how far the file is in use or was; Used is how much of that is in use. Beyond it lies
	// what is allocated ahead.
	File, Used int64
	// Commits and Live are what the journal holds: commits, and records not yet acknowledged.
	Commits, Live uint64
}

// room is what the committer knows of the space there is. The file grows here only, by blocks that
// the file system has handed over, before a transaction that needs them. So what the file has it can
// use again whatever the disk has left, and messages leave a reserve of it: acknowledgements and
// deletions write pages as well before they free any.
type room struct {
	size   int64 // of the file, bytes, as bbolt counts
	free   int64 // of it, not in use
	end    int64 // of the file, allocated up to there
	disk   int64 // what the disk gives messages; below 0: so far below MinFree
	denied bool  // the disk has refused what it seemed to have

	failed int64         // how much room there was when a transaction found too little; -1: none did
	pause  time.Duration // how long after that one tries whether it fits now
	until  time.Time     // the end of that
}

// What is kept for acknowledgements: a part of the file, within bounds.
const (
	reservePart  = 16
	reserveLeast = 1 << 20
	reserveMost  = 16 << 20
)

const (
	plenty     = math.MaxInt64 / 4 // as much as anybody asks for
	scarce     = 64 << 10          // with less room no message is taken
	longestTry = 10 * time.Second
)

// ahead is what is allocated and was never used.
func (r *room) ahead() int64 { return r.end - r.size }

// measure notes how much of the file is in use, after a transaction.
func (c *committer) measure() error {
	tx, err := c.db.Begin(false)
	if err != nil {
		return err
	}
	size := tx.Size()
	if err := tx.Rollback(); err != nil {
		return err
	}
	s := c.db.Stats()
	c.room.size, c.room.free = size, int64(s.FreePageN+s.PendingPageN)*int64(c.db.Info().PageSize)
	c.room.end = max(c.room.end, size)
	// Beyond what was in use before a batch finds a place in one piece, whatever its size.
	c.j.tight.Store(growsAhead && c.room.ahead() < 2*batchBytes && c.room.disk < 2*batchBytes)
	c.mu.Lock()
	c.usage = Usage{File: size, Used: size - c.room.free, Commits: c.manifest.buckets, Live: c.manifest.live}
	c.mu.Unlock()
	return nil
}

// openRoom looks how much room there is before anything is written, and sees to the reserve.
func (c *committer) openRoom() error {
	c.room.failed = -1
	if err := c.measure(); err != nil {
		return err
	}
	if growsAhead {
		whole, err := allocated(c.file)
		if err != nil {
			return err
		}
		c.allocatedTo(max(c.room.size, whole))
		c.db.AllocSize = 0
	}
	return c.look()
}

// limit bounds the file.
func (c *committer) limit() int64 {
	if c.opts.MaxSize > 0 {
		return c.opts.MaxSize
	}
	return plenty
}

// reserve is how much of the file is not for messages.
func (c *committer) reserve() int64 {
	r := &c.room
	all := r.end + max(min(r.disk, c.limit()-r.end), 0)
	return min(max(r.size/reservePart, reserveLeast), reserveMost, all/4)
}

// forMessages is how much messages may still take. Below MinFree that is only what was in use before.
func (c *committer) forMessages() int64 {
	r := &c.room
	if r.disk < 0 {
		return r.free - max(c.reserve()-r.ahead(), 0)
	}
	more := max(min(r.disk, c.limit()-r.end), 0)
	if r.denied {
		more = 0
	}
	return r.free + r.ahead() + more - c.reserve()
}

// enough is with how much room messages are taken again: more than it takes to lose it at once.
func (c *committer) enough() int64 { return min(2<<20, c.limit()/16) }

// pressed tells that room is so little that it is worth work to make some.
func (c *committer) pressed() bool {
	return c.j.full.Load() || c.forMessages() < min(max(c.room.size/2, 4<<20), 64<<20)
}

// askDisk asks the disk what it has.
func (c *committer) askDisk() {
	c.room.disk = plenty
	if free, ok := freeSpace(c.opts.Path); ok {
		c.room.disk = free - max(c.opts.MinFree, 0)
	}
}

// grow allocates the file's blocks up to want, and step more if there is plenty. For messages it leaves
// MinFree alone. It tells whether there are as many now; an error is the end.
func (c *committer) grow(want, step int64, messages bool) (bool, error) {
	r := &c.room
	page := int64(c.db.Info().PageSize)
	want = (want + 2*page) &^ (page - 1) // bbolt wants one more
	if want <= r.end {
		return true, nil
	}
	c.askDisk()
	disk := r.disk
	if !messages {
		disk += max(c.opts.MinFree, 0)
	}
	if want-r.end > disk || want > c.limit() {
		return false, nil
	}
	if !growsAhead {
		return true, nil // bbolt does
	}
	step = max(min(step, r.disk/8, c.limit()-want), 0) &^ (page - 1)
	full, err := c.allocate(want + step)
	if full && step > 0 {
		full, err = c.allocate(want)
	}
	r.denied = full
	return !full && err == nil, err
}

// allocate makes the file that long; full tells that the disk has not enough for it.
func (c *committer) allocate(to int64) (full bool, err error) {
	c.step()
	if c.opts.hooks.grow != nil {
		err = c.opts.hooks.grow()
	}
	if err == nil {
		err = allocate(c.file, c.room.end, to-c.room.end)
	}
	if noRoom(err) {
		return true, nil
	}
	if err == nil {
		err = c.file.Sync() // of the length: bbolt does so as well
	}
	if err == nil {
		c.allocatedTo(to)
	}
	return false, err
}

// allocatedTo notes how long the file is. bbolt will not make it longer.
func (c *committer) allocatedTo(end int64) {
	c.room.end = end
	c.db.MaxSize = int(min(end, math.MaxInt))
}

// admit makes room for what a batch writes, or tells that there is none. Messages leave the reserve
// alone; of what only makes room in the end a part of it is enough.
func (c *committer) admit(b *batch) error {
	binds := slices.ContainsFunc(c.binds, func(b *binding) bool { return !b.ends })
	if len(b.records) == 0 && !binds {
		return nil
	}
	r := &c.room
	need := b.bytes() + 16*int64(c.db.Info().PageSize)
	keep := c.reserve()
	messages := binds || slices.ContainsFunc(b.owners, func(w owner) bool { return w.old == 0 })
	switch {
	case !messages:
		keep /= 4
	case r.disk < 0:
		if c.forMessages() < need {
			return errNoRoom
		}
		return nil
	}
	if messages || !c.j.full.Load() {
		step := int64(allocSize(c.opts.MaxSize))
		if ok, err := c.grow(r.size+max(need, need+keep-r.free), step, true); ok || err != nil {
			return classify(err)
		}
	}
	if r.free+r.ahead()-keep < need {
		return errNoRoom
	}
	return nil
}

var errNoRoom = fmt.Errorf("%w: no room on the disk", store.ErrFull)

// bytes is about how much the batch's records take.
func (b *batch) bytes() int64 {
	n := len(b.index) + len(b.bodies)
	for i := range b.big {
		n += len(b.big[i].id) + len(b.big[i].data) + 4<<10
	}
	return int64(n + n/64)
}

// lookAround looks again how much room there is; at most once in a while.
func (c *committer) lookAround() {
	if time.Since(c.looked) < c.opts.fullNap/4 {
		return
	}
	if err := c.look(); err != nil {
		c.fail(classify(err))
		return
	}
	c.squeeze()
}

// look sees to the reserve and decides whether messages are taken.
func (c *committer) look() error {
	c.looked = time.Now()
	r := &c.room
	c.askDisk()
	if r.denied {
		if _, err := c.grow(r.end, c.enough(), true); err != nil {
			return err
		}
	}
	// Also of what is to stay free: that is for messages only.
	if _, err := c.grow(r.size+c.reserve()-r.free, 0, false); err != nil {
		return err
	}
	free := c.forMessages()
	switch full := c.j.full.Load(); {
	case !full && free < scarce:
		c.setFull(true)
	case full && len(c.owed) == 0 && free >= c.enough() && (free >= r.failed+c.enough() || c.looked.After(r.until)):
		c.setFull(false)
	}
	return nil
}

// tooFull notes that a batch has found no room.
func (c *committer) tooFull(err error) {
	r := &c.room
	if errors.Is(err, errNoRoom) {
		if c.forMessages() < c.enough() { // else it was just too big
			c.setFull(true)
		}
		return
	}
	// In pieces too small, maybe.
	r.failed = c.forMessages()
	r.pause = min(max(2*r.pause, c.opts.fullNap), longestTry)
	r.until = time.Now().Add(r.pause)
	c.setFull(true)
}

// fits notes that a batch with messages has found room.
func (r *room) fits() { r.failed, r.pause = -1, 0 }

func (c *committer) setFull(full bool) {
	if c.j.full.Swap(full) == full {
		return
	}
	r := &c.room
	say, what := c.opts.Logger.Info, "the store takes messages again"
	if full {
		say, what = c.opts.Logger.Warn, "the store takes no messages: no room"
	}
	say(what, "path", c.opts.file(), "used", r.size-r.free, "file", r.end, "disk", r.disk)
}
