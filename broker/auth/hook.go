package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/gudokmq/gudok/broker"
)

// HookOptions are the settings of a service that says who may log in. It is asked by POST with a
// JSON object, and answers 200 with who it is, or 401 or 403; any other answer, or none, means that
// the login could not be checked.
type HookOptions struct {
	// URL must pass [CheckURL].
	URL string
	// Header is sent with each question; it is secret.
	Header http.Header
	// Timeout bounds one question [5 s], Concurrency how many are asked at once [16].
	Timeout     time.Duration
	Concurrency int
	// Cache is how long a yes is remembered [0: not at all].
	Cache time.Duration
	// Client asks; nil is a plain one. It never follows a redirect.
	Client *http.Client
}

const maxHookAnswer = 64 << 10

// hook asks a service. Any goroutine may use it.
type hook struct {
	o      HookOptions
	client *http.Client
	proof  uint64
	turns  chan struct{}
	cache  *answers // nil without
}

func newHook(o HookOptions) *hook {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 16
	}
	own := http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		MaxIdleConnsPerHost:   o.Concurrency,
		IdleConnTimeout:       time.Minute,
		ResponseHeaderTimeout: o.Timeout,
	}}
	if o.Client != nil {
		own = *o.Client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	h := &hook{o: o, client: &own, proof: maphash.String(seed, o.URL), turns: make(chan struct{}, o.Concurrency)}
	if o.Cache > 0 {
		h.cache = &answers{digests: newCache(), all: map[digest]answer{}}
	}
	return h
}

// question is what the service is told. Its fields are plain: they are meant for it.
type question struct {
	Login     string `json:"login,omitempty"`
	Passcode  string `json:"passcode,omitempty"`
	Token     string `json:"token,omitempty"`
	Source    string `json:"source"` // connect, or where in the handshake
	Address   string `json:"address"`
	Transport string `json:"transport"`
	Origin    string `json:"origin,omitempty"`
}

// remembered is whom the service named a moment ago, or nil.
func (h *hook) remembered(q question) *broker.Principal {
	if h.cache == nil {
		return nil
	}
	return h.cache.get(h.cache.digest(q))
}

// ask asks for one login, unless may, asked when it is the login's turn, says that too many were
// wrong by then.
// learn hears what came of it before the turn ends.
func (h *hook) ask(ctx context.Context, q question, may func() bool, learn func(error)) (*broker.Principal, error) {
	select {
	case h.turns <- struct{}{}:
		defer func() { <-h.turns }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to ask auth.http: %w", ctx.Err())
	}
	if !may() {
		return nil, broker.ErrTooMany
	}
	p, err := h.post(ctx, q)
	learn(err)
	if err == nil && h.cache != nil {
		h.cache.add(h.cache.digest(q), p, h.o.Cache)
	}
	return p, err
}

func (h *hook) post(ctx context.Context, q question) (*broker.Principal, error) {
	ctx, cancel := context.WithTimeout(ctx, h.o.Timeout)
	defer cancel()
	body, err := json.Marshal(q)
	if err != nil {
		return nil, errors.New("ask auth.http: the login cannot be written as JSON")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.o.URL, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("ask auth.http: the URL cannot be used")
	}
	r.Header = h.o.Header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	res, err := h.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask auth.http: %w", bare(err))
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxHookAnswer+1))
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return nil, refusal("auth.http said no")
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("ask auth.http: it answered %d", res.StatusCode)
	case err != nil:
		return nil, fmt.Errorf("ask auth.http: read its answer: %w", bare(err))
	case len(text) > maxHookAnswer:
		return nil, fmt.Errorf("ask auth.http: its answer has more than %d bytes", maxHookAnswer)
	}
	return h.accept(text, q.Login)
}

// accept reads a yes: {"user": "alice", "groups": ["staff"], "expires": 1767225600}. Without user it
// is who logged in; expires may be a time as RFC 3339 has it, too.
func (h *hook) accept(text []byte, login string) (*broker.Principal, error) {
	m, err := object(text)
	if err != nil {
		return nil, errors.New("ask auth.http: its answer is no JSON object")
	}
	c := claims(m)
	p := &broker.Principal{Name: login, Via: broker.ViaHook, Proof: h.proof}
	if _, named := c["user"]; named {
		if p.Name, err = c.text("user"); err != nil {
			return nil, errors.New("ask auth.http: user is no text in its answer")
		}
	}
	if p.Name == "" {
		return nil, errors.New("ask auth.http: its answer does not say who it is (user)")
	}
	if p.Groups, err = c.list("groups"); err != nil {
		return nil, errors.New("ask auth.http: groups is no list of texts in its answer")
	}
	switch v := c["expires"].(type) {
	case nil:
	case string:
		if p.Expires, err = time.Parse(time.RFC3339, v); err != nil {
			return nil, errors.New("ask auth.http: expires is no time in its answer")
		}
	case json.Number:
		f, err := v.Float64()
		if err != nil || !(f > 0 && f <= maxDate) {
			return nil, errors.New("ask auth.http: expires is no time in its answer")
		}
		whole, part := math.Modf(f)
		p.Expires = time.Unix(int64(whole), int64(part*1e9))
	default:
		return nil, errors.New("ask auth.http: expires is no time in its answer")
	}
	if !p.Expires.IsZero() && !time.Now().Before(p.Expires) {
		return nil, broker.ErrExpired
	}
	return p, nil
}

// answers remembers whom the service knows.
type answers struct {
	digests *cache // for its key alone

	mu  sync.Mutex
	all map[digest]answer
}

type answer struct {
	p     *broker.Principal
	until time.Time
}

func (a *answers) digest(q question) digest {
	text, _ := json.Marshal(q) // has been possible, or will be found not to be
	return a.digests.digest("", 0, string(text))
}

func (a *answers) get(d digest) *broker.Principal {
	a.mu.Lock()
	defer a.mu.Unlock()
	x, ok := a.all[d]
	if now := time.Now(); !ok || !now.Before(x.until) || !x.p.Expires.IsZero() && !now.Before(x.p.Expires) {
		return nil
	}
	return x.p
}

// add remembers p. A full cache forgets what is over, or else any one.
func (a *answers) add(d digest, p *broker.Principal, life time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if len(a.all) >= cacheSize {
		for k, x := range a.all {
			if !now.Before(x.until) {
				delete(a.all, k)
			}
		}
	}
	for k := range a.all {
		if len(a.all) < cacheSize {
			break
		}
		delete(a.all, k)
	}
	a.all[d] = answer{p, now.Add(life)}
}
