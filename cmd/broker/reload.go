package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gudokmq/gudok/conf"
	"github.com/gudokmq/gudok/store"
)

// watchStep is how often the files are looked at. One that has changed is read when it has not
// changed for as long: whoever writes it may not have done.
const watchStep = 250 * time.Millisecond

// reloadSignals are the times somebody asks for a reload, from now on.
func reloadSignals() <-chan os.Signal {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	return asked
}

// follow reloads the configuration whenever it is asked to, and when its file or that of the keys
// of tokens has changed, until ctx ends.
// w has looked at them before they were read.
func (d *daemon) follow(ctx context.Context, path string, w *watch, asked <-chan os.Signal) {
	tick := time.NewTicker(watchStep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			w.look() // what it sees is about to be read
			w.changed = false
		case <-tick.C:
			if !w.rested() {
				continue
			}
		}
		if err := d.reload(path); err != nil {
			d.log.Error("configuration not reloaded, nothing has changed", "err", err.Error())
		}
		w.keys(d.conf.JWT.KeysFile)
	}
}

// reload reads the configuration again and makes it that of the running broker, or returns why not
// and changes nothing.
func (d *daemon) reload(path string) error {
	next, err := configure(path)
	if err != nil {
		return err
	}
	now, held, err := d.conf.Renew(next)
	if err != nil {
		return err
	}
	may, err := authorizer(now)
	if err != nil {
		return err
	}
	ps, err := policyList(now.Policies)
	if err != nil {
		return err
	}
	web, tcp, err := d.certificates(now)
	if err != nil {
		return err
	}
	if err := d.logins.Reload(loginOptions(now, d.log)); err != nil {
		return err
	}
	// From here on nothing fails: the parts have been judged before.
	d.web.current.Store(web)
	d.tls.current.Store(tcp)
	err = errors.Join(d.policies.Replace(ps), d.broker.SetLimits(d.limits(now.Limits), heartBeat(now.HeartBeat)))
	if r, ok := d.engine.(store.Rebounder); ok {
		r.Rebound()
	}
	d.level.Set(level(now.Log))
	d.broker.Reload(d.logins, may)
	d.conf = now
	d.asks.Store(now.Logins())
	for _, key := range held {
		d.log.Warn("setting not changed, it needs a restart", "setting", key, "at", next.Where(key))
	}
	for _, w := range warnings(now) {
		d.log.Warn(w.Error())
	}
	d.log.Info("configuration reloaded", "users", len(now.Users), "rules", len(now.Rules), "policies", len(now.Policies))
	return err
}

// watch tells when one of some files has changed and come to rest. A link is followed; a file that
// is not there is like any other, and no path is none.
type watch struct {
	files   [2]watched
	changed bool
}

type watched struct {
	path string
	seen os.FileInfo // nil: not there
}

func newWatch(path string) *watch {
	w := new(watch)
	w.files[0].path = path
	w.look()
	return w
}

// keys names the file of keys. One that is new here counts as changed, since it may have, between
// its being read and the first look.
func (w *watch) keys(path string) {
	if f := &w.files[1]; f.path != path {
		*f = watched{path: path}
	}
}

// look notes how the files are now, and reports whether one differs from what was noted before.
func (w *watch) look() (differs bool) {
	for i := range w.files {
		if w.files[i].look() {
			differs = true
		}
	}
	return differs
}

func (f *watched) look() (differs bool) {
	var now os.FileInfo
	if f.path != "" {
		now, _ = os.Stat(f.path) // nil where there is none
	}
	differs = !same(f.seen, now)
	f.seen = now
	return differs
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// rested looks, and reports whether the files have changed and not since the last look.
func (w *watch) rested() bool {
	if w.look() {
		w.changed = true
		return false
	}
	rested := w.changed
	w.changed = false
	return rested
}

// liveTLS is a TLS configuration that can be replaced while its listener runs.
type liveTLS struct{ current atomic.Pointer[tls.Config] }

// config is what a listener needs, or nil for one without TLS.
func (l *liveTLS) config() *tls.Config {
	if l.current.Load() == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return l.current.Load(), nil },
	}
}

// certificates reads those of both kinds of listener.
func (d *daemon) certificates(c *conf.Config) (web, tcp *tls.Config, err error) {
	if web, err = certificates(c.HTTP.TLS); err != nil {
		return nil, nil, err
	}
	if web != nil {
		web.NextProtos = []string{"http/1.1"} // a WebSocket begins with HTTP/1.1 (RFC 6455, 4.1)
	}
	tcp, err = certificates(c.TCP.TLS)
	return web, tcp, err
}

func level(l conf.Log) (level slog.Level) {
	_ = level.UnmarshalText([]byte(l.Level)) // conf knows only words that are levels
	return level
}
