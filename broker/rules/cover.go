package rules

// fresh is a segment that no rule names: what holds for it holds for all segments that rules do
// not name, and there is no end of those.
const fresh = "\x00"

// covered tells whether everything that asked matches is matched by one of the patterns or
// another. asked is a SUBSCRIBE's pattern. For each length of name that it can match, one name is looked
// at: that with a fresh segment for each wildcard. A pattern that matches it matches all others of
// that length; and without one, that name itself is not matched.
func covered(asked *pattern, list []pattern, w who) bool {
	// A destination has a prefix and a name: no shorter ones.
	least := max(len(asked.segs), 2)
	longest := least
	for i := range list {
		longest = max(longest, len(list[i].segs))
	}
	var room [maxSegments]string
	name := room[:0]
	for i := range asked.segs {
		word := fresh
		if asked.segs[i].kind == literal {
			word = asked.segs[i].text
		}
		name = append(name, word)
	}
	for len(name) < longest {
		name = append(name, fresh)
	}

	exactly := make([]bool, longest+1) // names of this length are matched
	from := longest + 1                // those of this length and all longer ones are
	for i := range list {
		p := &list[i]
		if !asked.tail && len(p.segs) > len(asked.segs) || !p.begins(name, w) {
			continue
		}
		if n := len(p.segs); p.tail {
			from = min(from, max(n, least))
		} else {
			exactly[n] = true
		}
	}
	if !asked.tail {
		return from <= least || exactly[len(asked.segs)]
	}
	if from > longest {
		return false
	}
	for n := least; n < from; n++ {
		if !exactly[n] {
			return false
		}
	}
	return true
}

// overlaps tells whether there is a name that both match. asked is a SUBSCRIBE's pattern.
func (p *pattern) overlaps(asked *pattern, w who) bool {
	n, m := len(p.segs), len(asked.segs)
	if n < m && !p.tail || m < n && !asked.tail {
		return false
	}
	for i := range min(n, m) {
		switch s := &asked.segs[i]; {
		case s.kind == literal && !p.segs[i].is(s.text, w):
			return false
		case p.segs[i].kind == name && w.name == "":
			return false // no segment
		}
	}
	for i := m; i < n; i++ {
		if p.segs[i].kind == name && w.name == "" {
			return false
		}
	}
	return true
}
