package conf_test

import (
	"testing"
	"time"

	"github.com/gudokmq/gudok/conf"
)

func TestSizeText(t *testing.T) {
	for text, want := range map[string]conf.Size{"0": 0, "1B": 1, "64KiB": 64 << 10, "3MiB": 3 << 20, "5GiB": 5 << 30, "1TiB": 1 << 40, "1025B": 1025} {
		var s conf.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want || s.String() != text {
			t.Errorf("%s: %d, %s, %v", text, s, s, err)
		}
	}
}

func TestDurationText(t *testing.T) {
	for text, want := range map[string]time.Duration{"500ms": 500 * time.Millisecond, "10s": 10 * time.Second, "5m": 5 * time.Minute, "1h": time.Hour, "1h30m": 90 * time.Minute} {
		var d conf.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want || d.String() != text {
			t.Errorf("%s: %s, %v", text, d, err)
		}
	}
}
