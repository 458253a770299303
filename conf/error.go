package conf

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is one fault of the configuration. Its text is always one line.
type Error struct {
	// Where is the place: FILE:LINE, or the name of an environment variable; empty for a default.
	Where string
	// Key is the setting in dotted form, such as limits.body; empty where the fault has none.
	Key string
	// Problem says what is wrong, quoting the value (never a secret), and how to mend it.
	Problem string
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Where != "" {
		b.WriteString(e.Where + ": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Problem)
	return b.String()
}

// quote shows a value in a message: on one line, and not at any length.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strconv.Quote(s)
}
