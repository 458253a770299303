package broker_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/memory"
)

// refused is what a broker has refused until now, by reason.
func refused(b *broker.Broker) map[string]int {
	m := map[string]int{}
	for _, r := range b.Snapshot().Refused {
		if r.Count > 0 {
			m[r.Reason] = int(r.Count)
		}
	}
	return m
}

// Whatever is refused is counted once, by its reason; what ends as it should is not.
func TestRefusalsAreCounted(t *testing.T) {
	e := memory.New(memory.Options{MaxBytes: 1000})
	defer e.Close()
	b := newBroker(t, broker.Options{Engine: e, Limits: broker.Limits{Connections: 2}})
	want := map[string]int{}
	check := func(what string, reasons ...string) {
		t.Helper()
		for _, r := range reasons {
			want[r]++
		}
		if got := refused(b); !maps.Equal(got, want) {
			t.Fatalf("after %s: %v, want %v", what, got, want)
		}
	}

	c := connect(t, b)
	c.send("SEND\ndestination:nowhere\n\n")
	c.expect("ERROR", "message:unknown destination prefix")
	c.ended()
	check("a hard error", "unknown destination prefix")

	c = connect(t, b)
	c.send("SEND\nno colon\n\n")
	c.ended()
	check("a malformed frame", "header without colon")

	c = connect(t, b)
	c.send("HELLO\n\n")
	c.ended()
	check("an unknown command", "unknown command")

	c = dial(t, b, 1<<20)
	c.send("CONNECT\naccept-version:7\n\n")
	c.ended()
	check("a refused CONNECT", "no common protocol version")

	c = login(t, b, "gudok-errors:soft\n")
	c.send("UNSUBSCRIBE\nid:1\n\n", "COMMIT\ntransaction:none\nreceipt:1\n\n")
	c.expect("ERROR", "fatal:false")
	c.expect("ERROR", "fatal:false")
	big := string(make([]byte, 2000))
	c.send("SEND\ndestination:/queue/q\ncontent-length:2000\nreceipt:2\n\n" + big)
	c.expect("ERROR", "message:queue is full", "fatal:false")
	check("soft errors", "no such subscription", "no such transaction", "queue is full")

	d := connect(t, b)
	x := dial(t, b, 1<<20)
	x.expect("ERROR", "message:too many connections")
	x.ended()
	check("a connection too many", "too many connections")

	d.send("SEND\ndestination:/queue/q\ncontent-length:2000\nreceipt:2\n\n" + big)
	d.expect("ERROR", "message:queue is full")
	d.ended()
	check("a hard error of the store", "queue is full")

	c.send("DISCONNECT\nreceipt:bye\n\n")
	c.ended()
	connect(t, b).drop()
	check("goodbyes")
}

// Every reason there is has a counter from the start, so that a metric's series are all there.
func TestRefusalsNameEveryReason(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := newBroker(t, broker.Options{})
	var counted []string
	for _, r := range b.Snapshot().Refused {
		counted = append(counted, r.Reason)
	}
	if !slices.IsSorted(counted) || len(slices.Compact(slices.Clone(counted))) != len(counted) {
		t.Errorf("not sorted, or twice: %q", counted)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, isName := kv.Key.(*ast.Ident)
		lit, isText := kv.Value.(*ast.BasicLit)
		if !isName || key.Name != "Text" || !isText {
			return true
		}
		text, _ := strconv.Unquote(lit.Value)
		found++
		quiet := slices.Contains([]string{"goodbye", "connection lost", "server is shutting down"}, text)
		if slices.Contains(counted, text) == quiet {
			t.Errorf("%q: counted %v", text, !quiet)
		}
		return true
	})
	if found < 35 || !slices.Contains(counted, "header line too long") || !slices.Contains(counted, "body not allowed") {
		t.Errorf("%d reasons found, counted %q", found, counted)
	}
}
