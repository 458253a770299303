package security

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// rows is how many patterns of attacks there are, each with a test of its number: TestV7…
const rows = 32

// Every pattern that has hit other brokers has a test that carries its number.
func TestEveryRowHasATest(t *testing.T) {
	numbered := regexp.MustCompile(`^TestV([0-9]+)[A-Z]`)
	has := make([][]string, rows+1)
	files := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			if d != nil && d.IsDir() && d.Name() == "node_modules" {
				return fs.SkipDir
			}
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || fn.Body == nil || len(fn.Body.List) == 0 {
				continue
			}
			m := numbered.FindStringSubmatch(fn.Name.Name)
			if m == nil {
				continue
			}
			n, err := strconv.Atoi(m[1])
			if err != nil || n < 1 || n > rows {
				t.Errorf("%s: there is no row of %s", path, fn.Name.Name)
				continue
			}
			has[n] = append(has[n], fn.Name.Name)
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Fatalf("%d files, %v", files, err)
	}
	for n, tests := range has[1:] {
		if len(tests) == 0 {
			t.Errorf("no test of V%d", n+1)
		}
	}
}
