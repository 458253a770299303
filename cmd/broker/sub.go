package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"

	"github.com/gudokmq/gudok/cmd/broker/internal/load"
)

const subHelp = `Subscribe and print the body of each message, a line for each, until Ctrl-C.

Usage: broker sub [flags] DESTINATION

Messages of a queue are acknowledged after they have been printed.

Flags:
` + clientHelp + `  -header N:VALUE  a header of SUBSCRIBE; may be repeated
  -ack MODE        auto, client or client-individual (the default)
  -n COUNT         end after so many messages
  -v               print the headers too

Examples:
  broker sub /topic/greetings
  broker sub '/topic/prices.*' -v
  broker sub /queue/orders -n 1
  broker sub -addr wss://broker.example.org/ws -login alice -passcode-file alice.txt /topic/news
`

var ackModes = map[string]stomp.AckMode{
	"auto":              stomp.AckAuto,
	"client":            stomp.AckClient,
	"client-individual": stomp.AckClientIndividual,
}

// subscriber is what sub was asked for.
type subscriber struct {
	client
	destination string
	ack         stomp.AckMode
	count       int // 0: no end
	verbose     bool
	extra       headers
	out         io.Writer
}

func runSub(args []string, stdout, stderr io.Writer) int {
	f := newFlags("sub", subHelp, stdout, stderr)
	s := subscriber{out: stdout}
	s.flags(f.FlagSet)
	f.Var(&s.extra, "header", "")
	f.IntVar(&s.count, "n", 0, "")
	f.BoolVar(&s.verbose, "v", false, "")
	mode := f.String("ack", "client-individual", "")
	operands, code, ok := f.parse(args)
	if !ok {
		return code
	}
	if len(operands) != 1 {
		return f.misuse("needs one DESTINATION")
	}
	if s.ack, ok = ackModes[*mode]; !ok {
		return f.misuse("-ack: %q is not auto, client or client-individual", *mode)
	}
	if s.count < 0 {
		return f.misuse("-n: %d is less than 0", s.count)
	}
	s.destination = operands[0]
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := s.run(ctx); err != nil {
		return f.fail(err)
	}
	return exitOK
}

// run prints until ctx ends or the count is reached.
func (s *subscriber) run(ctx context.Context) error {
	conn, err := s.connect()
	if err != nil {
		return err
	}
	defer func() { _ = conn.MustDisconnect() }()
	sub, err := conn.Subscribe(s.destination, s.ack, s.options()...)
	if err != nil {
		return fmt.Errorf("not subscribed: %w", said(err))
	}
	if err := s.print(ctx, conn, sub); err != nil {
		return err
	}
	// The library delivers until it has unsubscribed; unread messages would hold it up.
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for range sub.C { // the queue gets them back
		}
	}()
	if err := sub.Unsubscribe(); err == nil {
		<-drained
		_ = conn.Disconnect()
	}
	return nil
}

func (s *subscriber) options() (o []func(*frame.Frame) error) {
	for _, h := range s.extra {
		o = append(o, stomp.SubscribeOpt.Header(h[0], h[1]))
	}
	// No more than will be printed, so that the rest of a queue stays as it is.
	if s.count > 0 && s.count < 100 && s.ack != stomp.AckAuto {
		o = append(o, stomp.SubscribeOpt.Header("prefetch-count", strconv.Itoa(s.count)))
	}
	return o
}

func (s *subscriber) print(ctx context.Context, conn *stomp.Conn, sub *stomp.Subscription) error {
	for n := 0; s.count == 0 || n < s.count; n++ {
		var m *stomp.Message
		select {
		case <-ctx.Done():
			return nil
		case m = <-sub.C:
		}
		if m == nil {
			return fmt.Errorf("%s closed the connection", load.Shown(s.addr))
		}
		if m.Err != nil {
			return fmt.Errorf("%s ended the subscription: %w", load.Shown(s.addr), ended(m.Err))
		}
		if err := s.show(m); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		// A topic may deliver without anything to acknowledge.
		if _, acked := m.Header.Contains(frame.Ack); !acked && conn.Version() == stomp.V12 {
			continue
		}
		if err := conn.Ack(m); err != nil {
			return fmt.Errorf("acknowledge: %w", said(err))
		}
	}
	return nil
}

func ended(err error) error {
	if e, ok := err.(*stomp.Error); ok {
		return said(*e)
	}
	return said(err)
}

// show prints one message with one write, so that lines of several programs do not mix.
func (s *subscriber) show(m *stomp.Message) error {
	var b strings.Builder
	if s.verbose {
		for i := range m.Header.Len() {
			name, value := m.Header.GetAt(i)
			fmt.Fprintf(&b, "%s: %s\n", name, oneLine(value))
		}
		b.WriteByte('\n')
	}
	b.Write(m.Body)
	if s.verbose || len(m.Body) == 0 || m.Body[len(m.Body)-1] != '\n' {
		b.WriteByte('\n')
	}
	_, err := io.WriteString(s.out, b.String())
	return err
}
