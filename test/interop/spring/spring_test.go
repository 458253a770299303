// Package spring runs Spring's STOMP clients and a Spring Boot application with the broker relay
// against the broker. The tests are Java, in src/test; mvn test runs them without Go.
package spring

import (
	"encoding/xml"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gudokmq/gudok/test/harness"
	"github.com/gudokmq/gudok/test/interop/foreign"
)

const (
	limit = 10 * time.Minute // a first run downloads Spring
	least = 50               // tests; fewer means that some were not found
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

func TestSpring(t *testing.T) {
	tools := foreign.Need(t, "mvn", "java")
	mvn, java := tools[0], tools[1]
	needJava17(t, java)
	watchFiles(t)
	const reports = "target/surefire-reports"
	if err := os.RemoveAll(reports); err != nil {
		t.Fatal(err)
	}

	cmd := exec.Command(mvn, "-B", "-ntp", "test")
	cmd.Env = append(os.Environ(), "GUDOK_BINARY="+harness.Watched(t))
	// A group of its own, so that nothing Maven started outlives it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("start mvn: %v", err)
	}
	late := time.AfterFunc(limit, func() { _ = end() })
	err := cmd.Wait()
	if !late.Stop() {
		t.Errorf("not done after %v", limit)
	}
	_ = end()

	count := reportEach(t, reports)
	if err != nil && !t.Failed() {
		t.Errorf("mvn: %v", err)
	}
	if count < least {
		t.Errorf("%d tests ran, want at least %d", count, least)
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

// needJava17 ends the test unless java, and the compiler Maven uses, is at least version 17.
func needJava17(t *testing.T, java string) {
	t.Helper()
	out, err := exec.Command(java, "-version").CombinedOutput()
	if err != nil {
		t.Fatalf("java -version: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`version "(\d+)`).FindSubmatch(out)
	if found == nil {
		foreign.Missing(t, "Java 17 or later")
	}
	if v, err := strconv.Atoi(string(found[1])); err != nil || v < 17 {
		foreign.Missing(t, "Java 17 or later")
	}
	foreign.Need(t, "javac")
}

// suite is one of Surefire's report files, as far as it is read here.
type suite struct {
	Cases []struct {
		Class   string    `xml:"classname,attr"`
		Name    string    `xml:"name,attr"`
		Failure *string   `xml:"failure"`
		Error   *string   `xml:"error"`
		Skipped *struct{} `xml:"skipped"`
	} `xml:"testcase"`
}

// reportEach makes each test that ran a subtest and tells how many there were.
func reportEach(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "TEST-*.xml"))
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var s suite
		if err := xml.Unmarshal(data, &s); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, c := range s.Cases {
			count++
			class := c.Class[strings.LastIndexByte(c.Class, '.')+1:]
			t.Run(class+"/"+c.Name, func(t *testing.T) {
				switch {
				case c.Failure != nil:
					t.Error(*c.Failure)
				case c.Error != nil:
					t.Error(*c.Error)
				case c.Skipped != nil:
					t.Error("skipped")
				}
			})
		}
	}
	return count
}

// watchFiles looks at each source file, so that go test knows that a result it has cached is of
// no use once one of them changed.
func watchFiles(t *testing.T) {
	t.Helper()
	for _, root := range []string{"pom.xml", ".mvn", "src"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
