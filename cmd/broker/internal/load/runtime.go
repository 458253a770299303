package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// goRuntime is what a Gudok tells of its Go runtime.
type goRuntime struct {
	goroutines, heapLive, stacks, mallocs, cycles int64
	over5ms                                       int64         // pauses of the collector
	longest                                       time.Duration // the longest of them since the start
}

// askTime bounds the wait for a line in the broker's log.
const askTime = 5 * time.Second

// ask makes the broker log its figures, and reads them from the end of its log, a file. The process
// has to be a Gudok: others end at that signal.
func ask(pid int, log string) (goRuntime, error) {
	if pid <= 0 { // a signal to 0 goes to the whole process group of this program
		return goRuntime{}, errors.New("-log needs the broker's process: none that may be seen listens at the URL's port, and there is no -pid")
	}
	f, err := os.Open(log)
	if err != nil {
		return goRuntime{}, fmt.Errorf("open the broker's log: %w", err)
	}
	defer f.Close()
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return goRuntime{}, err
	}
	if err := wakeUp(pid); err != nil {
		return goRuntime{}, fmt.Errorf("ask the broker for its figures: %w", err)
	}
	for until := time.Now().Add(askTime); time.Now().Before(until); time.Sleep(time.Millisecond) {
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return goRuntime{}, err
		}
		text, err := io.ReadAll(f)
		if err != nil {
			return goRuntime{}, err
		}
		if r, ok := parseRuntime(text); ok {
			return r, nil
		}
	}
	return goRuntime{}, errors.New("the broker logged no figures: is that its log, in text, at level info?")
}

// parseRuntime finds a whole line of figures.
func parseRuntime(text []byte) (r goRuntime, ok bool) {
	_, rest, ok := bytes.Cut(text, []byte(" msg=runtime "))
	if !ok {
		return r, false
	}
	line, _, ok := bytes.Cut(rest, []byte("\n"))
	for word := range strings.FieldsSeq(string(line)) {
		name, value, _ := strings.Cut(word, "=")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "goroutines":
			r.goroutines = n
		case "heap_live":
			r.heapLive = n
		case "stacks":
			r.stacks = n
		case "mallocs":
			r.mallocs = n
		case "gc_cycles":
			r.cycles = n
		case "gc_pauses_5ms":
			r.over5ms = n
		case "gc_pause_max":
			r.longest, _ = time.ParseDuration(value)
		}
	}
	return r, ok
}
