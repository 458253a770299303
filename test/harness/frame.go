package harness

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Header is one header of a frame: as it was on the wire, and unescaped.
type Header struct{ Name, Value, Raw string }

// Frame is one frame that the broker sent.
type Frame struct {
	Command string
	Headers []Header
	Body    []byte
	// Raw is the frame as it was on the wire, its NUL included.
	Raw []byte
	// Binary tells that it came in a binary WebSocket message.
	Binary bool
}

// Get is the value of the first header of that name.
func (f *Frame) Get(name string) (string, bool) {
	for _, h := range f.Headers {
		if h.Name == name {
			return h.Value, true
		}
	}
	return "", false
}

// Value is the value of the first header of that name, or empty.
func (f *Frame) Value(name string) string {
	v, _ := f.Get(name)
	return v
}

// All is the values of all headers of that name, in order.
func (f *Frame) All(name string) []string {
	var vs []string
	for _, h := range f.Headers {
		if h.Name == name {
			vs = append(vs, h.Value)
		}
	}
	return vs
}

func (f *Frame) String() string { return fmt.Sprintf("%q", f.Raw) }

// ours are the headers that a broker writes once per frame.
var ours = []string{"message-id", "subscription", "ack", "redelivered", "delivery-count",
	"content-length", "receipt-id", "version", "session", "server", "heart-beat", "user-name"}

// serverID is what ids made by the broker consist of.
var serverID = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// Parse is how a [Client] reads, for tests with a client of their own: it takes one server frame
// from the front of buf, or tells with n == 0 that it is not whole yet. version is what was
// negotiated, empty before CONNECTED. Every departure from the specification is an error.
func Parse(buf []byte, version string) (f *Frame, n int, err error) { return parse(buf, version) }

// parse takes one server frame from the front of buf, or tells with n == 0 that it is not whole
// yet. version is what was negotiated, empty before CONNECTED. Every departure from the
// specification is an error.
func parse(buf []byte, version string) (f *Frame, n int, err error) {
	head, _, ok := bytes.Cut(buf, []byte("\n\n"))
	if nul := bytes.IndexByte(buf, 0); nul >= 0 && (!ok || nul < len(head)) {
		return nil, 0, fmt.Errorf("NUL within the headers: %.200q", buf)
	}
	if !ok {
		return nil, 0, nil
	}
	f = &Frame{}
	lines := strings.Split(string(head), "\n")
	f.Command = lines[0]
	switch f.Command {
	case "CONNECTED":
		version = "" // STOMP 1.2, Value Encoding: never escaped
	case "MESSAGE", "RECEIPT", "ERROR":
	default:
		return nil, 0, fmt.Errorf("not a server command: %.100q", f.Command)
	}
	for _, line := range lines[1:] {
		h, err := parseHeader(line, version)
		if err != nil {
			return nil, 0, fmt.Errorf("%w in %.300q", err, head)
		}
		f.Headers = append(f.Headers, h)
	}
	for _, name := range ours {
		if len(f.All(name)) > 1 {
			return nil, 0, fmt.Errorf("header %s twice in %.300q", name, head)
		}
	}
	body := buf[len(head)+2:]
	length, counted := f.Get("content-length")
	if counted {
		if n, err = strconv.Atoi(length); err != nil || n < 0 || strconv.Itoa(n) != length {
			return nil, 0, fmt.Errorf("bad content-length %q", length)
		}
		if len(body) <= n {
			return nil, 0, nil
		}
		if body[n] != 0 {
			return nil, 0, fmt.Errorf("content-length %d, but no NUL after it: %.300q", n, buf)
		}
	} else if n = bytes.IndexByte(body, 0); n < 0 {
		return nil, 0, nil
	}
	f.Body = bytes.Clone(body[:n])
	total := len(head) + 2 + n + 1
	f.Raw = bytes.Clone(buf[:total])
	return f, total, f.check(counted)
}

// check looks at a whole frame.
func (f *Frame) check(counted bool) error {
	need := map[string][]string{
		"CONNECTED": {"version", "session", "server"},
		"MESSAGE":   {"destination", "message-id"},
		"RECEIPT":   {"receipt-id"},
		"ERROR":     {"message"},
	}
	for _, name := range need[f.Command] {
		if _, ok := f.Get(name); !ok {
			return fmt.Errorf("%s without %s: %s", f.Command, name, f)
		}
	}
	if f.Command == "ERROR" || f.Command == "CONNECTED" {
		if err := Answered(f.Command, f.Raw); err != nil {
			return err
		}
	}
	switch f.Command {
	case "CONNECTED", "RECEIPT":
		if len(f.Body) > 0 || counted {
			return fmt.Errorf("%s with a body: %s", f.Command, f)
		}
	default:
		if len(f.Body) > 0 && !counted {
			return fmt.Errorf("%s with a body, without content-length: %s", f.Command, f)
		}
	}
	for _, h := range f.Headers {
		mine := f.Command == "CONNECTED" && h.Name == "session" ||
			f.Command == "MESSAGE" && (h.Name == "message-id" || h.Name == "ack")
		if mine && !serverID.MatchString(h.Value) {
			return fmt.Errorf("%s %q is not of letters, digits, _ . -", h.Name, h.Value)
		}
	}
	return nil
}

// parseHeader reads one header line as a receiver of that version must.
func parseHeader(line, version string) (Header, error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || name == "" {
		return Header{}, fmt.Errorf("malformed header %q", line)
	}
	h := Header{Name: name, Value: value, Raw: line}
	if version == "" || version == "1.0" {
		return h, nil
	}
	if !utf8.ValidString(line) {
		return h, fmt.Errorf("header %q is not UTF-8", line)
	}
	if strings.Contains(value, ":") {
		return h, fmt.Errorf("unescaped colon in header %q", line)
	}
	if version == "1.2" && strings.Contains(line, "\r") {
		return h, fmt.Errorf("unescaped CR in header %q", line)
	}
	var err error
	if h.Name, err = unescape(name, version); err != nil {
		return h, err
	}
	h.Value, err = unescape(value, version)
	return h, err
}

// unescape undoes the escapes that the version defines and refuses any other.
func unescape(s, version string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out.WriteByte(s[i])
			continue
		}
		i++
		switch {
		case i < len(s) && s[i] == 'n':
			out.WriteByte('\n')
		case i < len(s) && s[i] == 'c':
			out.WriteByte(':')
		case i < len(s) && s[i] == '\\':
			out.WriteByte('\\')
		case i < len(s) && s[i] == 'r' && version == "1.2":
			out.WriteByte('\r')
		default:
			return "", fmt.Errorf("undefined escape in %q", s)
		}
	}
	return out.String(), nil
}
