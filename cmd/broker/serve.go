package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/admin"
	"github.com/gudokmq/gudok/broker/auth"
	"github.com/gudokmq/gudok/conf"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/transport"
)

const serveHelp = `Run the broker until it is told to stop (SIGTERM or Ctrl-C). It then drains:
sessions are closed in order within ten seconds; a second signal ends it at once.
SIGUSR1 collects garbage and puts a line of runtime figures (goroutines, heap, allocations) into the log.

Usage: broker [serve] [-config FILE]

Flags:
  -config FILE   the configuration, in YAML; without it the broker listens on this
                 machine only, for WebSocket on 127.0.0.1:15674 and for TCP on
                 127.0.0.1:61613, and lets anyone connect

Every setting of the file can be overridden by the environment: limits.body by
GUDOK_LIMITS_BODY, http.allowed_origins by GUDOK_HTTP_ALLOWED_ORIGINS=a,b.

When the file changes, or on SIGHUP, users, keys, rules, limits, policies and
certificates are read again, and what live sessions may do is looked at anew. A
file with a fault changes nothing; the log tells where it is.

Examples:
  broker
  broker -config gudok.yaml
  GUDOK_TCP_LISTEN=127.0.0.1:7000 GUDOK_LOG_LEVEL=debug broker
`

// drainTime bounds a shutdown.
const drainTime = 10 * time.Second

func runServe(args []string, stdout, stderr io.Writer) int {
	f := newFlags("serve", serveHelp, stdout, stderr)
	path := f.String("config", "", "")
	if code, ok := f.parseNone(args); !ok {
		return code
	}
	w := newWatch(*path) // what changes from here on is read again
	c, err := configure(*path)
	if err != nil {
		return f.fail(err)
	}
	w.keys(c.JWT.KeysFile)
	w.files[1].look() // start reads it
	threshold := new(slog.LevelVar)
	log := newLogger(c.Log, threshold, stderr)
	slog.SetDefault(log)
	for _, warning := range warnings(c) {
		log.Warn(warning.Error())
	}
	signal.Ignore(syscall.SIGPIPE) // who reads the log may go; the drain must not end with that
	warnOfFiles(log, c.Limits.Connections)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	// The first signal drains; from then on the next one has its usual effect.
	context.AfterFunc(ctx, stop)
	asked, again := debugSignals(), reloadSignals()
	d, err := start(c, log, threshold)
	if err != nil {
		return f.fail(err)
	}
	d.greet(stdout)
	tuning, tuned := context.WithCancel(context.Background())
	var tuner sync.WaitGroup
	tuner.Go(func() { d.tune(tuning) })
	tuner.Go(func() { tellRuntime(tuning, asked, log) })
	tuner.Go(func() { d.follow(tuning, *path, w, again) })
	// It watches the drain too: a disk that has come to a standstill would hold that up for ever.
	watching, watched := context.WithCancel(context.Background())
	d.watchdog.die = func(err error) {
		f.fail(err)
		os.Exit(exitStuck)
	}
	var dog sync.WaitGroup
	dog.Go(func() { d.watchdog.run(watching) })
	failed := d.wait(ctx)
	tuned()
	tuner.Wait()
	close(d.stopping)
	if failed == nil {
		log.Info("stopping")
	}
	if err := d.stop(); err != nil {
		log.Error("not all stopped in order", "err", err)
	}
	watched()
	dog.Wait()
	if failed != nil {
		code := f.fail(failed)
		if errors.As(failed, new(*diskError)) {
			code = exitDisk
		}
		return code
	}
	log.Info("stopped")
	return exitOK
}

func newLogger(l conf.Log, threshold *slog.LevelVar, w io.Writer) *slog.Logger {
	threshold.Set(level(l))
	o := &slog.HandlerOptions{Level: threshold}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// daemon is a running broker with its listeners.
type daemon struct {
	log      *slog.Logger
	engine   store.Engine
	policies *broker.Policies
	logins   *auth.Chain
	broker   *broker.Broker
	http     []*http.Server       // of the admin listener too
	ws       *transport.WebSocket // nil without an HTTP listener
	tcp      []*transport.TCP
	bound    listeners

	// What reload changes; conf is its own.
	conf     *conf.Config
	level    *slog.LevelVar
	web, tls liveTLS
	asks     atomic.Bool // a login is needed

	// What health tells.
	watchdog *watchdog
	up       atomic.Bool   // all listeners accept
	stopping chan struct{} // closed before stop
	ended    atomic.Bool   // the broker is drained
	goLimit  int64         // GOMEMLIMIT

	served sync.WaitGroup
	failed chan error    // two per listener at most, and the store's
	rest   chan struct{} // the broker has begun to rest, or ended that
}

// start listens and serves, or leaves nothing behind.
func start(c *conf.Config, log *slog.Logger, threshold *slog.LevelVar) (*daemon, error) {
	bound, err := listen(c, log)
	if err != nil {
		return nil, err
	}
	d := &daemon{
		conf: c, log: log, level: threshold, bound: bound, failed: make(chan error, 9), rest: make(chan struct{}, 1), stopping: make(chan struct{}), goLimit: goMemoryLimit(),
	}
	d.asks.Store(c.Logins())
	if err := d.build(log); err != nil {
		bound.close()
		return nil, err
	}
	return d, nil
}

func (d *daemon) build(log *slog.Logger) error {
	web, tcp, err := d.certificates(d.conf)
	if err != nil {
		return err
	}
	d.web.current.Store(web)
	d.tls.current.Store(tcp)
	may, err := authorizer(d.conf)
	if err != nil {
		return err
	}
	d.policies, err = policies(d.conf.Policies)
	if err != nil {
		return err
	}
	d.logins, err = auth.Open(loginOptions(d.conf, log))
	if err != nil {
		return err
	}
	engine, err := newEngine(d.conf.Store, d.policies, log, func(err error) { d.failed <- &diskError{err} })
	if err != nil {
		_ = d.logins.Close()
		return err
	}
	d.broker, err = broker.New(broker.Options{
		Engine:    engine,
		Policies:  d.policies,
		Auth:      d.logins,
		Rules:     may,
		Limits:    d.limits(d.conf.Limits),
		HeartBeat: heartBeat(d.conf.HeartBeat),
		OnRest:    d.rested,
		Logger:    log,
		Version:   version,
	})
	if err != nil {
		_ = d.logins.Close()
		_ = engine.Close()
		return err
	}
	d.engine = engine
	d.watch()
	d.serveWeb(log)
	if d.bound.tcp != nil {
		d.serveTCP(d.bound.tcp, d.bound.beyond.tcp, tcpOptions(d.conf, nil, log))
	}
	if d.bound.tls != nil {
		d.serveTCP(d.bound.tls, d.bound.beyond.tls, tcpOptions(d.conf, d.tls.config(), log))
	}
	d.up.Store(true)
	return nil
}

func (d *daemon) serveTCP(ln, beyond net.Listener, o transport.TCPOptions) {
	t, away := transport.NewTCP(d.broker, o), transport.NewTCP(turnAway{d.broker}, o)
	d.tcp = append(d.tcp, t, away)
	d.serve(func() error { return t.Serve(ln) })
	d.serve(func() error { return away.Serve(beyond) })
}

// turnAway is a transport.Server that tells everybody that there are too many.
type turnAway struct{ b *broker.Broker }

func (t turnAway) Serve(_ context.Context, c broker.Conn) { t.b.TurnAway(c) }

// serve runs one listener until stop, or tells wait why it ended.
func (d *daemon) serve(listener func() error) {
	d.served.Go(func() {
		if err := listener(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			d.failed <- err
		}
	})
}

// wait returns nil when ctx ends, or why a listener failed.
func (d *daemon) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.failed:
		return err
	}
}

// stop drains within drainTime: what is new is refused at once, then sessions end, then the store. The
// HTTP listener goes last, so that /readyz can tell.
func (d *daemon) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var stops []func(context.Context) error
	if d.ws != nil {
		stops = append(stops, d.ws.Shutdown)
	}
	for _, t := range d.tcp {
		stops = append(stops, t.Shutdown)
	}
	stops = append(stops, d.broker.Shutdown)
	errs := make([]error, len(stops)+1)
	var wg sync.WaitGroup
	for i, stop := range stops {
		wg.Go(func() { errs[i] = stop(ctx) })
	}
	wg.Wait()
	d.ended.Store(true)
	for _, s := range d.http {
		errs = append(errs, s.Shutdown(ctx))
		_ = s.Close() // what Shutdown had to leave
	}
	d.served.Wait()
	_ = d.logins.Close()
	if err := d.engine.Close(); err != nil {
		errs[len(stops)] = fmt.Errorf("close store: %w", err)
	}
	return errors.Join(errs...)
}

// greet tells where the broker is and what to open.
func (d *daemon) greet(w io.Writer) {
	fmt.Fprintf(w, "Gudok %s\n", version)
	line := func(what, where string) { fmt.Fprintf(w, "  %-10s %s\n", what, where) }
	ws, web := "ws://", "http://"
	if d.conf.HTTP.TLS.Cert != "" {
		ws, web = "wss://", "https://"
	}
	page := d.bound.admin
	if at := d.bound.http; at != nil {
		line("WebSocket", ws+visible(at.Addr())+d.conf.WebSocket.Path+everywhere(at.Addr()))
		if page == nil {
			page = at
		}
	}
	for _, e := range d.endpoints() {
		line(e.Name, e.Scheme+"://"+visible(e.Addr)+everywhere(e.Addr))
	}
	if at := d.bound.admin; at != nil {
		line("Admin", web+visible(at.Addr())+"/"+everywhere(at.Addr()))
	}
	if page != nil {
		line("Open", web+visible(page.Addr())+"/ in a browser")
	}
	line("Users", loginsText(d.conf))
	if d.conf.Store.Engine == "memory" {
		line("Queues", "in memory: they do not survive a restart")
	} else {
		line("Queues", "durable, in "+d.conf.Store.Path)
	}
}

// diskError is a store that can promise nothing more: the process must end, and start anew from
// what is on the disk.
type diskError struct{ err error }

func (e *diskError) Error() string { return e.err.Error() }
func (e *diskError) Unwrap() error { return e.err }

func (d *daemon) endpoints() []admin.Endpoint {
	var all []admin.Endpoint
	if d.bound.tcp != nil {
		all = append(all, admin.Endpoint{Name: "TCP", Scheme: "stomp", Addr: d.bound.tcp.Addr()})
	}
	if d.bound.tls != nil {
		all = append(all, admin.Endpoint{Name: "TLS", Scheme: "stomp+ssl", Addr: d.bound.tls.Addr()})
	}
	return all
}
