package rules

import (
	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/mutant"
)

// grants are what one session may do.
type grants struct {
	*class
	who
}

// MaySend implements broker.Grants.
func (g *grants) MaySend(destination string) bool {
	var room [maxSegments]string
	name := split(destination, room[:0])
	return matched(g.send, name, g.who) && (!matched(g.deny, name, g.who) || mutant.Is(mutant.DenySecond))
}

// MaySubscribe implements broker.Grants.
func (g *grants) MaySubscribe(destination string, wild bool) (broker.Filter, bool) {
	var room [maxSegments]string
	name := split(destination, room[:0])
	if !wild {
		return nil, matched(g.subscribe, name, g.who) && !matched(g.deny, name, g.who)
	}
	p := asked(name)
	if !covered(&p, g.subscribe, g.who) && !(mutant.Is(mutant.PatternByPrefix) && p.prefixed(g.subscribe)) || covered(&p, g.deny, g.who) {
		return nil, false
	}
	var denies []pattern
	for i := range g.deny {
		if g.deny[i].overlaps(&p, g.who) {
			denies = append(denies, g.deny[i])
		}
	}
	if denies == nil {
		return nil, true
	}
	w := g.who
	return func(destination string) bool {
		var room [maxSegments]string
		return matched(denies, split(destination, room[:0]), w)
	}, true
}

// asked makes a pattern of a SUBSCRIBE's, which has no variables.
func asked(words []string) pattern {
	p := pattern{segs: make([]segment, 0, len(words))}
	for _, w := range words {
		switch w {
		case "**", "#", ">":
			p.tail = true
		case "*":
			p.segs = append(p.segs, segment{kind: star})
		default:
			p.segs = append(p.segs, segment{text: w})
		}
	}
	return p
}
