package main

import (
	"errors"
	"os"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/conf"
	"github.com/gudokmq/gudok/store"
)

// limits are the broker's, with what limits.memory stands for; the garbage collector is told of that.
func (d *daemon) limits(l conf.Limits) broker.Limits {
	mark := memoryMark(l, d.goLimit, os.DirFS("/"))
	setMemory(mark, d.goLimit)
	return limits(l, mark)
}

// watch makes the watchdog of the broker and its store.
func (d *daemon) watch() {
	w := d.conf.Watchdog
	d.watchdog = &watchdog{warn: time.Duration(w.Warn), exit: time.Duration(w.Exit), log: d.log}
	d.watchdog.subjects = []*subject{{
		name:  "the broker's housekeeping",
		pulse: func() (uint64, bool) { return d.broker.Pulse(), !d.ended.Load() && !d.broker.Resting() },
	}}
	if p, ok := d.engine.(store.Prober); ok {
		d.watchdog.subjects = append(d.watchdog.subjects, &subject{name: "a commit of the store", pulse: p.Pulse})
	}
}

// ready tells why clients should go elsewhere, nil if they need not.
func (d *daemon) ready() error {
	select {
	case <-d.stopping:
		return errors.New("draining")
	default:
	}
	if !d.up.Load() {
		return errors.New("starting")
	}
	if err := d.watchdog.err(); err != nil {
		return err
	}
	if p, ok := d.engine.(store.Prober); ok {
		if err := p.Probe(); err != nil {
			return err
		}
	}
	if d.broker.MemoryShort() {
		return errors.New("memory is short")
	}
	return nil
}
