// Command fuzz runs every fuzz target of the module for a while, two at a time with a worker each, and
// prints how often each was run. Whoever writes a Fuzz function has it run: they are found, not listed.
//
//	go run ./test/fuzz -time 60s
//	go run ./test/fuzz -time 10m -run 'TwoParty|Chunking'
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// target is a Fuzz function.
type target struct{ dir, name string }

func (t target) String() string { return t.dir + " " + t.name }

// find lists the targets of the module at root: those of the modules within it are their own.
func find(root string) (all []target, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			if name := d.Name(); path != root && (err == nil || name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("look for targets: %w", err)
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") {
				all = append(all, target{"./" + filepath.ToSlash(dir), fn.Name.Name})
			}
		}
		return nil
	})
	return all, err
}

var runs = regexp.MustCompile(`execs: (\d+) \((\d+)/sec\), new interesting: \d+ \(total: (\d+)\)`)

// ranOut tells that all a run failed for is that its time was over: up to Go 1.26 the end of -fuzztime may be
// taken for a failure (go.dev/issue/75804). An input that fails is written, and named below the target.
func ranOut(out []byte, t target) bool {
	over := regexp.MustCompile(`(?m)^--- FAIL: ` + t.name + ` \([0-9.]+s\)\n    context deadline exceeded\nFAIL$`)
	return over.Match(out) && bytes.Count(out, []byte("--- FAIL")) == 1 && !bytes.Contains(out, []byte("ailing input"))
}

// fuzz runs a target and returns a line about it; the error has all that the run said.
func fuzz(root string, t target, d time.Duration) (string, error) {
	// Minimising an input that is only interesting may take a minute of its own.
	cmd := exec.Command("go", "test", t.dir, "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", d.String(), "-fuzzminimizetime", "1x", "-parallel", "1")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil && !ranOut(out, t) {
		return "", fmt.Errorf("%s: %w\n%s", t, err, out)
	}
	all := runs.FindAllSubmatch(out, -1)
	if len(all) == 0 {
		return "", fmt.Errorf("%s was not run:\n%s", t, out)
	}
	last := all[len(all)-1]
	total := 0
	if _, err := fmt.Sscan(string(last[1]), &total); err != nil || total == 0 {
		return "", fmt.Errorf("%s was never run:\n%s", t, out)
	}
	return fmt.Sprintf("%-44s %10s runs, %6.0f a second, %5s inputs", t, last[1], float64(total)/d.Seconds(), last[3]), nil
}

func run() error {
	d := flag.Duration("time", time.Minute, "how long each target runs")
	only := flag.String("run", "", "a regular expression of the targets' names")
	jobs := flag.Int("jobs", 2, "how many run at once")
	flag.Parse()
	names, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	root := string(bytes.TrimSpace(out))
	all, err := find(root)
	if err != nil {
		return err
	}
	todo := make(chan target)
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed []error
	for range max(*jobs, 1) {
		wg.Go(func() {
			for t := range todo {
				line, err := fuzz(root, t, *d)
				mu.Lock()
				if err != nil {
					failed = append(failed, err)
				} else {
					fmt.Println(line)
				}
				mu.Unlock()
			}
		})
	}
	n := 0
	for _, t := range all {
		if names.MatchString(t.name) {
			todo <- t
			n++
		}
	}
	close(todo)
	wg.Wait()
	if n == 0 {
		return fmt.Errorf("no target of that name: -run %q", *only)
	}
	fmt.Printf("%d targets, %v each; %d failed\n", n, *d, len(failed))
	return errors.Join(failed...)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
