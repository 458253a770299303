package main

import (
	"fmt"
	"io"
	"os"

	"github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"
)

const pubHelp = `Send one message and wait until the broker has it.

Usage: broker pub [flags] DESTINATION [BODY]

The body is BODY, or else what standard input holds. Flags may stand anywhere;
what follows -- is no flag.

Flags:
` + clientHelp + `  -header N:VALUE  a header of the message; may be repeated
  -type TYPE       the content-type (text/plain)

Examples:
  broker pub /topic/greetings hello
  broker pub /queue/orders -header priority:7 -type application/json < order.json
  broker pub -addr ws://127.0.0.1:15674/ws /topic/greetings hello
`

func runPub(args []string, stdout, stderr io.Writer) int {
	f := newFlags("pub", pubHelp, stdout, stderr)
	var c client
	var extra headers
	c.flags(f.FlagSet)
	f.Var(&extra, "header", "")
	kind := f.String("type", "text/plain", "")
	operands, code, ok := f.parse(args)
	if !ok {
		return code
	}
	if len(operands) == 0 || len(operands) > 2 {
		return f.misuse("needs DESTINATION and at most one BODY (quote a body with blanks in it)")
	}
	body, err := pubBody(operands[1:])
	if err != nil {
		return f.fail(err)
	}
	if err := publish(&c, operands[0], *kind, body, extra); err != nil {
		return f.fail(err)
	}
	return exitOK
}

func pubBody(operand []string) ([]byte, error) {
	if len(operand) > 0 {
		return []byte(operand[0]), nil
	}
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	return body, nil
}

func publish(c *client, destination, kind string, body []byte, extra headers) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	defer func() { _ = conn.MustDisconnect() }()
	options := []func(*frame.Frame) error{stomp.SendOpt.Receipt}
	for _, h := range extra {
		options = append(options, stomp.SendOpt.Header(h[0], h[1]))
	}
	if err := conn.Send(destination, kind, body, options...); err != nil {
		return fmt.Errorf("not sent: %w", said(err))
	}
	// The receipt has told that the broker has it; how the farewell goes changes nothing.
	_ = conn.Disconnect()
	return nil
}
