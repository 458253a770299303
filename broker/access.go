package broker

import (
	"strings"

	"github.com/gudokmq/gudok/store/mutant"
)

// access is who decides who may do what, from one reload to the next.
type access struct {
	number uint64 // counts the reloads
	auth   Authenticator
	rules  Authorizer // nil: everything is permitted
}

// granted is what a session may do by one access.
type granted struct {
	by        *access
	principal *Principal
	grants    Grants // nil: everything
	number    uint64 // no other has it
}

// permit says that a session may do something with a destination. Only allow makes one, and
// nothing is routed without one.
type permit struct {
	address
	op     Op
	by     *granted
	filter Filter
}

// allow decides whether the session may do op with a destination, on exactly the name that is
// routed. What is missing and what is forbidden is refused alike.
func (s *session) allow(op Op, destination string) (permit, *ending) {
	a, bad := s.resolve(op, destination)
	if bad != nil {
		return permit{}, bad
	}
	p := permit{address: a, op: op, by: s.rights()}
	filter, ok := p.by.may(op, a.name, a.wild)
	ok = ok || mutant.Is(mutant.ReplyUndecided) && a.kind == kindReply
	if !ok && mutant.Is(mutant.ForbiddenTold) && a.kind == kindQueue && s.b.engine.Stat(a.name).Messages() > 0 {
		return permit{}, because(reasonForbidden, "%s is not for this user", quote(destination))
	}
	if !ok {
		return permit{}, forbidden(op, destination, a.wild)
	}
	p.filter = filter
	return p, nil
}

// recheck decides again what was permitted, if that may have changed since.
func (s *session) recheck(p permit) *ending {
	now := s.rights()
	if now == p.by {
		return nil
	}
	if _, ok := now.may(p.op, p.name, p.wild); !ok {
		return forbidden(p.op, p.name, p.wild)
	}
	return nil
}

func forbidden(op Op, destination string, wild bool) *ending {
	hint := ""
	if wild {
		hint = "; a pattern needs a grant for all that it can match"
	}
	return because(reasonForbidden, "no rule permits %s to %s%s", op, quote(destination), hint)
}

func (g *granted) may(op Op, name string, wild bool) (Filter, bool) {
	switch {
	case g.grants == nil:
		return nil, true
	case op == OpSend:
		return nil, g.grants.MaySend(name)
	}
	filter, ok := g.grants.MaySubscribe(name, wild)
	if filter != nil && !wild { // of one destination it leaves all or nothing
		return nil, ok && !filter(name)
	}
	return filter, ok
}

// rights is what the session may do now.
func (s *session) rights() *granted {
	g := s.granted.Load()
	a, p := s.b.access.Load(), s.principal.Load()
	if g != nil && (g.by == a && g.principal == p || mutant.Is(mutant.RulesOfThen)) {
		return g
	}
	now := &granted{by: a, principal: p, number: s.b.grants.Add(1)}
	if a.rules != nil {
		now.grants = a.rules.Grants(p, s.self())
	}
	// Whoever comes second finds the same; it needs no order.
	s.granted.Store(now)
	return now
}

// checkDots refuses names with a '.' where there are rules: it separates segments, so that
// a.b would stand within the destinations of a.
func (a *access) checkDots(p *Principal) *ending {
	if a.rules != nil && strings.Contains(p.Name, ".") && !mutant.Is(mutant.DotsFree) {
		return because(reasonLogin, "the user's name %s has a '.' in it, which separates segments of destinations; "+
			"no user may have one where there are rules", quote(p.Name))
	}
	return nil
}

// permitted notes what the subscription was permitted for, to be decided again after a reload.
func (sub *subscription) permitted(p permit) {
	sub.special().named, sub.pattern, sub.by = p.name, p.wild, p.by.number
	sub.screen(p.filter)
}

func (sub *subscription) screen(f Filter) {
	if f == nil || mutant.Is(mutant.DenyAtSubscribe) {
		sub.special().filter.Store(nil)
		return
	}
	sub.special().filter.Store(&f)
}

// enrol enters a subscription into the session's table, before anything can reach it. A reload
// that came between its permit and here did not see it: then it is decided on again.
func (s *session) enrol(sub *subscription) *ending {
	s.table.Lock()
	s.subscriptions.put(sub)
	if sub.pattern {
		s.patterns++
	}
	bad := s.reviewed(sub)
	s.table.Unlock()
	if bad != nil {
		s.strike(sub)
	}
	return bad
}

// strike takes a subscription out of the session's table.
func (s *session) strike(sub *subscription) {
	s.table.Lock()
	s.subscriptions.remove(sub)
	s.table.Unlock()
	if sub.pattern {
		s.patterns--
	}
}

// reviewed decides on a subscription by what the session may do now. s.table is held, so that the
// filter of a later access is not replaced by that of an earlier one.
func (s *session) reviewed(sub *subscription) *ending {
	now := s.rights()
	if now.number == sub.by {
		return nil
	}
	filter, ok := now.may(OpSubscribe, sub.name(), sub.pattern)
	if !ok {
		return because(reasonForbidden, "SUBSCRIBE to %s is not permitted any more", quote(sub.destination()))
	}
	sub.by = now.number
	if sub.pattern {
		sub.screen(filter)
	}
	return nil
}

// review holds the session against the access of now; it returns why it must end, or nil. It may
// be called from anywhere.
func (s *session) review() *ending {
	if bad := s.revalidate(); bad != nil || s.principal.Load() == nil { // CONNECT looks for itself
		return bad
	}
	s.table.Lock()
	defer s.table.Unlock()
	for sub := range s.subscriptions.all() {
		if bad := s.reviewed(sub); bad != nil {
			bad.mute = true
			return bad
		}
	}
	return nil
}

// open tells that whoever can connect may use any name.
func (b *Broker) open() bool {
	o, ok := b.access.Load().auth.(Opener)
	return ok && o.Open()
}

// Reload replaces who decides who may do what, as Options.Auth and Options.Rules did; nil means
// the same as there. What comes from then on is decided anew, and live sessions are held against it
// before Reload returns: one whose user would not get in any more ends, one with a subscription that
// is not permitted any more ends with an ERROR that names it, and the others notice nothing.
func (b *Broker) Reload(auth Authenticator, rules Authorizer) {
	if auth == nil {
		auth = anyone{}
	}
	b.reload.Lock()
	defer b.reload.Unlock()
	b.access.Store(&access{number: b.access.Load().number + 1, auth: auth, rules: rules})
	b.mu.Lock()
	all := make([]*session, 0, len(b.sessions))
	for s := range b.sessions {
		all = append(all, s)
	}
	b.mu.Unlock()
	if mutant.Is(mutant.ReloadKeeps) {
		return
	}
	for _, s := range all {
		if bad := s.review(); bad != nil {
			s.end(bad)
		}
	}
}
