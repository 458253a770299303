package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/broker/rules"
	"github.com/gudokmq/gudok/conf"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/bolt"
	"github.com/gudokmq/gudok/store/memory"
	"github.com/gudokmq/gudok/transport"
)

// newEngine opens the store; conf has refused engines that are not there. fatal is called if the
// disk fails so that nothing more can be promised.
func newEngine(s conf.Store, ps *broker.Policies, log *slog.Logger, fatal func(error)) (store.Engine, error) {
	if s.Engine == "memory" {
		return memory.New(memory.Options{MaxBytes: int64(s.MaxSize), Expired: ps.Expired, Bounds: ps.Bounds}), nil
	}
	minFree := int64(s.MinFree)
	if minFree == 0 {
		minFree = -1 // there 0 is a default
	}
	return bolt.Open(bolt.Options{
		Path:    s.Path,
		MaxSize: int64(s.MaxSize),
		MinFree: minFree,
		Expired: ps.Expired,
		Bounds:  ps.Bounds,
		Fatal:   fatal,
		Logger:  log,
	})
}

// policies turns the file's into the broker's.
func policies(list []conf.Policy) (*broker.Policies, error) {
	ps, err := policyList(list)
	if err != nil {
		return nil, err
	}
	return broker.NewPolicies(ps)
}

// policyList is policies that are judged and not in use yet.
func policyList(list []conf.Policy) ([]broker.Policy, error) {
	out := make([]broker.Policy, len(list))
	for i, p := range list {
		out[i] = broker.Policy{
			Match:       p.Match,
			Volatile:    p.Durable == "no",
			TTL:         time.Duration(p.TTL),
			BuryExpired: p.Expired == "dead-letter",
			MaxMessages: p.MaxMessages,
			MaxBytes:    int64(p.MaxBytes),
			DropOldest:  p.Overflow == "drop-oldest",
			DeadLetter:  p.DeadLetter,
			Redelivery: broker.Redelivery{
				Limit:    p.Redelivery.Limit,
				Delay:    time.Duration(p.Redelivery.Delay),
				Backoff:  p.Redelivery.Backoff,
				MaxDelay: time.Duration(p.Redelivery.MaxDelay),
			},
		}
	}
	_, err := broker.NewPolicies(out)
	return out, err
}

// authorizer makes what decides by the rules, or nil if there are none. Its error is for the user.
func authorizer(c *conf.Config) (broker.Authorizer, error) {
	if len(c.Rules) == 0 {
		return nil, nil
	}
	list := make([]rules.Rule, len(c.Rules))
	for i, r := range c.Rules {
		list[i] = rules.Rule(r)
	}
	r, err := rules.New(list)
	var bad *rules.Error
	switch {
	case errors.As(err, &bad) && bad.Field == "who":
		return nil, c.Refuse(fmt.Sprintf("rules[%d].who", bad.Rule), bad.Problem)
	case errors.As(err, &bad):
		return nil, c.Refuse(fmt.Sprintf("rules[%d].%s[%d]", bad.Rule, bad.Field, bad.Index), bad.Problem)
	}
	return r, err
}

func frameLimits(l conf.Limits) stompframe.Limits {
	return stompframe.Limits{
		HeaderLine:  int(l.HeaderLine),
		Headers:     l.Headers,
		HeaderBytes: int(l.HeaderBytes),
		Body:        int(l.Body),
	}
}

// limits are those of sessions and of all together; memory is what limits.memory stands for.
func limits(l conf.Limits, memory int64) broker.Limits {
	return broker.Limits{
		Frame:                 frameLimits(l),
		Subscriptions:         l.Subscriptions,
		WildcardSubscriptions: l.WildcardSubscriptions,
		Unacked:               l.Unacked,
		PrefetchBytes:         int64(l.PrefetchBytes),
		Transactions:          l.Transactions,
		TransactionFrames:     l.TransactionFrames,
		TransactionBytes:      int64(l.TransactionBytes),
		TransactionTime:       time.Duration(l.TransactionTime),
		Outbox:                int64(l.Outbox),
		ConnectTime:           time.Duration(l.ConnectTime),
		SendTime:              time.Duration(l.SendTime),
		Queues:                l.Queues,
		Connections:           l.Connections,
		ConnectionsPerAddress: l.ConnectionsPerAddress,
		ConnectionsPerUser:    l.ConnectionsPerUser,
		ConnectsPerSecond:     l.ConnectsPerSecond,
		Outboxes:              int64(l.Outboxes),
		Memory:                memory,
	}
}

// userLimits are those of one user, or nil for one without.
func userLimits(l conf.UserLimits) *broker.Limits {
	if l == (conf.UserLimits{}) {
		return nil
	}
	return &broker.Limits{
		Frame: stompframe.Limits{
			HeaderLine:  int(l.HeaderLine),
			Headers:     l.Headers,
			HeaderBytes: int(l.HeaderBytes),
			Body:        int(l.Body),
		},
		Subscriptions:         l.Subscriptions,
		WildcardSubscriptions: l.WildcardSubscriptions,
		Unacked:               l.Unacked,
		PrefetchBytes:         int64(l.PrefetchBytes),
		Transactions:          l.Transactions,
		TransactionFrames:     l.TransactionFrames,
		TransactionBytes:      int64(l.TransactionBytes),
		TransactionTime:       time.Duration(l.TransactionTime),
		Outbox:                int64(l.Outbox),
		SendTime:              time.Duration(l.SendTime),
		Connections:           l.Connections,
	}
}

func heartBeat(h conf.HeartBeat) broker.HeartBeat {
	// 0 turns a direction off here; there a negative value does.
	off := func(d conf.Duration) time.Duration {
		if d == 0 {
			return -1
		}
		return time.Duration(d)
	}
	return broker.HeartBeat{
		Send:    off(h.Send),
		Receive: off(h.Receive),
		Min:     time.Duration(h.Min),
		Max:     time.Duration(h.Max),
		Grace:   h.Grace,
	}
}

func beforeConnect(l conf.Limits) stompframe.Limits {
	f := frameLimits(l)
	f.Frame = int(l.BeforeConnect)
	return f
}

// handshakeTime is how long a TLS or HTTP handshake may take: no longer than the CONNECT for which it is made.
func handshakeTime(l conf.Limits) time.Duration {
	return min(5*time.Second, time.Duration(l.ConnectTime))
}

// webOptions are those of the HTTP listener, which bound says where it is.
func webOptions(c *conf.Config, bound listeners, log *slog.Logger) transport.Options {
	o := transport.Options{
		BeforeConnect:  beforeConnect(c.Limits),
		FrameTime:      time.Duration(c.Limits.FrameTime),
		HandshakeTime:  handshakeTime(c.Limits),
		Logger:         log,
		PublicHosts:    c.HTTP.PublicHosts,
		AllowedOrigins: c.HTTP.AllowedOrigins,
		TrustedProxies: c.HTTP.TrustedProxies,
		HSTS:           time.Duration(c.HTTP.HSTS),
		Compression:    c.HTTP.Compression == "on",
		TokenCookie:    c.JWT.Cookie,
		TokenQuery:     c.JWT.Query,
	}
	// Behind a proxy the pages of this machine are not those of the client's.
	o.Loopback = bound.http != nil && loopbackOnly(bound.http) && len(c.HTTP.TrustedProxies) == 0
	if bound.admin != nil {
		if at, ok := bound.admin.Addr().(*net.TCPAddr); ok {
			o.ConsolePort = uint16(at.Port) // #nosec G115 -- a port
		}
	}
	return o
}

// consoleOptions are those of the admin listener: nobody is in between.
func consoleOptions(c *conf.Config, bound listeners, log *slog.Logger) transport.Options {
	o := webOptions(c, bound, log)
	o.TrustedProxies = nil
	o.AllowedOrigins = nil // of WebSockets
	o.Loopback = false
	return o
}

func tcpOptions(c *conf.Config, t *tls.Config, log *slog.Logger) transport.TCPOptions {
	return transport.TCPOptions{
		BeforeConnect: beforeConnect(c.Limits),
		FrameTime:     time.Duration(c.Limits.FrameTime),
		HandshakeTime: handshakeTime(c.Limits),
		Logger:        log,
		TLS:           t,
	}
}

func certificates(t conf.TLS) (*tls.Config, error) {
	if t.Cert == "" {
		return nil, nil
	}
	c, err := transport.Certificates(t.Cert, t.Key)
	if err == nil && t.ClientCA != "" {
		err = transport.ClientCertificates(c, t.ClientCA)
	}
	return c, err
}
