package load

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// centrifugo is the bidirectional protocol of Centrifugo in its Protobuf form: commands, replies and
// pushes, each behind its length, several in one WebSocket message.
type centrifugo struct{}

func (centrifugo) subprotocol() string { return "centrifuge-protobuf" }
func (centrifugo) opcode() byte        { return opBinary }
func (centrifugo) packs() bool         { return true }
func (centrifugo) beat() []byte        { return nil }       // the server's ping and our pong
func (centrifugo) pong() []byte        { return []byte{0} } // an empty command, behind its length
func (centrifugo) bye() []byte         { return nil }

// Field numbers of client.proto.
const (
	commandID, commandConnect, commandSubscribe, commandPublish = 1, 4, 5, 7
	replyError, replyPush, replyConnect                         = 2, 4, 5
	channelField                                                = 1 // of a request
	publishData                                                 = 2 // of a request
	pushPublication, pushDisconnect                             = 4, 11
	publicationData                                             = 4
	connectVersion                                              = 2
)

func (centrifugo) login(c *conn, _ dialOptions) error {
	if err := c.send(command(commandConnect, nil)); err != nil {
		return fmt.Errorf("write connect: %w", err)
	}
	f, err := c.await('C')
	if err != nil {
		return err
	}
	version, _ := field(f.body, connectVersion)
	c.server = "Centrifugo/" + string(version)
	return nil
}

func (centrifugo) subscribe(_ int, channel, _, _ string, _ bool) []byte {
	return command(commandSubscribe, appendField(nil, channelField, []byte(channel)))
}

func (centrifugo) template(o Options, pub int) *template {
	body := make([]byte, o.Size)
	whole := command(commandPublish, appendField(appendField(nil, channelField, []byte(o.name())), publishData, body))
	return newTemplate(string(whole[:len(whole)-o.Size]), "", o.Size, pub)
}

// command is a command with its length; all have the same number, because replies come in order.
func command(number int, request []byte) []byte {
	body := appendField([]byte{commandID << 3, 1}, number, request)
	return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
}

// appendField appends a field of bytes.
func appendField(dst []byte, number int, p []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(number)<<3|2)
	return append(binary.AppendUvarint(dst, uint64(len(p))), p...)
}

// one reads a reply with its length; one that is empty is a ping.
func (centrifugo) one(p []byte, f *frame) (int, error) {
	size, n := binary.Uvarint(p)
	if n < 0 || size > maxFrame {
		return 0, errTooLarge
	}
	if n == 0 || uint64(len(p)-n) < size {
		return 0, nil
	}
	end := n + int(size)
	reply := p[n:end]
	*f = frame{kind: 'R'}
	if size == 0 {
		f.kind = 'P'
		return end, nil
	}
	if push, ok := field(reply, replyPush); ok {
		if pub, ok := field(push, pushPublication); ok {
			body, _ := field(pub, publicationData)
			*f = frame{kind: 'M', body: body}
		} else if why, ok := field(push, pushDisconnect); ok {
			*f = frame{kind: 'E', body: why}
		}
		return end, nil
	}
	if why, ok := field(reply, replyError); ok {
		*f = frame{kind: 'E', body: why}
	} else if result, ok := field(reply, replyConnect); ok {
		*f = frame{kind: 'C', body: result}
	} else if _, ok := field(reply, 0); ok {
		return 0, errors.New("malformed reply")
	}
	return end, nil
}

// field is the first field of bytes with that number in a Protobuf message; number 0 tells whether
// the message is malformed.
func field(p []byte, number uint64) ([]byte, bool) {
	for len(p) > 0 {
		key, n := binary.Uvarint(p)
		if n <= 0 {
			return nil, number == 0
		}
		v, m := binary.Uvarint(p[n:])
		if m <= 0 || key&7 != 0 && key&7 != 2 {
			return nil, number == 0
		}
		p = p[n+m:]
		if key&7 == 0 {
			continue
		}
		if v > uint64(len(p)) {
			return nil, number == 0
		}
		if key>>3 == number {
			return p[:v], true
		}
		p = p[v:]
	}
	return nil, false
}

// fault is an error or a disconnect: a code and a reason.
func (centrifugo) fault(f *frame) error {
	why, ok := field(f.body, 2)
	if !ok {
		why, _ = field(f.body, 3)
	}
	return fmt.Errorf("error from Centrifugo: %s", why)
}
