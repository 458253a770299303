package broker

import (
	"context"
	"errors"
)

// ErrBadCredentials is what an Authenticator returns for a login that does not exist, a wrong
// passcode, or a missing one; it never says which.
var ErrBadCredentials = errors.New("bad credentials")

// Credentials are what a client gave to say who it is.
type Credentials struct {
	Login    string // CONNECT's login header, or empty
	Passcode string // CONNECT's passcode header, or empty; never log it
	Peer     Peer
}

// Principal is who a session acts for.
type Principal struct {
	// Name is the user's name, or empty for an anonymous session.
	Name string
	// Groups are the groups the user is in.
	Groups []string
}

// Authenticator decides who may connect. Authenticate is called once per CONNECT, on the
// session's own goroutine, and may take its time; ctx ends when the broker shuts down. An error
// refuses the session; unless it is ErrBadCredentials it is logged.
type Authenticator interface {
	Authenticate(ctx context.Context, c Credentials) (Principal, error)
}

// Op is what a session wants to do with a destination.
type Op uint8

// The operations an Authorizer decides.
const (
	OpSend Op = iota + 1
	OpSubscribe
)

func (o Op) String() string {
	if o == OpSend {
		return "SEND"
	}
	return "SUBSCRIBE"
}

// Authorizer decides what a principal may do. Authorize is called for each SEND and SUBSCRIBE
// with exactly the destination that is routed, from many goroutines; it must be quick. An error
// refuses the frame; its text reaches the client.
type Authorizer interface {
	Authorize(p Principal, op Op, destination string) error
}

// anyone is the Authenticator of a broker without users: any login, or none.
type anyone struct{}

func (anyone) Authenticate(_ context.Context, c Credentials) (Principal, error) {
	return Principal{Name: c.Login}, nil
}
