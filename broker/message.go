package broker

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"
	"unsafe"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store"
	"github.com/gudokmq/gudok/store/mutant"
)

// Bits of store.Message.Flags.
const (
	// flagPlain: no header needs escaping, so Data is the same bytes in every version.
	flagPlain = 1 << iota
	// flagText: Data is valid UTF-8.
	flagText
	// flagDead: Data has a delivery-count of its own, for the first delivery of a dead letter.
	flagDead
)

// Headers that the broker or Spring's relay gives a meaning, beside go-stomp's vocabulary.
const (
	hdrRedelivered   = "redelivered"
	hdrDeliveryCount = "delivery-count"
	hdrReplyTo       = "reply-to"
	hdrUserName      = "user-name"
	hdrSimpOrig      = "simpOrigDestination"
	hdrPersistent    = "persistent"
	hdrPriority      = "priority"
	hdrContentType   = "content-type"
)

// says compares a header that is true or false; stomp.py writes True and False.
func says(value, want string) bool { return strings.EqualFold(value, want) }

// idSource makes message ids: unique over restarts by 80 random bits, then counted. Their
// characters are safe for every client, stomp.js' un-escaping included.
type idSource struct {
	prefix string
	n      atomic.Uint64
}

// What room an id and a content-length take; longer ones cost a second allocation.
const (
	maxID     = 16 + 1 + 9
	maxLength = 8
)

func newIDSource() *idSource { return &idSource{prefix: randomID(10) + "-"} }

// append appends the next id to dst.
func (s *idSource) append(dst []byte) []byte {
	return strconv.AppendUint(append(dst, s.prefix...), s.n.Add(1), 32)
}

// randomID is n random bytes as lower-case letters and digits.
func randomID(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	if mutant.Is(mutant.CountedIDs) {
		clear(b[1:])
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

// dropOnSend tells the headers of a SEND that do not reach subscribers: they are the frame's own,
// or the server's to set. A publisher's copies are dropped, never refused, because Spring's relay
// sends copies of MESSAGE headers.
func dropOnSend(name []byte) bool {
	if mutant.Is(mutant.PublisherHeaders) {
		return string(name) == frame.Destination
	}
	switch string(name) {
	case frame.Destination, frame.MessageId, frame.Subscription, frame.Ack, frame.ContentLength,
		frame.Receipt, frame.Transaction, hdrRedelivered, hdrDeliveryCount:
		return true
	}
	return false
}

// newMessage builds the message of a SEND to destination. Its Data is the end of every MESSAGE
// frame that will carry it, encoded once, in the escaping of STOMP 1.2: the server's headers,
// the sender's in their order, content-length, the blank line, the body, NUL.
func (b *Broker) newMessage(destination string, f *stompframe.Frame, replyTo string) *store.Message {
	m := new(store.Message)
	plain := stompframe.Plain(f.Header)
	b.write(m, make([]byte, 0, messageRoom(destination, f, replyTo, plain)), destination, f, replyTo, plain)
	return m
}

// messageRoom is the room that newMessage needs.
func messageRoom(destination string, f *stompframe.Frame, replyTo string, plain bool) int {
	size := len("destination:\nmessage-id:\ncontent-length:\n\n\x00") + len(destination) + maxID + maxLength
	for _, h := range f.Header {
		if !dropOnSend(h.Name) {
			size += len(h.Name) + len(h.Value) + 2
		}
	}
	if !plain {
		size *= 2
	}
	return size + len(f.Body) + len(replyTo)
}

// write makes m that message, with d, which is empty and has the room, as its memory. plain tells that no header needs
// escaping.
func (b *Broker) write(m *store.Message, d []byte, destination string, f *stompframe.Frame, replyTo string, plain bool) {
	if own, _ := f.Header.Get(frame.Destination); plain && string(own) == destination {
		d = append(append(append(d, frame.Destination+":"...), destination...), '\n')
	} else {
		d = stompframe.AppendHeader(d, stompframe.V12, frame.Destination, destination)
	}
	d = append(d, "message-id:"...)
	from := len(d)
	d = b.ids.append(d)
	to := len(d)
	d = append(d, '\n')
	for _, h := range f.Header {
		if dropOnSend(h.Name) {
			continue
		}
		if replyTo != "" && string(h.Name) == hdrReplyTo {
			d = stompframe.AppendHeader(d, stompframe.V12, hdrReplyTo, replyTo)
			continue
		}
		if plain {
			d = append(append(append(append(d, h.Name...), ':'), h.Value...), '\n')
		} else {
			d = stompframe.AppendHeaderBytes(d, stompframe.V12, h.Name, h.Value)
		}
	}
	d = append(d, "content-length:"...)
	d = strconv.AppendInt(d, int64(len(f.Body)), 10)
	d = append(d, "\n\n"...)
	d = append(d, f.Body...)
	d = append(d, 0)
	*m = store.Message{Data: d, ID: unsafe.String(&d[from], to-from), Priority: 4} // #nosec G103 -- d is not written to while m is in use
	if plain {
		m.Flags |= flagPlain
	}
	if utf8.Valid(f.Body) {
		m.Flags |= flagText
	}
}

// move makes data, a copy of what m has, its memory.
func move(m *store.Message, data []byte) {
	at := uintptr(unsafe.Pointer(unsafe.StringData(m.ID))) - uintptr(unsafe.Pointer(unsafe.SliceData(m.Data))) // #nosec G103 -- both are read, neither is kept
	m.ID = unsafe.String(&data[at], len(m.ID))                                                                 // #nosec G103 -- as in write
	m.Data = data
}

// clone is m in memory of its own.
func clone(m *store.Message) *store.Message {
	c := *m
	move(&c, bytes.Clone(m.Data))
	return &c
}

// destinationOf reads the destination that newMessage wrote.
func destinationOf(m *store.Message) string {
	line, _, _ := bytes.Cut(m.Data, []byte("\n"))
	_, name, _ := bytes.Cut(line, []byte(":"))
	return unescape.Replace(string(name))
}

// unescape undoes the escaping of STOMP 1.2, Value Encoding.
var unescape = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r", `\c`, ":")

// tail is m's Data for a receiver's version. Only messages with headers that need escaping are
// encoded again for STOMP 1.0 and 1.1.
func tail(m *store.Message, v stompframe.Version) []byte {
	if m.Flags&flagPlain != 0 || v == stompframe.V12 {
		return m.Data
	}
	return stompframe.Recode(nil, m.Data, stompframe.V12, v)
}
