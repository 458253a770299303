package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// entries are the calls by which package broker reaches the store and the topics, and the functions
// that may make them. A function in the first list takes a permit, or what was made of one: a target, a
// subscription that has been permitted. The others are the server's own: delivery, settling, the end
// of a session.
var entries = map[string]struct{ decided, own []string }{
	"topics.subscribe": {[]string{"start", "consume", "bind"}, []string{"restore", "unbind"}},
	"topics.publish":   {[]string{"deliver", "follow"}, []string{"publishDelayed"}},
	"engine.Publish":   {[]string{"keep", "handleCommit"}, []string{"enqueue", "bury"}},
	"engine.Commit":    {[]string{"keepCopies", "handleCommit"}, []string{"publishDelayed"}},
	"s.gather":         {[]string{"publish"}, nil},
	"s.deliver":        {[]string{"settle"}, nil},
	"s.keepCopies":     {[]string{"deliver"}, nil},
	"engine.Consume":   {[]string{"join"}, []string{"releaseDelayed"}},
	"engine.Browse":    {},
	"engine.Purge":     {},
	"engine.Drop":      {nil, []string{"leave", "enqueue"}},
	"b.join":           {[]string{"consume"}, nil},
	"b.bind":           {[]string{"routeDurable"}, nil},
	"b.queueTarget":    {[]string{"target"}, nil},
	"s.temp":           {[]string{"target", "routeSubscription", "replyTo"}, nil},
	"s.target":         {[]string{"handleSend"}, nil},
	"b.keep":           {[]string{"publish", "follow"}, nil},
	"s.publish":        {[]string{"handleSend"}, nil},
}

// TestNothingIsRoutedUndecided shows that the store and the topics are reached only on paths that
// begin with a decision: permits are made in one function, and what needs one is called from where
// there is one.
func TestNothingIsRoutedUndecided(t *testing.T) {
	files, err := filepath.Glob("../broker/*.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	made, seen := 0, 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CompositeLit:
					if id, ok := n.Type.(*ast.Ident); ok && id.Name == "permit" && len(n.Elts) > 0 {
						made++
						if fn.Name.Name != "allow" {
							t.Errorf("%s: %s makes a permit; only allow does", fset.Position(n.Pos()), fn.Name.Name)
						}
					}
				case *ast.CallExpr:
					name := called(n)
					e, ok := entries[name]
					if !ok {
						return true
					}
					seen++
					for _, allowed := range append(e.decided, e.own...) {
						if allowed == fn.Name.Name {
							return true
						}
					}
					t.Errorf("%s: %s calls %s, which needs a decision first", fset.Position(n.Pos()), fn.Name.Name, name)
				}
				return true
			})
		}
	}
	if made != 1 || seen < 15 {
		t.Errorf("%d permits are made, %d calls seen", made, seen)
	}
}

// called names a call by its last two words, engine.Publish of s.b.engine.Publish.
func called(n *ast.CallExpr) string {
	sel, ok := n.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	on := ""
	switch x := sel.X.(type) {
	case *ast.Ident:
		on = x.Name
	case *ast.SelectorExpr:
		on = x.Sel.Name
	}
	return on + "." + sel.Sel.Name
}
