package conf

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxDepth is how deep brackets may nest; the parser recurses by them, and no setting is deeper
// than four.
const maxDepth = 16

// maxTokens bounds the names, values and marks of a file: the parser's time grows with the square
// of them. It is room for some five thousand users.
const maxTokens = 100_000

// yamlFile is a configuration file being read into a Config.
type yamlFile struct {
	path string
	c    *Config
	line map[string]int // where each key was first seen
}

// readYAML sets what src says. path is for messages.
func (c *Config) readYAML(path string, src []byte) error {
	f := &yamlFile{path: path, c: c, line: map[string]int{}}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	if i := invalid(src); i >= 0 {
		return f.fault(1+bytes.Count(src[:i], []byte("\n")), "", "is not a text in UTF-8")
	}
	root, err := f.parse(string(src))
	if err != nil || root == nil {
		return err
	}
	return f.group("", root, 1, reflect.ValueOf(c).Elem())
}

// invalid finds the first byte that is no part of a text, or -1.
func invalid(src []byte) int {
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n == 1 || r < ' ' && r != '\n' && r != '\r' && r != '\t' {
			return i
		}
		i += n
	}
	return -1
}

func (f *yamlFile) fault(line int, key, problem string) *Error {
	return &Error{Where: f.path + ":" + strconv.Itoa(line), Key: key, Problem: problem}
}

// parse makes the syntax tree; nil for a file that says nothing.
func (f *yamlFile) parse(src string) (ast.Node, error) {
	tokens := lexer.Tokenize(src)
	if err := f.screen(tokens); err != nil {
		return nil, err
	}
	// Keys that stand twice are told in the same words as all else, by group.
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, f.syntax(err)
	}
	var root ast.Node
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType {
			continue
		}
		if root != nil {
			return nil, f.fault(lineOf(d.Body), "", "a second document begins here (remove the line ---)")
		}
		root = d.Body
	}
	return root, nil
}

// screen refuses, before the parser sees them, the parts of YAML that no configuration needs.
func (f *yamlFile) screen(tokens token.Tokens) error {
	if len(tokens) > maxTokens {
		return &Error{Where: f.path, Problem: "has more than 100000 words and marks: is this a configuration?"}
	}
	flow, inLine, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, inLine = t.Position.Line, 0
		}
		switch t.Type {
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType, token.MappingKeyType, token.DirectiveType:
			return f.fault(line, "", quote(strings.TrimSpace(t.Value))+
				" is YAML that is not read here (quote it if it is text; anchors, aliases, tags and complex keys are refused)")
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType:
			inLine++
		}
		if flow > maxDepth || inLine > maxDepth {
			return f.fault(line, "", "is nested too deep for a configuration")
		}
	}
	return nil
}

// syntax keeps line and message of a parser's error, which shows an excerpt in many lines.
func (f *yamlFile) syntax(err error) error {
	var located interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &located) {
		text, _, _ := strings.Cut(err.Error(), "\n")
		return &Error{Where: f.path, Problem: "is not YAML: " + text}
	}
	line := 1
	if t := located.GetToken(); t != nil && t.Position != nil {
		line = t.Position.Line
	}
	text, _, _ := strings.Cut(located.GetMessage(), "\n")
	return f.fault(line, "", "is not YAML: "+text)
}

func lineOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 1
}

// group reads a mapping into a struct. A key without anything below it is an empty group, as
// when all its lines are commented out.
func (f *yamlFile) group(prefix string, n ast.Node, line int, into reflect.Value) error {
	if n.Type() == ast.NullType {
		return nil
	}
	m, ok := n.(ast.MapNode)
	if !ok {
		key := strings.TrimSuffix(prefix, ".")
		if key == "" {
			return f.fault(line, "", "the file does not begin with keys (write http:, tcp: or limits: …)")
		}
		return f.fault(line, key, "is a group of keys (write them indented below it)")
	}
	known := fields(into)
	for it := m.MapRange(); it.Next(); {
		name := it.Key().GetToken().Value
		at, key := lineOf(it.Key()), prefix+name
		s, ok := known[name]
		if !ok {
			return f.fault(at, prefix+plain(name), f.unknown(name, prefix, known))
		}
		if first, ok := f.line[key]; ok {
			return f.fault(at, key, fmt.Sprintf("stands here again, first in line %d (remove one)", first))
		}
		f.note(key, at)
		if err := f.value(key, at, it.Value(), s); err != nil {
			return err
		}
	}
	return nil
}

func (f *yamlFile) note(key string, line int) {
	f.line[key] = line
	f.c.where[key] = f.path + ":" + strconv.Itoa(line)
}

// plain shows a key that we do not know in a message of one line.
func plain(name string) string {
	if q := quote(name); q != `"`+name+`"` || name == "" {
		return q
	}
	return name
}

func (f *yamlFile) unknown(name, prefix string, known map[string]setting) string {
	if n := nearest(name, known); n != "" {
		return fmt.Sprintf("no setting has this name (did you mean %s?)", prefix+n)
	}
	if strings.Contains(name, "=") { // what a comma in a hash leaves behind, between braces
		return "no setting has this name (put quotes around a value with commas in it)"
	}
	return "no setting has this name (here go " + strings.Join(sortedKeys(known), ", ") + ")"
}

// value reads what stands behind a key.
func (f *yamlFile) value(key string, line int, n ast.Node, s setting) error {
	switch {
	case s.isGroup():
		return f.group(key+".", n, line, s.value)
	case s.isGroups():
		return f.groups(key, line, n, s)
	case s.isList():
		return f.list(key, line, n, s)
	}
	text, err := f.scalar(key, line, n)
	if err != nil {
		return err
	}
	if err := s.set(text); err != nil {
		return f.fault(line, key, err.Error())
	}
	return nil
}

func (f *yamlFile) scalar(key string, line int, n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.NullNode:
		return "", f.fault(line, key, `has no value (write one, "" for none, or remove the line)`)
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case ast.ScalarNode:
		return n.GetToken().Value, nil
	}
	return "", f.fault(line, key, "is one value, not a list or a group")
}

// elements gives the nodes of a list.
func (f *yamlFile) elements(key string, line int, n ast.Node) ([]ast.Node, error) {
	switch n := n.(type) {
	case *ast.NullNode:
		return nil, nil
	case *ast.SequenceNode:
		return n.Values, nil
	}
	return nil, f.fault(line, key, "is a list (write [a, b], or - a in lines of their own)")
}

func (f *yamlFile) list(key string, line int, n ast.Node, s setting) error {
	nodes, err := f.elements(key, line, n)
	if scalar, ok := n.(ast.ScalarNode); ok && s.isScalar() {
		nodes, err = []ast.Node{scalar}, nil
	}
	if err != nil {
		return err
	}
	texts := make([]string, len(nodes))
	for i, n := range nodes {
		element := index(key, i)
		f.note(element, lineOf(n))
		if _, ok := n.(*ast.NullNode); ok && n.GetToken().Value == "null" {
			texts[i] = "null" // an origin is called so
		} else if texts[i], err = f.scalar(element, lineOf(n), n); err != nil {
			return err
		}
	}
	if i, err := s.setList(texts); err != nil {
		return f.fault(lineOf(nodes[i]), index(key, i), err.Error())
	}
	return nil
}

func (f *yamlFile) groups(key string, line int, n ast.Node, s setting) error {
	nodes, err := f.elements(key, line, n)
	if err != nil {
		return err
	}
	list := reflect.MakeSlice(s.value.Type(), len(nodes), len(nodes))
	for i, n := range nodes {
		element := index(key, i)
		f.note(element, lineOf(n))
		if m, ok := n.(ast.MapNode); ok {
			if it := m.MapRange(); it.Next() {
				f.note(element, lineOf(it.Key()))
			}
		}
		if err := f.group(element+".", n, lineOf(n), list.Index(i)); err != nil {
			return err
		}
	}
	s.value.Set(list)
	return nil
}

func index(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }
