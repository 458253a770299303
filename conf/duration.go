package conf

import (
	"fmt"
	"strings"
	"time"
)

// Duration is a span of time, written with its unit: 500ms, 10s, 5m, 1h30m.
type Duration time.Duration

// UnmarshalText reads a duration that is not negative; 0 needs no unit. Anything else is an error
// that shows how a duration is written.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("%s is not a duration (write 500ms, 10s, 5m)", quote(string(text)))
	}
	*d = Duration(v)
	return nil
}

// String writes the duration without its zero parts: 5m, not 5m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
