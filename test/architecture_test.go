// Package test holds what is proved of the project as a whole.
package test

import (
	"os/exec"
	"strings"
	"testing"
)

// layers are the packages from the lowest to the highest. Imports run down this list and never
// up; packages on one line do not know each other.
var layers = [][]string{
	{"store/mutant"},
	{"conf", "stompframe", "store"},
	{"store/ledger"},
	{"store/memory", "store/bolt", "store/jetstream", "store/storetest"},
	{"broker"},
	{"broker/auth", "broker/rules", "broker/admin", "transport"},
	{"cmd/broker"},
}

// TestImportsRunDown shows the directions with go list.
func TestImportsRunDown(t *testing.T) {
	const module = "github.com/gudokmq/gudok/"
	rank := make(map[string]int)
	for i, l := range layers {
		for _, p := range l {
			rank[p] = i
		}
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "../...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	checked := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		from := strings.TrimPrefix(words[0], module)
		if strings.HasPrefix(from, "test") {
			continue
		}
		at, ok := layer(rank, from)
		if !ok {
			t.Errorf("%s has no place in the layers", from)
			continue
		}
		checked++
		for _, w := range words[1:] {
			to, ours := strings.CutPrefix(w, module)
			if !ours {
				continue
			}
			below, ok := layer(rank, to)
			if !ok || below > at || below == at && !strings.HasPrefix(to, from) && !sameTree(from, to) {
				t.Errorf("%s imports %s, which is not below it", from, to)
			}
			if from == "conf" {
				t.Errorf("conf imports %s; it knows no other package", to)
			}
		}
	}
	if checked < 8 {
		t.Errorf("only %d packages seen", checked)
	}
}

// layer finds the rank of a package; one below .../internal/ belongs to what stands before it.
func layer(rank map[string]int, p string) (int, bool) {
	if head, _, found := strings.Cut(p, "/internal"); found {
		p = head
		if p == "store" {
			return rank["store/ledger"], true // what the engines share
		}
	}
	r, ok := rank[p]
	return r, ok
}

// sameTree allows store/internal/x to build on store/ledger, and cmd/broker on its own parts.
func sameTree(from, to string) bool {
	return strings.Contains(from, "/internal") && (to == "store/ledger" || strings.HasPrefix(to, strings.SplitN(from, "/internal", 2)[0]))
}

// TestWhoLinksWhat keeps what embedders do not want out of the packages that they import.
func TestWhoLinksWhat(t *testing.T) {
	for _, p := range []string{"broker", "broker/auth", "broker/rules", "transport", "store/bolt", "store/memory", "stompframe", "conf"} {
		out, err := exec.Command("go", "list", "-deps", "github.com/gudokmq/gudok/"+p).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", p, err)
		}
		for _, no := range []string{"github.com/prometheus/", "google.golang.org/protobuf"} {
			if strings.Contains(string(out), no) {
				t.Errorf("%s links %s", p, no)
			}
		}
	}
}

// TestNoForbiddenCalls keeps out what the design forbids.
func TestNoForbiddenCalls(t *testing.T) {
	for _, c := range []struct{ pattern, in, why string }{
		{"websocket.NetConn(", ".. --include=*.go --exclude-dir=test --exclude=*_test.go", "it lifts the read limit: a decompression bomb"},
		{"CompressionMode:", ".. --include=*.go --exclude=*_test.go", "the library inflates without bound and keeps buffers; transport does it"},
		{"fmt.Print", "../broker ../store ../transport ../stompframe ../conf --include=*.go --exclude=*_test.go", "libraries do not print"},
		{"log.Print", "../broker ../store ../transport ../stompframe ../conf --include=*.go --exclude=*_test.go", "libraries do not print"},
		{"func init()", ".. --include=*.go", "nothing happens by import"},
	} {
		out, _ := exec.Command("sh", "-c", "grep -rnF '"+c.pattern+"' "+c.in+" | grep -v architecture_test.go").Output()
		if len(out) > 0 {
			t.Errorf("%s: %s\n%s", c.pattern, c.why, out)
		}
	}
}
