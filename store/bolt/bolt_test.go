package bolt_test

import (
	"io"
	"log/slog"
	"testing"

	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/bolt"
	"github.com/gudokmq/gudok/store/storetest"
)

func options(dir string, s storetest.Setup) bolt.Options {
	return bolt.Options{
		Path: dir, MaxBytes: s.MaxBytes, MaxMessages: s.MaxMessages, Expired: s.Expired, Bounds: s.Bounds, MinFree: -1,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func open(t testing.TB, s storetest.Setup) store.Engine {
	t.Helper()
	return openAt(t, options(t.TempDir(), s))
}

func openAt(t testing.TB, o bolt.Options) *bolt.Engine {
	t.Helper()
	e, err := bolt.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func reopen(t testing.TB, e store.Engine, s storetest.Setup) store.Engine {
	t.Helper()
	dir := e.(*bolt.Engine).Path()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return openAt(t, options(dir, s))
}

func TestEngine(t *testing.T) {
	storetest.Run(t, storetest.Options{Open: open, Reopen: reopen, Binder: true})
}

// The same with next to nothing kept in memory: what is delivered has been read back.
func TestEngineCold(t *testing.T) {
	cold := func(t testing.TB, s storetest.Setup) store.Engine {
		o := options(t.TempDir(), s)
		o.HotBytes = 1
		return openAt(t, o)
	}
	storetest.Run(t, storetest.Options{Open: cold, Reopen: reopen, Binder: true})
}

func BenchmarkEngine(b *testing.B) { storetest.Bench(b, open) }
