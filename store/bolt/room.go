package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
	"go.etcd.io/bbolt"
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
	noRoom := errors.As(err, &path) && path.Op == "write" &&
		(errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG))
	// bbolt does not wrap what truncate said; nothing has been written then.
	resize := strings.HasPrefix(err.Error(), "file resize error") &&
		(strings.Contains(err.Error(), syscall.ENOSPC.Error()) || strings.Contains(err.Error(), syscall.EDQUOT.Error()) ||
			strings.Contains(err.Error(), syscall.EFBIG.Error()))
	if noRoom || resize || errors.Is(err, berrors.ErrMaxSizeReached) {
		return fmt.Errorf("%w: write the journal: %w", store.ErrFull, err)
	}
	return fmt.Errorf("write the journal: %w", err)
}

// Usage is how much of the disk the store takes.
type Usage struct {
	// File is the length of the file; Used is how much of it is in use.
	File, Used int64
	// Commits and Live are what the journal holds: commits, and records not yet acknowledged.
	Commits, Live uint64
}

// measure notes how much of the file is in use.
func (c *committer) measure(tx *bbolt.Tx) {
	s := c.db.Stats()
	size := tx.Size()
	c.mu.Lock()
	c.usage = Usage{
		File: size, Used: size - int64(s.FreePageN+s.PendingPageN)*int64(c.db.Info().PageSize),
		Commits: c.manifest.buckets, Live: c.manifest.live,
	}
	c.mu.Unlock()
}

// lookAround decides whether there is room for messages; at most once in a while.
func (c *committer) lookAround() {
	now := time.Now()
	if now.Sub(c.looked) < c.opts.fullNap/4 {
		return
	}
	c.looked = now
	c.mu.Lock()
	used := c.usage.Used
	c.mu.Unlock()
	full := false
	if limit := c.opts.MaxSize; limit > 0 {
		full = used > limit-min(max(limit/16, 1<<20), limit/2)
	}
	if free, ok := freeSpace(c.opts.Path); ok && !full {
		full = free < c.opts.MinFree
	}
	if was := c.j.full.Swap(full); was != full {
		if full {
			c.opts.Logger.Warn("the store takes no messages: no room", "path", c.opts.file(), "used", used)
		} else {
			c.opts.Logger.Info("the store takes messages again", "path", c.opts.file(), "used", used)
		}
	}
}
