package auth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// keySource has the keys of the moment.
type keySource interface {
	// keys returns them; none yet is an error.
	keys() ([]key, error)
	// refresh is called when a token names a key that is not there: it gets newer keys, if that may
	// be worth it, and tells whether there are any. It waits no longer than refreshWait.
	refresh(ctx context.Context) bool
	// reload gets newer keys for an operator who asks for it.
	reload() error
	close()
}

// fileCheck bounds how often a file is looked at.
const fileCheck = time.Second

// keyFile reads keys from a file, and again when it was replaced or changed. While the new content
// cannot be used, the old keys stay.
type keyFile struct {
	path, algorithm string
	log             *slog.Logger

	mu     sync.Mutex // guards what follows
	list   []key
	seen   stamp
	looked time.Time
}

// stamp tells one content of a file from the next.
type stamp struct {
	changed time.Time
	size    int64
}

func newKeyFile(path, algorithm string, log *slog.Logger) (*keyFile, error) {
	f := &keyFile{path: path, algorithm: algorithm, log: log}
	if err := f.reload(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *keyFile) look() (stamp, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return stamp{}, fmt.Errorf("look at the keys: %w", err) // err has the name
	}
	return stamp{info.ModTime(), info.Size()}, nil
}

func (f *keyFile) reload() error {
	seen, err := f.look()
	if err != nil {
		return err
	}
	list, err := readKeys(f.path, f.algorithm)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.list, f.seen, f.looked = list, seen, time.Now()
	f.mu.Unlock()
	return nil
}

func readKeys(path, algorithm string) ([]key, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxKeysBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	if len(text) > maxKeysBytes {
		return nil, fmt.Errorf("the keys in %s are more than %d bytes", path, maxKeysBytes)
	}
	list, err := parseKeys(text, algorithm, false)
	if err != nil {
		return nil, fmt.Errorf("the keys in %s cannot be used: %w", path, err)
	}
	return list, nil
}

// keys implements keySource. While one caller reads a changed file, others get the old keys.
func (f *keyFile) keys() ([]key, error) {
	f.mu.Lock()
	list, now := f.list, time.Now()
	due := now.Sub(f.looked) >= fileCheck
	if due {
		f.looked = now
	}
	f.mu.Unlock()
	if !due {
		return list, nil
	}
	seen, err := f.look()
	f.mu.Lock()
	changed := err == nil && seen != f.seen // a file that is missing is about to be replaced
	if changed {
		f.seen = seen
	}
	f.mu.Unlock()
	if !changed {
		return list, nil
	}
	fresh, err := readKeys(f.path, f.algorithm)
	if err != nil {
		f.log.Warn("changed keys not usable, keeping the old ones", "err", err)
		return list, nil
	}
	f.mu.Lock()
	f.list = fresh
	f.mu.Unlock()
	f.log.Info("keys of tokens read again", "keys", len(fresh), "file", f.path)
	return fresh, nil
}

func (f *keyFile) refresh(context.Context) bool { return false }

func (f *keyFile) close() {}

// CheckKeys tells why a file cannot serve as jwt.keys_file.
func CheckKeys(path, algorithm string) error {
	_, err := readKeys(path, algorithm)
	return err
}
