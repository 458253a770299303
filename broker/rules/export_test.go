package rules

import "github.com/gudokmq/gudok/broker"

// CompileDeep makes grants of patterns that may have more segments than a destination.
func CompileDeep(granted, denied []string) broker.Grants {
	read := func(list []string) (to []pattern) {
		for _, text := range list {
			to = append(to, asked(split(text, nil)))
		}
		return to
	}
	g := read(granted)
	return &grants{class: &class{send: g, subscribe: g, deny: read(denied)}}
}

// Classes is how many are kept.
func Classes(r *Rules) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.classes)
}
