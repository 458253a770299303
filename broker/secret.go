package broker

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that proves who somebody is. Whatever prints, logs or encodes it gets a
// placeholder; only string(s) gives the text, and has no business near a log or an error.
type Secret string

const redacted = "[redacted]"

var (
	_ fmt.Formatter  = Secret("")
	_ slog.LogValuer = Secret("")
)

func (s Secret) String() string { return redacted }

// GoString keeps %#v from telling.
func (s Secret) GoString() string { return redacted }

// Format keeps every verb from telling, %x and %q among them.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue keeps slog from telling.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps JSON and its like from telling.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format keeps every verb from telling: fmt shows what a pointer leads to for some, secrets too.
func (o Offer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "credentials by "+o.Source) }

// LogValue is Format for slog.
func (o Offer) LogValue() slog.Value { return slog.StringValue("credentials by " + o.Source) }
