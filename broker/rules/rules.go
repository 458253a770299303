package rules

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gudokmq/gudok/broker"
)

// Rule says what some principals may do.
type Rule struct {
	// Who it is for: "*" everyone; "anonymous" those without a name; "group:NAME" a group;
	// "claim:NAME=VALUE" a claim of a token; "user:NAME", or NAME alone, a user.
	Who string
	// Send and Subscribe are patterns of destinations that are granted, Deny of those that are
	// refused for both.
	Send, Subscribe, Deny []string
}

// Error is a rule that makes no sense. Its text quotes the value and tells the cure.
type Error struct {
	Rule    int    // index in the list
	Field   string // who, send, subscribe or deny
	Index   int    // of the pattern in that field; 0 for who
	Problem string
}

func (e *Error) Error() string { return fmt.Sprintf("rule %d: %s: %s", e.Rule+1, e.Field, e.Problem) }

// Rules are the broker.Authorizer of a list of rules. They are immutable; any goroutine may use
// them.
type Rules struct {
	list      []rule
	everyone  []int // indices of the rules for "*"
	anonymous []int
	user      map[string][]int
	group     map[string][]int
	claim     map[string]map[string][]int // by name and value

	mu      sync.Mutex // guards what follows
	classes map[string]*class
}

var _ broker.Authorizer = (*Rules)(nil)

// rule is a Rule whose patterns are read.
type rule struct{ send, subscribe, deny []pattern }

// class is what all principals may do that the same rules are for.
type class struct{ send, subscribe, deny []pattern }

// maxClasses bounds the classes that are kept; those of a token's many values come and go.
const maxClasses = 1024

// New reads rules. With none, nobody may do anything. The error is an [*Error].
func New(list []Rule) (*Rules, error) {
	r := &Rules{
		list:    make([]rule, len(list)),
		user:    make(map[string][]int),
		group:   make(map[string][]int),
		claim:   make(map[string]map[string][]int),
		classes: make(map[string]*class),
	}
	for i, from := range list {
		if problem := r.index(i, from.Who); problem != "" {
			return nil, &Error{Rule: i, Field: "who", Problem: problem}
		}
		for _, f := range []struct {
			name  string
			texts []string
			to    *[]pattern
		}{
			{"send", from.Send, &r.list[i].send},
			{"subscribe", from.Subscribe, &r.list[i].subscribe},
			{"deny", from.Deny, &r.list[i].deny},
		} {
			for k, text := range f.texts {
				p, err := parse(text)
				if err != nil {
					return nil, &Error{Rule: i, Field: f.name, Index: k, Problem: err.Error()}
				}
				*f.to = append(*f.to, p)
			}
		}
	}
	return r, nil
}

// Subject is what the who of a rule means.
type Subject struct {
	Kind  SubjectKind
	Name  string // of the user, group or claim
	Value string // of the claim
}

// SubjectKind is the sort of a Subject.
type SubjectKind uint8

// What a rule can be for.
const (
	Everyone SubjectKind = iota + 1
	Anonymous
	User
	Group
	Claim
)

// ParseWho reads the who of a rule; its error quotes it and tells the cure.
func ParseWho(text string) (Subject, error) {
	const write = "(write *, NAME, group:NAME, claim:NAME=VALUE or anonymous)"
	kind, rest, prefixed := strings.Cut(text, ":")
	s := Subject{Kind: User, Name: text}
	switch {
	case text == "*":
		return Subject{Kind: Everyone}, nil
	case text == "anonymous":
		return Subject{Kind: Anonymous}, nil
	case text == "":
		return Subject{}, fmt.Errorf("is missing or empty %s", write)
	case prefixed && kind == "user":
		s.Name = rest
	case prefixed && kind == "group":
		s = Subject{Kind: Group, Name: rest}
	case prefixed && kind == "claim":
		name, value, ok := strings.Cut(rest, "=")
		if !ok || value == "" {
			return Subject{}, fmt.Errorf("%s has no value (write claim:NAME=VALUE)", quote(text))
		}
		s = Subject{Kind: Claim, Name: name, Value: value}
	}
	if s.Name == "" || strings.TrimSpace(s.Name) != s.Name {
		return Subject{}, fmt.Errorf("%s names nobody %s", quote(text), write)
	}
	if s.Kind == User {
		if err := broker.CheckName(s.Name); err != nil {
			return Subject{}, fmt.Errorf("cannot be a user: %w %s", err, write)
		}
		if strings.Contains(s.Name, ".") {
			return Subject{}, fmt.Errorf("%s cannot be a user where there are rules: '.' separates segments", quote(s.Name))
		}
	}
	return s, nil
}

// index notes whom rule i is for.
func (r *Rules) index(i int, text string) (problem string) {
	s, err := ParseWho(text)
	if err != nil {
		return err.Error()
	}
	switch s.Kind {
	case Everyone:
		r.everyone = append(r.everyone, i)
	case Anonymous:
		r.anonymous = append(r.anonymous, i)
	case User:
		r.user[s.Name] = append(r.user[s.Name], i)
	case Group:
		r.group[s.Name] = append(r.group[s.Name], i)
	case Claim:
		if r.claim[s.Name] == nil {
			r.claim[s.Name] = make(map[string][]int)
		}
		r.claim[s.Name][s.Value] = append(r.claim[s.Name][s.Value], i)
	}
	return ""
}

// apply lists the rules that are for a principal, in their order.
func (r *Rules) apply(p *broker.Principal) []int {
	all := slices.Clone(r.everyone)
	if p.Name == "" {
		all = append(all, r.anonymous...)
	} else {
		all = append(all, r.user[p.Name]...)
	}
	for _, g := range p.Groups {
		all = append(all, r.group[g]...)
	}
	for name, values := range p.Claims {
		for _, v := range values {
			all = append(all, r.claim[name][v]...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Grants implements broker.Authorizer.
func (r *Rules) Grants(p *broker.Principal, self string) broker.Grants {
	return &grants{r.class(r.apply(p)), who{name: p.Name, self: self}}
}

// class puts the patterns of some rules together, or finds them.
func (r *Rules) class(apply []int) *class {
	var key strings.Builder
	for _, i := range apply {
		fmt.Fprintf(&key, "%d ", i)
	}
	r.mu.Lock()
	c := r.classes[key.String()]
	r.mu.Unlock()
	if c != nil {
		return c
	}
	c = new(class)
	for _, i := range apply {
		c.send = append(c.send, r.list[i].send...)
		c.subscribe = append(c.subscribe, r.list[i].subscribe...)
		c.deny = append(c.deny, r.list[i].deny...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.classes) >= maxClasses {
		clear(r.classes)
	}
	r.classes[key.String()] = c
	return c
}
