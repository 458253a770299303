package stompframe

import (
	"bytes"
	"strconv"

	"github.com/go-stomp/stomp/v3/frame"

	"github.com/gudokmq/gudok/store/mutant"
)

// special marks the bytes that some version cannot write as they are.
var special = [256]bool{0: true, '\n': true, '\r': true, ':': true, '\\': true}

// escape is how v writes c, one of the special bytes: as esc, as it is (nil), or not at all (!ok).
func escape(v Version, c byte) (esc string, ok bool) {
	if v >= V11 {
		switch c {
		case '\\':
			return `\\`, true
		case '\n':
			return `\n`, true
		case ':':
			return `\c`, true
		case '\r':
			return `\r`, v >= V12
		}
		return "", false
	}
	return "", c == '\\' || c == ':'
}

// expressible tells whether v can write s as the name of a header.
func expressible[S string | []byte](v Version, s S) bool {
	for i := range len(s) {
		if special[s[i]] {
			if _, ok := escape(v, s[i]); !ok || s[i] == ':' && v < V11 {
				return false
			}
		}
	}
	return len(s) > 0
}

func appendEscaped[S string | []byte](dst []byte, v Version, s S) []byte {
	from := 0
	for i := range len(s) {
		if !special[s[i]] {
			continue
		}
		esc, ok := escape(v, s[i])
		if ok && esc == "" || mutant.Is(mutant.HeaderUnescaped) {
			continue
		}
		if !ok {
			esc = " "
		}
		dst = append(append(dst, s[from:i]...), esc...)
		from = i + 1
	}
	return append(dst, s[from:]...)
}

func appendHeader[S string | []byte](dst []byte, v Version, name, value S) []byte {
	if !expressible(v, name) {
		return dst
	}
	dst = append(appendEscaped(dst, v, name), ':')
	return append(appendEscaped(dst, v, value), '\n')
}

// AppendEscaped appends s as the value of a header in version v (0: as CONNECT and CONNECTED are
// written). What v has no way to write (NUL in any; CR in 1.1; CR and LF in 1.0 and 0) becomes a
// space, so that nothing in s can end the line.
func AppendEscaped(dst []byte, v Version, s []byte) []byte { return appendEscaped(dst, v, s) }

// AppendHeader appends one header line with its LF. The value is written as AppendEscaped does;
// a header whose name is empty or cannot be written in v (a colon in 1.0, say) is left out.
func AppendHeader(dst []byte, v Version, name, value string) []byte {
	return appendHeader(dst, v, name, value)
}

// AppendHeaderBytes is AppendHeader for byte slices.
func AppendHeaderBytes(dst []byte, v Version, name, value []byte) []byte {
	return appendHeader(dst, v, name, value)
}

// AppendFrame appends a whole frame, NUL included. Headers of CONNECT, STOMP and CONNECTED are
// never escaped. A body gets a content-length as the last header unless f brings one, which then
// must be right; that f.Command may have a body is the caller's business too.
func AppendFrame(dst []byte, v Version, f *Frame) []byte {
	switch f.Command {
	case frame.CONNECT, frame.STOMP, frame.CONNECTED:
		v = 0
	}
	dst = append(append(dst, f.Command...), '\n')
	for i := range f.Header {
		dst = appendHeader(dst, v, f.Header[i].Name, f.Header[i].Value)
	}
	if len(f.Body) > 0 && !f.Header.Has(frame.ContentLength) {
		dst = append(dst, frame.ContentLength+":"...)
		dst = append(strconv.AppendInt(dst, int64(len(f.Body)), 10), '\n')
	}
	dst = append(dst, '\n')
	return append(append(dst, f.Body...), 0)
}

// Plain tells that no name or value needs escaping in any version, so that h is the same bytes
// in all of them.
func Plain(h Header) bool {
	for i := range h {
		if !plain(h[i].Name) || !plain(h[i].Value) {
			return false
		}
	}
	return true
}

func plain(s []byte) bool {
	for _, c := range s {
		if special[c] {
			return false
		}
	}
	return true
}

// Recode appends a tail written for one version as it is written for another. A tail is the end
// of a frame as the Append functions of this package made it: header lines, the blank line, and
// the body with its NUL, which stays as it is.
func Recode(dst, tail []byte, from, to Version) []byte {
	if from == to {
		return append(dst, tail...)
	}
	var room [128]byte
	for {
		eol := bytes.IndexByte(tail, '\n')
		if eol <= 0 {
			return append(dst, tail...)
		}
		line := tail[:eol]
		tail = tail[eol+1:]
		name, value, _ := bytes.Cut(line, []byte{':'})
		if plain(name) && plain(value) {
			dst = append(append(dst, line...), '\n')
			continue
		}
		both := appendUnescaped(room[:0], from, name)
		n := len(both)
		both = appendUnescaped(both, from, value)
		dst = appendHeader(dst, to, both[:n], both[n:])
	}
}

// appendUnescaped undoes appendEscaped; what that never writes stays as it is.
func appendUnescaped(dst []byte, v Version, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && v >= V11 && i+1 < len(s) {
			if u := unescaped(v, s[i+1]); u != 0 {
				c = u
				i++
			}
		}
		dst = append(dst, c)
	}
	return dst
}
