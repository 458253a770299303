package conf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
)

// maxFile bounds the configuration file.
const maxFile = 1 << 20

// Load reads the file at path (no file if path is empty), then the overrides among environ
// (NAME=VALUE, as os.Environ gives them), and checks the whole, which includes that the files it
// names are there. The error is one line for the user; it is an [*Error] unless the file could
// not be read.
func Load(path string, environ []string) (*Config, error) {
	c := Default()
	if path != "" {
		src, err := readFile(path)
		if err != nil {
			return nil, err
		}
		if err := c.readYAML(path, src); err != nil {
			return nil, err
		}
	}
	if err := c.readEnviron(environ); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("configuration file %s: %w", path, err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("configuration file %s: %w", path, err)
	}
	if len(src) > maxFile {
		return nil, &Error{Where: path, Problem: "is larger than 1MiB: is this a configuration?"}
	}
	return src, nil
}

// all lists every scalar and list of strings that can be set by name.
func (c *Config) all() map[string]setting {
	return settings("", reflect.ValueOf(c).Elem(), map[string]setting{})
}
