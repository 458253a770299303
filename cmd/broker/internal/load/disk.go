package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

// pageSize is what the second write of a pair overwrites, as a file with a header does.
const pageSize = 4096

// Disk measures what the disk under o.Dir gives without any broker: o.Pubs goroutines have
// o.Receipts records of o.Size bytes outstanding each, one writer appends whatever waits and syncs
// it with one fdatasync, and that answers them all. With one outstanding, it measures pairs too: an
// append and the overwriting of a header, a sync after each. It writes into a file of its own,
// maxDisk at most before it begins anew, and removes it.
func Disk(ctx context.Context, o Options) (Report, error) {
	rep := Report{Bench: "disk", URL: o.Dir}
	o, err := o.check("")
	if err != nil {
		return rep, err
	}
	if o.Pubs < 1 || o.Receipts < 1 {
		return rep, errors.New("at least one publisher and one outstanding record")
	}
	rep.Pubs, rep.Size, rep.Receipts, rep.Server = o.Pubs, o.Size, o.Receipts, "append+fdatasync"
	if real, err := onDisk(o.Dir); err == nil && !real {
		return rep, fmt.Errorf("%s is in memory, not on a disk", o.Dir)
	}
	f, err := os.CreateTemp(o.Dir, "bench-disk-")
	if err != nil {
		return rep, fmt.Errorf("make a file: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	d := &disk{o: o, f: f, pair: o.Pair}
	if o.Pair {
		rep.Server = "append+fdatasync, header+fdatasync"
	}
	return rep, d.run(ctx, &rep)
}

// maxDisk is how large the file becomes.
const maxDisk = 2 << 30

// disk is one run of Disk.
type disk struct {
	o    Options
	f    *os.File
	pair bool
	at   int64 // where the next record goes; the writer's own

	count     atomic.Int64
	recording atomic.Bool
	hist      [1]histogram

	mu     sync.Mutex
	full   sync.Cond // there is something to write, or it has ended
	buf    []byte
	waits  []waiting
	closed bool
}

// waiting is one record that is not on the disk.
type waiting struct {
	begun int64
	slot  chan struct{} // of its publisher: how many it may have outstanding
}

func (d *disk) run(ctx context.Context, rep *Report) error {
	d.full.L = &d.mu
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var writer, publishers sync.WaitGroup
	writer.Go(func() {
		if err := d.write(); err != nil {
			stop(err)
		}
	})
	for range d.o.Pubs {
		publishers.Go(func() { d.publish(ctx) })
	}
	never := make(chan struct{})
	wait(ctx, never, d.o.Warmup)
	d.recording.Store(true)
	before := d.sample()
	wait(ctx, never, d.o.Duration)
	after := d.sample()
	d.recording.Store(false)
	rep.Interrupted = ctx.Err() != nil
	cause := context.Cause(ctx)
	stop(errDone)
	publishers.Wait()
	d.mu.Lock()
	d.closed = true
	d.full.Signal()
	d.mu.Unlock()
	writer.Wait()
	rep.perMessage(before, after)
	rep.Latency = quantiles(d.hist[:])
	if errors.Is(cause, context.Canceled) {
		return nil
	}
	return cause
}

func (d *disk) sample() sample {
	s := sample{at: clock(), count: d.count.Load()}
	s.usage(0)
	return s
}

// publish keeps its records outstanding until ctx ends.
func (d *disk) publish(ctx context.Context) {
	slot := make(chan struct{}, d.o.Receipts)
	record := make([]byte, d.o.Size)
	for i := range record {
		record[i] = "gudok "[i%6]
	}
	for {
		select {
		case slot <- struct{}{}:
		case <-ctx.Done():
			return
		}
		d.mu.Lock()
		d.buf = append(d.buf, record...)
		if d.waits = append(d.waits, waiting{clock(), slot}); len(d.waits) == 1 {
			d.full.Signal()
		}
		d.mu.Unlock()
	}
}

// write writes whatever waits, until the end.
func (d *disk) write() error {
	var buf []byte
	var waits []waiting
	header := make([]byte, pageSize)
	for {
		d.mu.Lock()
		for len(d.waits) == 0 && !d.closed {
			d.full.Wait()
		}
		if len(d.waits) == 0 {
			d.mu.Unlock()
			return nil
		}
		buf, d.buf = d.buf, buf[:0]
		waits, d.waits = d.waits, waits[:0]
		d.mu.Unlock()
		if d.at+int64(len(buf)) > maxDisk {
			if err := d.f.Truncate(0); err != nil {
				return fmt.Errorf("truncate: %w", err)
			}
			d.at = 0
		}
		if d.at == 0 && d.pair {
			d.at = pageSize
		}
		err := writeSync(d.f, buf, d.at)
		d.at += int64(len(buf))
		if err == nil && d.pair {
			err = writeSync(d.f, header, 0)
		}
		if err != nil {
			d.fail(waits)
			return err
		}
		now, recording := clock(), d.recording.Load()
		for _, w := range waits {
			if recording {
				d.hist[0].add(now - w.begun)
			}
			<-w.slot
		}
		d.count.Add(int64(len(waits)))
	}
}

// fail lets the publishers go.
func (d *disk) fail(waits []waiting) {
	for _, w := range waits {
		<-w.slot
	}
}

func writeSync(f *os.File, p []byte, at int64) error {
	if _, err := f.WriteAt(p, at); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := dataSync(f); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}
