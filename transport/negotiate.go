package transport

import (
	"net/http"
	"strconv"
	"strings"
)

// agreement is what a handshake agreed on about compression (RFC 7692, 7.1). Messages never refer to
// earlier ones, either way, so that no connection keeps a window.
type agreement struct {
	// bits is the base-2 logarithm of the window that the client can have for our messages, 8 to 15.
	bits int
	// asked tells that the client said it, and wants it repeated.
	asked bool
}

// agree takes the first offer of permessage-deflate that can be honoured; false: there is none.
func agree(h http.Header) (agreement, bool) {
	for _, line := range h.Values("Sec-WebSocket-Extensions") {
		for _, offer := range cutOutside(line, ',') {
			params := cutOutside(offer, ';')
			if params[0] != "permessage-deflate" {
				continue
			}
			if a, ok := agreeTo(params[1:]); ok {
				return a, true
			}
		}
	}
	return agreement{}, false
}

// agreeTo judges the parameters of one offer: one that is unknown, comes twice or has a value it may
// not have declines the whole (RFC 7692, 7.1).
func agreeTo(params []string) (agreement, bool) {
	a := agreement{bits: 15}
	seen := make(map[string]bool)
	for _, p := range params {
		name, value, valued := strings.Cut(p, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if seen[name] {
			return a, false
		}
		seen[name] = true
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if valued {
				return a, false
			}
		case "client_max_window_bits": // inflating with the largest window is right for all
			if _, ok := windowBits(value); valued && !ok {
				return a, false
			}
		case "server_max_window_bits":
			bits, ok := windowBits(value)
			if !ok {
				return a, false
			}
			a.bits, a.asked = bits, true
		default:
			return a, false
		}
	}
	return a, true
}

// String is the answer's Sec-WebSocket-Extensions.
func (a agreement) String() string {
	s := "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	if a.asked {
		s += "; server_max_window_bits=" + strconv.Itoa(a.bits)
	}
	return s
}

// windowBits reads 8 to 15, without zeros in front (RFC 7692, 7.1.2), maybe in quotes.
func windowBits(s string) (bits int, ok bool) {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	bits, err := strconv.Atoi(s)
	return bits, err == nil && bits >= 8 && bits <= 15 && strconv.Itoa(bits) == s
}

// cutOutside cuts s at each sep that is not within quotes, and trims the parts.
func cutOutside(s string, sep byte) (parts []string) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts = append(parts, strings.TrimSpace(s[from:i]))
			from = i + 1
		}
	}
	return append(parts, strings.TrimSpace(s[from:]))
}
