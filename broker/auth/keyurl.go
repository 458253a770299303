package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	fetchTime   = 5 * time.Second
	refreshWait = 3 * time.Second  // what a login waits for newer keys
	refreshRest = 30 * time.Second // between two that logins asked for, and after a failure
	redirects   = 3
)

// keyURL fetches a JWK set now and then, and when a token names a key that is not there. As long as
// that fails, the keys it has stay. A goroutine of its own does it, from newKeyURL to close.
type keyURL struct {
	url       string
	algorithm string
	every     time.Duration
	client    *http.Client
	log       *slog.Logger

	asked chan struct{} // someone wants newer keys
	stop  context.CancelFunc
	done  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // guards what follows
	list    []key
	version int           // of list
	fetched chan struct{} // closed after the next fetch, whatever came of it
	last    time.Time     // of the last fetch that a login asked for
	pending bool          // a fetch has been asked for and is not over
}

// CheckURL tells why an address cannot be asked for keys or logins: secrets, and what decides on
// them, do not pass a network in the clear. plain allows it.
func CheckURL(address string, plain bool) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return errors.New("is not a URL (write https://id.example.org/path)")
	case u.User != nil:
		return errors.New("has a password in it (set a header instead)")
	case u.Fragment != "":
		return errors.New("has a fragment, which no server gets to see (remove what begins with #)")
	case u.Scheme == "https":
	case u.Scheme != "http":
		return errors.New("is neither https nor http")
	case !plain && !loopbackHost(u.Hostname()):
		return errors.New("would pass the network in the clear (use https)")
	}
	return nil
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// newKeyURL begins to fetch. The address must have passed CheckURL.
func newKeyURL(address, algorithm string, every time.Duration, client *http.Client, log *slog.Logger) *keyURL {
	ctx, stop := context.WithCancel(context.Background())
	k := &keyURL{
		url: address, algorithm: algorithm, every: every, log: log,
		client:  withinHost(client),
		asked:   make(chan struct{}, 1),
		stop:    stop,
		done:    make(chan struct{}),
		fetched: make(chan struct{}),
		pending: true,
	}
	go k.run(ctx)
	return k
}

// withinHost is a client that follows redirects on the same host only.
func withinHost(c *http.Client) *http.Client {
	own := http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: time.Minute}}
	if c != nil {
		own = *c
	}
	own.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) > redirects || r.URL.Scheme != via[0].URL.Scheme || r.URL.Host != via[0].URL.Host {
			return errors.New("it leads elsewhere")
		}
		return nil
	}
	return &own
}

func (k *keyURL) run(ctx context.Context) {
	defer close(k.done)
	defer k.client.CloseIdleConnections()
	pause := refreshRest
	for ctx.Err() == nil {
		err := k.fetch(ctx)
		if ctx.Err() != nil {
			return
		}
		sleep := k.every
		if err != nil {
			k.log.Warn("keys of tokens not fetched, keeping those there are", "err", err)
			sleep = min(pause, k.every)
			pause = min(2*pause, k.every)
		} else {
			pause = refreshRest
		}
		t := time.NewTimer(sleep)
		select {
		case <-t.C:
		case <-k.asked:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// fetch gets the set once and tells those who wait.
func (k *keyURL) fetch(ctx context.Context) error {
	list, err := k.get(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pending = false; err == nil {
		k.list = list
		k.version++
	}
	close(k.fetched)
	k.fetched = make(chan struct{})
	return err
}

func (k *keyURL) get(ctx context.Context) ([]key, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := k.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("fetch keys from %s: %w", r.URL.Host, bare(err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch keys: %s answered %d", res.Request.URL.Host, res.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxKeysBytes+1))
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	if len(text) > maxKeysBytes {
		return nil, fmt.Errorf("fetch keys: the answer has more than %d bytes", maxKeysBytes)
	}
	list, err := parseKeys(text, k.algorithm, true)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	return list, nil
}

// bare takes the address out of an HTTP client's error: a query may be secret.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (k *keyURL) keys() ([]key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.list == nil {
		return nil, errNoKeys
	}
	return k.list, nil
}

var errNoKeys = errors.New("check a token: its keys have not been fetched yet")

func (k *keyURL) refresh(ctx context.Context) bool {
	k.mu.Lock()
	version, fetched := k.version, k.fetched
	now := time.Now()
	ask := !k.pending && (k.last.IsZero() || now.Sub(k.last) >= refreshRest)
	if ask {
		k.last, k.pending = now, true
	}
	wait := k.pending
	k.mu.Unlock()
	if !wait {
		return false // one was there lately
	}
	if ask {
		_ = k.reload()
	}
	t := time.NewTimer(refreshWait)
	defer t.Stop()
	select {
	case <-fetched:
	case <-t.C:
	case <-ctx.Done():
	case <-k.done:
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.version != version
}

// reload asks for newer keys and does not wait for them.
func (k *keyURL) reload() error {
	select {
	case k.asked <- struct{}{}:
	default:
	}
	return nil
}

func (k *keyURL) close() {
	k.stop()
	<-k.done
}
