package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gudokmq/gudok/store/mutant"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

var (
	bucketMeta    = []byte("meta")
	bucketLog     = []byte("log")
	bucketAcks    = []byte("acks")
	bucketBinds   = []byte("bindings")
	bucketReach   = []byte("reach")
	bucketDamaged = []byte("damaged")

	keyFormat   = []byte("format")
	keyManifest = []byte("manifest")
	keyTurn     = []byte("turn")
	keyIndex    = []byte("0")
	keyBodies   = []byte("1")
)

// format is the version of the file's format.
const format = 1

// ErrDamaged is wrapped by the error of Open where the file's structure is damaged, so that it
// cannot be used as it is.
var ErrDamaged = errors.New("the file is damaged")

// ErrFormat is wrapped by the error of Open where the file has the format of another version, or
// is no store at all.
var ErrFormat = errors.New("the file is not of a format that this version reads")

// makeDir makes the data directory, unless it is there.
func makeDir(o *Options) error {
	info, err := os.Stat(o.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Mkdir(o.Path, 0o750); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("data directory %s: its parent directory does not exist; create that", o.Path)
			}
			return fmt.Errorf("create the data directory %s: %w; create it, writable for this user", o.Path, reason(err))
		}
		if err := syncDir(filepath.Dir(filepath.Clean(o.Path))); err != nil {
			return fmt.Errorf("create the data directory %s: %w", o.Path, err)
		}
	case err != nil:
		return fmt.Errorf("data directory %s: %w; make it accessible for this user", o.Path, reason(err))
	case !info.IsDir():
		return fmt.Errorf("data directory %s is not a directory; move it away or choose another path", o.Path)
	}
	return nil
}

// prepare makes an empty file where there is none. It leaves no half-made file behind under the file's
// name, whenever the machine stops. The caller has locked the directory.
func prepare(o *Options) error {
	for _, leftover := range []string{o.file() + newSuffix, o.file() + compactSuffix} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s, left from before: %w; make the directory writable for this user", leftover, reason(err))
		}
	}
	info, err := os.Stat(o.file())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return create(o)
	case err != nil:
		return fmt.Errorf("open %s: %w; make it accessible for this user", o.file(), reason(err))
	case info.IsDir():
		return fmt.Errorf("%s is a directory; move it away or choose another data directory", o.file())
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file; move it away or choose another data directory", o.file())
	case info.Size() == 0:
		return fmt.Errorf("%s is empty: %w; restore it, or remove it to begin with an empty store", o.file(), ErrDamaged)
	}
	return nil
}

// Names of files under construction.
const (
	newSuffix     = ".new"
	compactSuffix = ".compact"
)

// create makes an empty file: under another name first, so that what has the name is whole.
func create(o *Options) error {
	temp := o.file() + newSuffix
	err := build(o, temp, func(*bbolt.DB) error { return nil })
	if err == nil {
		err = install(o, temp, o.file())
	}
	if err != nil {
		_ = os.Remove(temp) // Open does so as well
		return fmt.Errorf("create %s: %w; the directory must be writable for this user, and have room", o.file(), reason(err))
	}
	return nil
}

// build makes a file with the buckets of this format, has fill fill it, and syncs it.
func build(o *Options, path string, fill func(*bbolt.DB) error) error {
	if err := o.hooks.at("create"); err != nil {
		return err
	}
	db, err := openBolt(path, boltOptions(o))
	if err != nil {
		return err
	}
	db.AllocSize = 64 << 10
	unsynced := mutant.Is(mutant.CompactUnsynced) && strings.HasSuffix(path, compactSuffix)
	db.NoSync = unsynced
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketLog, bucketAcks} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		if err := (manifest{}).write(tx); err != nil {
			return err
		}
		return tx.Bucket(bucketMeta).Put(keyFormat, strconv.AppendInt(nil, format, 10))
	})
	if err == nil {
		err = o.hooks.at("fill")
	}
	if err == nil {
		err = fill(db)
	}
	if err == nil && !unsynced {
		err = db.Sync()
	}
	if e := db.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = o.hooks.at("sync")
	}
	if err == nil && !unsynced {
		err = syncFile(path)
	}
	return err
}

// install gives a finished file its name.
func install(o *Options, temp, path string) error {
	if err := o.hooks.at("rename"); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	if err := o.hooks.at("directory"); err != nil {
		return err
	}
	if mutant.Is(mutant.NoDirectorySync) {
		return nil
	}
	return syncDir(filepath.Dir(path))
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = f.Sync()
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// reason leaves the path out of an error that names it already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}

// mapBytes is how much address space the file is mapped into at first, so that it need not be mapped
// anew, for which readers and writer wait for each other, while it grows.
const mapBytes int64 = 32 << 30

func boltOptions(o *Options) *bbolt.Options {
	b := &bbolt.Options{
		Timeout:         o.LockTimeout,
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapSize(),
		MaxSize:         int(o.MaxSize),
		// Statistics stay on: they are the only way to learn how much of the file is free.
	}
	return b
}

// mapSize is mapBytes where address space is plenty and mapping takes no room.
func mapSize() int {
	if strconv.IntSize < 64 || !mapsSparsely {
		return 0
	}
	size := mapBytes // not a constant: it may not fit
	return int(size)
}

// openFile opens a file that is there, after looking whether it can be opened at all: bbolt panics,
// in a goroutine of its own, where it cannot. The file is bbolt's, which closes it.
func openFile(o *Options, path string) (db *bbolt.DB, f *os.File, err error) {
	free, err := lockFile(path, o.LockTimeout)
	if err != nil {
		return nil, nil, openError(path, err)
	}
	_, err = checkPages(path)
	free()
	if err != nil {
		return nil, nil, openError(path, err)
	}
	b := boltOptions(o)
	b.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err = os.OpenFile(name, flag, mode)
		return f, err
	}
	if db, err = openBolt(path, b); err != nil {
		return nil, nil, openError(path, err)
	}
	db.AllocSize = allocSize(o.MaxSize)
	db.NoSync = mutant.Is(mutant.NoSync)
	return db, f, nil
}

func openBolt(path string, b *bbolt.Options) (db *bbolt.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	db, err = bbolt.Open(path, 0o600, b)
	if errors.Is(err, syscall.ENOMEM) { // a limit on address space
		b.InitialMmapSize = 0
		db, err = bbolt.Open(path, 0o600, b)
	}
	return db, err
}

// allocSize is in which steps the file grows: big ones save syncs, small ones respect the bound.
func allocSize(maxSize int64) int {
	const most, least = 16 << 20, 64 << 10
	if maxSize <= 0 {
		return most
	}
	return int(min(max(maxSize/16, least), most))
}

// errLocked tells that another process has the file.
var errLocked = errors.New("the file is locked")

func openError(path string, err error) error {
	switch {
	case errors.Is(err, errLocked) || errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("%s is in use by another process; stop that, or choose another data directory", path)
	case errors.Is(err, ErrFormat):
		return fmt.Errorf("%s: %w; use the version that wrote it, or another data directory", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("open %s: %w; make it readable and writable for this user", path, reason(err))
	case errors.Is(err, ErrDamaged) || errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) ||
		errors.Is(err, berrors.ErrVersionMismatch):
		if !errors.Is(err, ErrDamaged) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return fmt.Errorf("%s: %w; stop the broker and run `broker recover`", path, err)
	}
	return fmt.Errorf("open %s: %w; look at the disk and its file system", path, reason(err))
}

// lockNap is how soon a lock is tried again.
const lockNap = 20 * time.Millisecond
