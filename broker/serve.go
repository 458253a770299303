package broker

import (
	"github.com/go-stomp/stomp/v3/frame"
	"github.com/gudokmq/gudok/stompframe"
	"github.com/gudokmq/gudok/store/mutant"
)

// handle does what one frame asks. A returned ending refuses the frame; whether that ends the
// session is the caller's decision.
func (s *session) handle(f *stompframe.Frame) *ending {
	s.b.pressure.move()
	switch f.Command {
	case frame.CONNECT, frame.STOMP:
		if s.connected && !mutant.Is(mutant.ConnectAgain) {
			return because(reasonAlreadyConnected, "a second %s on one connection", f.Command)
		}
		return s.handleConnect(f)
	}
	if !s.connected && mutant.Is(mutant.ConnectNotNeeded) {
		s.version, s.connected = stompframe.V12, true
		s.become(nobody)
	}
	if !s.connected {
		return because(reasonNotConnected, "%s before CONNECT", f.Command)
	}
	switch f.Command {
	case frame.SEND:
		return s.handleSend(f)
	case frame.SUBSCRIBE:
		return s.handleSubscribe(f)
	case frame.UNSUBSCRIBE:
		return s.handleUnsubscribe(f)
	case frame.ACK:
		return s.handleAck(f)
	case frame.NACK: // not in STOMP 1.0, but its clients send it, as to other brokers
		return s.handleNack(f)
	case frame.BEGIN:
		return s.handleBegin(f)
	case frame.COMMIT:
		return s.handleCommit(f)
	case frame.ABORT:
		return s.handleAbort(f)
	case frame.DISCONNECT:
		return s.handleDisconnect(f)
	default: // MESSAGE, RECEIPT, ERROR, CONNECTED: a server's
		return because(reasonUnknownCommand, "%s is not a client's frame", f.Command)
	}
}

// confirm answers a frame that is done with its RECEIPT, if it asked for one.
func (s *session) confirm(f *stompframe.Frame) {
	s.acks.open(f.Header.String(frame.Receipt)).confirm()
}

// handleDisconnect ends the session as the client wishes (STOMP 1.2, DISCONNECT): what it held
// goes back, then comes the RECEIPT, after all earlier ones, then the connection is closed.
func (s *session) handleDisconnect(f *stompframe.Frame) *ending {
	s.detach()
	s.waitReceipts(s.limits.SendTime)
	s.confirm(f)
	return &ending{Reason: reasonDisconnect}
}
