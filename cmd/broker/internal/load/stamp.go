package load

import (
	"bytes"
	"fmt"
	"time"
)

// start is the zero of clock.
var start = time.Now()

// clock is nanoseconds of monotonic time since the program started.
func clock() int64 { return int64(time.Since(start)) }

// A body begins with three hexadecimal numbers: publisher, sequence, clock at sending.
const (
	pubAt, pubLen = 0, 4
	seqAt, seqLen = 4, 12
	timeAt        = 16
	timeLen       = 16
	minBody       = timeAt + timeLen
)

const digits = "0123456789abcdef"

// putHex writes v into p as hexadecimal digits, all of p.
func putHex(p []byte, v int64) {
	for i := len(p) - 1; i >= 0; i-- {
		p[i] = digits[v&15]
		v >>= 4
	}
}

// hex reads p; -1 if a byte is no digit.
func hex(p []byte) (v int64) {
	for _, c := range p {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | int64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | int64(c-'a'+10)
		default:
			return -1
		}
	}
	return v
}

// stamp is what a body says; ok is false if it is not one of ours.
func stamp(body []byte) (pub int, seq, sent int64, ok bool) {
	if len(body) < minBody {
		return 0, 0, 0, false
	}
	p := hex(body[pubAt : pubAt+pubLen])
	seq = hex(body[seqAt : seqAt+seqLen])
	sent = hex(body[timeAt : timeAt+timeLen])
	return int(p), seq, sent, p >= 0 && seq >= 0 && sent >= 0
}

// template is a frame that publishes, whose sequence, clock and receipt are put in place before each
// use.
type template struct {
	frame   []byte
	body    int // offset of the body
	receipt int // offset of the receipt's digits; 0: no receipt
	topic   int // offset of the topic's digits, if there are several
	topics  int64
}

// newTemplate makes the template of one publisher from what comes before and after the body; size
// counts the body's bytes.
func newTemplate(head, tail string, size, pub int) *template {
	t := &template{frame: []byte(head), body: len(head)}
	t.frame = append(t.frame, filler(size)...)
	t.frame = append(t.frame, tail...)
	putHex(t.frame[t.body+pubAt:][:pubLen], int64(pub))
	return t
}

// filler is the text of bodies, like the JSON of a feed, so that it compresses as that does; it can stand
// within JSON too.
func filler(size int) []byte {
	p := make([]byte, 0, size+128)
	for n := uint32(1); len(p) < size; {
		n = n*1664525 + 1013904223
		p = fmt.Appendf(p, `{'id':%d,'symbol':'G%03d','price':%d.%02d,'volume':%d,'side':'%s'},`,
			n, n>>8%1000, n>>4%500, n>>12%100, n>>16%5000, [2]string{"buy", "sell"}[n>>31])
	}
	return p[:size]
}

// spread makes it go to several topics in turn; the frame has been made for the name of the first.
func (t *template) spread(o Options) *template {
	if o.Topics > 0 {
		t.topic, t.topics = bytes.Index(t.frame, []byte(o.name()))+len(o.name())-topicDigits, int64(o.Topics)
	}
	return t
}

// name is the destination as a template is made for it.
func (o Options) name() string {
	if o.Topics > 0 {
		return fmt.Sprintf("%s.%0*x", o.Destination, topicDigits, 0)
	}
	return o.Destination
}

// fill returns the frame of that sequence number, valid until the next call.
func (t *template) fill(seq, sent int64) []byte {
	putHex(t.frame[t.body+seqAt:][:seqLen], seq)
	putHex(t.frame[t.body+timeAt:][:timeLen], sent)
	if t.receipt > 0 {
		putHex(t.frame[t.receipt:][:seqLen], seq)
	}
	if t.topics > 0 {
		putHex(t.frame[t.topic:][:topicDigits], seq%t.topics)
	}
	return t.frame
}
