package load

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// bare is STOMP as far as the bare loop speaks it: MESSAGE and nothing else.
type bare struct{ stomp }

func (bare) login(*conn, dialOptions) error                     { return nil }
func (bare) subscribe(int, string, string, string, bool) []byte { return nil }
func (bare) bye() []byte                                        { return nil }

// message is the template of one message of the bare loop: WebSocket header and the STOMP frame that a
// broker would send.
func message(size int) *template {
	head := "MESSAGE\nsubscription:0\nmessage-id:00000000000000\ndestination:/topic/bench-00000000\ncontent-length:" +
		strconv.Itoa(size) + "\n\n"
	t := newTemplate(string(appendHeader(nil, len(head)+size+1))+head, "\x00", size, 0)
	t.fill(0, 0)
	return t
}

// bareWrite is how many bytes the bare loop puts into one write when it writes batches: a message
// more would exceed it.
const bareWrite = 64 << 10

// Bare measures what a fan-out costs without a broker: a process that does nothing but write prebuilt
// WebSocket messages to each subscriber in turn. o.Batch is how many messages go into one write: 1 is
// a write per message and subscriber, 0 as many as fit into 64 KiB, which is the least any program can
// spend that uses sockets as they are. command starts [ServeBare] in a process of its own, given its
// arguments. The report is of use even with an error; ctx ending early is none.
func Bare(ctx context.Context, o Options, command func(args ...string) *exec.Cmd) (Report, error) {
	rep := Report{Bench: "bare", Server: "bare loop"}
	o.Pubs, o.Rate, o.Receipts, o.Ack, o.Log = 1, 0, 0, "", ""
	o.Target = Target{Protocol: "bare", WebSocket: true, Path: "/"}
	batch := o.Batch
	o, err := o.check("")
	if err != nil {
		return rep, err
	}
	if o.Subs < 1 {
		return rep, errors.New("at least one subscriber")
	}
	if o.Batch = batch; batch == 0 {
		o.Batch = max(1, bareWrite/len(message(o.Size).frame))
	}
	rep.Subs, rep.Size, rep.Batch = o.Subs, o.Size, o.Batch
	cmd := command(strconv.Itoa(o.Subs), strconv.Itoa(o.Size), strconv.Itoa(o.Batch))
	cmd.Stderr = os.Stderr
	leash, err := cmd.StdinPipe()
	if err != nil {
		return rep, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return rep, err
	}
	if err := cmd.Start(); err != nil {
		return rep, fmt.Errorf("start the bare loop: %w", err)
	}
	defer cmd.Wait() // it ends with its standard input
	defer leash.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return rep, fmt.Errorf("read the bare loop's address: %w", err)
	}
	o.Addr, o.PID = strings.TrimSpace(line), cmd.Process.Pid
	rep.URL = "ws://" + o.Addr + "/"
	return rep, listen(ctx, o, &rep)
}

// listen subscribes to the bare loop and counts.
func listen(ctx context.Context, o Options, rep *Report) error {
	load, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &run{o: o, fail: stop, gate: newGate(1<<62, func() int64 { return 0 })}
	for i := range o.Subs {
		r.subs = append(r.subs, newReceiver(r, o, i))
	}
	defer r.close()
	server := rep.Server
	if err := r.connect(ctx, rep); err != nil {
		return err
	}
	rep.Server = server
	for _, s := range r.subs {
		r.start(s.c, s.on, s.after)
	}
	never := make(chan struct{})
	wait(load, never, o.Warmup)
	before := r.sample(false)
	wait(load, never, o.Duration)
	after := r.sample(true)
	rep.Interrupted = ctx.Err() != nil
	cause := context.Cause(load)
	r.close()
	rep.perMessage(before, after)
	for _, s := range r.subs {
		rep.Published = max(rep.Published, s.next[0])
		rep.Lost += s.gaps
		rep.Misordered += s.back + s.foreign
	}
	if ctx.Err() != nil {
		return nil
	}
	return cause
}

// ServeBare is the process that [Bare] measures: it prints its address, waits for subs connections,
// and then writes messages of size bytes to all of them, batch messages a write, until one of them or
// leash ends.
func ServeBare(subs, size, batch int, leash io.Reader, out io.Writer) error {
	if subs < 1 || subs > maxConns || size < minBody || size > maxBody || batch < 1 || batch*size > 2*maxBody {
		return errors.New("out of bounds")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	var over atomic.Bool
	go func() { // ends with the process
		io.Copy(io.Discard, leash)
		over.Store(true)
		l.Close()
	}()
	if _, err := fmt.Fprintln(out, l.Addr()); err != nil {
		return err
	}
	conns := make([]net.Conn, subs)
	for i := range conns {
		if conns[i], err = l.Accept(); err != nil {
			return err
		}
		defer conns[i].Close()
		if err := upgrade(conns[i]); err != nil {
			return err
		}
	}
	var buf []byte
	var bodies []int // offsets
	t := message(size)
	for range batch {
		bodies = append(bodies, len(buf)+t.body)
		buf = append(buf, t.frame...)
	}
	for seq := int64(0); !over.Load(); {
		for _, at := range bodies {
			putHex(buf[at+seqAt:][:seqLen], seq)
			seq++
		}
		for _, nc := range conns {
			if _, err := nc.Write(buf); err != nil {
				return nil // the client has had enough
			}
		}
	}
	return nil
}

// appendHeader appends the header of a server's final text message of n bytes (RFC 6455, section 5.2).
func appendHeader(dst []byte, n int) []byte {
	dst = append(dst, 0x80|opText)
	switch {
	case n < 126:
		return append(dst, byte(n))
	case n < 1<<16:
		return append(dst, 126, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
}

// upgrade answers a WebSocket handshake (RFC 6455, section 4.2.2).
func upgrade(nc net.Conn) error {
	nc.SetReadDeadline(time.Now().Add(connectTime))
	req, err := http.ReadRequest(bufio.NewReader(nc))
	if err != nil {
		return fmt.Errorf("read handshake: %w", err)
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	nc.SetReadDeadline(time.Time{})
	_, err = fmt.Fprintf(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	return err
}
