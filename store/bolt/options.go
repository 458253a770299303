package bolt

import (
	"log/slog"
	"path/filepath"
	"time"

	"github.com/gudokmq/gudok/store"
)

// FileName is the name of the file in the data directory.
const FileName = "gudok.db"

// Options tell where an [Engine] keeps its file, and its limits. Path must be set.
type Options struct {
	// Path is the data directory. Open makes it, but not its parents.
	Path string
	// MaxSize bounds the file, bytes; 0 means no bound but the disk. Publishing is refused with
	// store.ErrFull from a little below it, so that acknowledgements always find room.
	MaxSize int64
	// MinFree is how much of the disk stays free: below it messages are taken only as far as the
	// file has room from earlier ones, and refused with store.ErrFull otherwise; everything else
	// goes on. 0 means 64 MiB; negative means none.
	MinFree int64
	// MaxMessages and MaxQueueBytes bound each queue's messages and the sum of their
	// Message.Size, whatever their state; 0 means no bound but MaxSize.
	MaxMessages   int
	MaxQueueBytes int64
	// MaxBytes bounds the sum of Message.Size over the engine; 0 means no bound but MaxSize.
	MaxBytes int64
	// MaxTransient bounds the sum of Message.Size of messages that are not persistent; they live
	// in memory only. 0 means 256 MiB.
	MaxTransient int64
	// HotBytes is how much of the persistent messages' Message.Size stays in memory as well, so
	// that they need not be read back; 0 means 64 MiB. What is on loan, and up to 16 MiB of what is
	// being written, comes on top.
	HotBytes int64
	// Expired is called once for each message that expired in its queue, and gives the message
	// to publish in its place (a dead letter) or nil for none. A dead letter that a limit refuses
	// is dropped. It runs on the engine's housekeeping goroutine with no lock held, must not
	// block and must not call Engine.Close. nil drops expired messages.
	Expired func(m *store.Message) *store.Message
	// Bounds are further limits of a queue, by name; nil for none. It is asked once for each queue and by Rebound,
	// must not block and must not call the engine.
	Bounds func(queue string) store.Bounds
	// Fatal is called once if the disk fails in a way that leaves unknown what is on it: a failed
	// sync, above all. The engine refuses everything from then on; the process should end and
	// start anew. It runs on a goroutine of the engine and must not call Engine.Close.
	Fatal func(err error)
	// Logger is told of damage, of a full disk and of its end; nil means slog.Default.
	Logger *slog.Logger
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
	// LockTimeout is how long Open waits for another process to leave the file; 0 means 2 s.
	LockTimeout time.Duration

	// cleanAfter is for how long a commit must be worth cleaning; 0 means 5 s.
	cleanAfter time.Duration
	// fullNap is how soon a full disk is looked at again; 0 means 200 ms.
	fullNap time.Duration
	// hooks are for tests.
	hooks hooks
}

// hooks let tests see and stop what happens to the disk.
type hooks struct {
	step   func(name string) error // before each step of making a file
	update func(n int) error       // before each transaction, of so many records and marks
	grow   func() error            // before the file is made longer
}

func (h hooks) at(step string) error {
	if h.step != nil {
		return h.step(step)
	}
	return nil
}

func (o Options) file() string { return filepath.Join(o.Path, FileName) }

func (o Options) withDefaults() Options {
	if o.MinFree == 0 {
		o.MinFree = 64 << 20
	}
	if o.MaxTransient <= 0 {
		o.MaxTransient = 256 << 20
	}
	if o.HotBytes <= 0 {
		o.HotBytes = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.LockTimeout <= 0 {
		o.LockTimeout = 2 * time.Second
	}
	if o.cleanAfter <= 0 {
		o.cleanAfter = 5 * time.Second
	}
	if o.fullNap <= 0 {
		o.fullNap = 200 * time.Millisecond
	}
	return o
}
