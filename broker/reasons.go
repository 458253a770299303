package broker

import (
	"errors"
	"fmt"

	"github.com/gudokmq/gudok/stompframe"
)

// WebSocket close codes (RFC 6455, section 7.4.1, and the IANA registry for 1012 and 1013).
const (
	closeNormal    = 1000
	closeGoingAway = 1001
	closeProtocol  = 1002
	closePolicy    = 1008
	closeTooBig    = 1009
	closeInternal  = 1011
	closeRestart   = 1012
	closeTryAgain  = 1013
)

// Reason is one way a frame can fail or a session can end. The catalogue below holds all of
// them; Text is stable and is the ERROR frame's message header, Code the WebSocket close code.
type Reason struct {
	Text string
	Code int
	// Soft marks a refusal after which the session could go on; it does where the client asked
	// for soft errors on CONNECT.
	Soft bool
	// Silent ends without an ERROR frame.
	Silent bool
}

// The catalogue. Its texts are documented and tested: do not change one lightly.
var (
	reasonFrameTime          = &Reason{Text: "frame not finished in time", Code: closePolicy}
	reasonTransport          = &Reason{Text: "transport protocol violated", Code: closeProtocol, Silent: true}
	reasonNotConnected       = &Reason{Text: "not connected", Code: closeProtocol}
	reasonAlreadyConnected   = &Reason{Text: "already connected", Code: closeProtocol}
	reasonConnectTime        = &Reason{Text: "no CONNECT in time", Code: closePolicy}
	reasonVersion            = &Reason{Text: "no common protocol version", Code: closeProtocol}
	reasonHeartBeatHeader    = &Reason{Text: "bad heart-beat header", Code: closeProtocol}
	reasonHeartBeat          = &Reason{Text: "heart-beat missed", Code: closePolicy}
	reasonCredentials        = &Reason{Text: "bad credentials", Code: closePolicy}
	reasonTooMany            = &Reason{Text: "too many failed logins", Code: closeTryAgain}
	reasonUnchecked          = &Reason{Text: "login could not be checked", Code: closeTryAgain}
	reasonExpired            = &Reason{Text: "token expired", Code: closePolicy}
	reasonRenewal            = &Reason{Text: "token not accepted", Code: closePolicy, Soft: true}
	reasonCertificateExpired = &Reason{Text: "certificate expired", Code: closePolicy}
	reasonLogin              = &Reason{Text: "bad login name", Code: closePolicy}
	reasonUnknownCommand     = &Reason{Text: "unknown command", Code: closeProtocol}
	reasonMissingHeader      = &Reason{Text: "missing header", Code: closeProtocol, Soft: true}
	reasonBadHeader          = &Reason{Text: "bad header value", Code: closeProtocol, Soft: true}
	reasonDestination        = &Reason{Text: "bad destination", Code: closePolicy, Soft: true}
	reasonPrefix             = &Reason{Text: "unknown destination prefix", Code: closePolicy, Soft: true}
	reasonForbidden          = &Reason{Text: "not permitted", Code: closePolicy, Soft: true}
	reasonUnsupported        = &Reason{Text: "not supported", Code: closePolicy, Soft: true}
	reasonDuplicateID        = &Reason{Text: "subscription id in use", Code: closeProtocol, Soft: true}
	reasonNoSubscription     = &Reason{Text: "no such subscription", Code: closeProtocol, Soft: true}
	reasonDuplicateTx        = &Reason{Text: "transaction already begun", Code: closeProtocol, Soft: true}
	reasonNoTx               = &Reason{Text: "no such transaction", Code: closeProtocol, Soft: true}
	reasonTxLimit            = &Reason{Text: "too many transactions", Code: closePolicy, Soft: true}
	reasonTxBytes            = &Reason{Text: "transaction too large", Code: closeTooBig, Soft: true}
	reasonTxFrames           = &Reason{Text: "too many frames in transactions", Code: closePolicy, Soft: true}
	reasonTxTime             = &Reason{Text: "transaction open for too long", Code: closePolicy}
	reasonWildcards          = &Reason{Text: "too many wildcard subscriptions", Code: closePolicy, Soft: true}
	reasonQueues             = &Reason{Text: "too many queues", Code: closeTryAgain, Soft: true}
	reasonSubscriptions      = &Reason{Text: "too many subscriptions", Code: closePolicy, Soft: true}
	reasonStoreFull          = &Reason{Text: "queue is full", Code: closeTryAgain, Soft: true}
	reasonStore              = &Reason{Text: "message could not be stored", Code: closeInternal, Soft: true}
	reasonInternal           = &Reason{Text: "internal error", Code: closeInternal}
	reasonConnections        = &Reason{Text: "too many connections", Code: closeTryAgain}
	reasonMemory             = &Reason{Text: "memory is short", Code: closeTryAgain}
	reasonAddress            = &Reason{Text: "too many connections of one address", Code: closeTryAgain}
	reasonUser               = &Reason{Text: "too many connections of one user", Code: closeTryAgain}
	reasonConnects           = &Reason{Text: "too many connects", Code: closeTryAgain}
	reasonSlow               = &Reason{Text: "slow consumer", Code: closePolicy, Silent: true}
	reasonShutdown           = &Reason{Text: "server is shutting down", Code: closeRestart, Silent: true}
	reasonDisconnect         = &Reason{Text: "goodbye", Code: closeNormal, Silent: true}
	reasonGone               = &Reason{Text: "connection lost", Code: closeGoingAway, Silent: true}
)

// ending is a Reason with what this frame or this session adds to it. It is the error type of
// all command handlers; one function (session.fail) turns it into an ERROR frame.
type ending struct {
	*Reason
	detail  string // the ERROR body: names the header and the value
	receipt string // receipt-id, if the frame asked for one
	version bool   // add the version header (STOMP 1.2, Protocol Negotiation)
	code    int    // close code, if not Reason.Code
	abort   bool   // the peer does not read: close without flushing
	lost    bool   // the peer is gone
	mute    bool   // what others have sent must not be written any more
	cause   error  // for the log
	why     string // for the log alone
}

func (e *ending) Error() string {
	if e.detail == "" {
		return e.Text
	}
	return e.Text + ": " + e.detail
}

func (e *ending) Unwrap() error { return e.cause }

// because makes an ending of a reason and a detail for people.
func because(r *Reason, format string, args ...any) *ending {
	return &ending{Reason: r, detail: fmt.Sprintf(format, args...)}
}

// quote shows a client's string in an ERROR body: quoted, and cut so that it stays readable.
func quote(s string) string {
	const max = 128
	if len(s) > max {
		return fmt.Sprintf("%.*q…", max, s)
	}
	return fmt.Sprintf("%q", s)
}

// malformed is the reason of a frame that could not be decoded; its text is the codec's.
func malformed(k stompframe.Kind) *Reason {
	r := &Reason{Text: k.String(), Code: closeProtocol}
	switch k {
	case stompframe.LineTooLong, stompframe.TooManyHeaders, stompframe.HeadersTooLarge,
		stompframe.BodyTooLarge, stompframe.FrameTooLarge:
		r.Code = closeTooBig
	}
	return r
}

// readEnding says why a session ends after ReadFrame failed with err; f holds what was read of
// the frame at fault.
func readEnding(err error, f *stompframe.Frame) *ending {
	var bad *stompframe.Error
	var closed *CloseError
	switch {
	case errors.As(err, &bad):
		return &ending{Reason: malformed(bad.Kind), detail: bad.Detail, receipt: receiptOf(f), cause: err}
	case errors.As(err, &closed):
		return &ending{Reason: reasonTransport, detail: closed.Reason, code: closed.Code, cause: err}
	case errors.Is(err, ErrFrameTime):
		return &ending{Reason: reasonFrameTime, cause: err}
	default:
		return &ending{Reason: reasonGone, lost: true, cause: err}
	}
}
