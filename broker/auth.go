package broker

import (
	"context"
	"errors"
	"time"
)

// What an Authenticator returns for logins that are wrong; the session is then refused. Any other
// error means that the login could not be checked.
var (
	// ErrBadCredentials is a login that does not exist, a wrong passcode, a token that does not
	// hold, or nothing at all where something is needed; it never says which.
	ErrBadCredentials = errors.New("bad credentials")
	// ErrExpired is a token, or a certificate, that was good once.
	ErrExpired = errors.New("token expired")
	// ErrTooMany is a login that was not looked at, because too many failed before it.
	ErrTooMany = errors.New("too many failed logins")
)

// Credentials are what a client gave to say who it is.
type Credentials struct {
	Login         string // CONNECT's login header, or empty
	Passcode      Secret // CONNECT's passcode header, or empty
	Authorization Secret // CONNECT's Authorization header, or empty
	Peer          Peer   // with what the handshake and TLS offered
}

// Offer is what an HTTP handshake offered as credentials: of several the first of the list below.
// It is immutable.
type Offer struct {
	Source   string // one of the From constants
	Login    string // with FromBasic
	Passcode Secret // with FromBasic
	Token    Secret // with all others
}

// Where in a handshake credentials can be, in the order of precedence: what a client had to say on
// purpose comes before what a browser sends of its own accord.
const (
	FromBasic       = "basic"       // Authorization: Basic
	FromBearer      = "bearer"      // Authorization: Bearer
	FromSubprotocol = "subprotocol" // Sec-WebSocket-Protocol
	FromQuery       = "query"       // a named parameter
	FromCookie      = "cookie"      // a named cookie
)

// Principal is who a session acts for. It is immutable and shared: by all sessions of a user where
// that is possible, and by all that read it.
type Principal struct {
	// Name is the user's name, or empty for an anonymous session.
	Name string
	// Groups are the groups the user is in.
	Groups []string
	// Expires is when the session must end (a token's time is over, leeway included); zero: never.
	Expires time.Time
	// Via is how the user proved it, one of the Via constants.
	Via string
	// Claims are those claims of a token that the Authenticator was told to keep; mostly nil.
	Claims map[string][]string
	// Limits replace those for everyone in this user's sessions, where they are not zero, as they
	// are when the session begins; Connections is how many sessions the user may have. Nil: none does.
	Limits *Limits
	// Proof belongs to the Authenticator: it knows by it, in Revalidate, whether what was proved
	// at login still holds. It is no secret.
	Proof uint64
}

// The ways of Principal.Via.
const (
	ViaAnonymous   = "anonymous"
	ViaPassword    = "password"
	ViaToken       = "token"
	ViaCertificate = "certificate"
	ViaHook        = "hook"
)

// Authenticator decides who may connect. Authenticate is called once per CONNECT, on the
// session's own goroutine, and may take its time; ctx ends when the time to CONNECT is over or the
// broker shuts down. An error refuses the session; unless it is one of those above it is logged,
// so it must not tell a secret. A Principal whose name [CheckName] refuses is refused, too.
type Authenticator interface {
	Authenticate(ctx context.Context, c Credentials) (*Principal, error)
}

// Revalidator is an Authenticator whose users can change while sessions live. Revalidate tells who
// p is by the present state: p itself if nothing changed, a new Principal of the same name if its
// groups did, or an error if the login would not be accepted any more (the user is gone, has
// another password, the token's key was taken away). It is quick and does no I/O; the broker calls
// it for live sessions after a reload.
type Revalidator interface {
	Revalidate(p *Principal) (*Principal, error)
}

// Opener is an Authenticator that may let anyone use any name; while it does, Open says so.
type Opener interface {
	Open() bool
}

// Renewer is an Authenticator that takes a new token from a live session before the one it came
// with expires. Renew is called like Authenticate; it returns a Principal of the same name.
type Renewer interface {
	Renew(ctx context.Context, p *Principal, token Secret, peer Peer) (*Principal, error)
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

// Authorizer decides what principals may do. Grants is called once per CONNECT, and for live
// sessions after a reload, from many goroutines; it does no I/O. self is what stands for the
// principal behind /user/: its name, or the session's id where it has none.
type Authorizer interface {
	Grants(p *Principal, self string) Grants
}

// Grants are what one session may do. They are immutable, are asked for each SEND and SUBSCRIBE
// from many goroutines, and must be quick. A destination is always given as it is routed, in the
// one spelling it has: /user/queue/x with the user's name in it, a temporary queue by the name its
// session gave it, a reply address with its token, a durable subscription as its topic.
type Grants interface {
	// MaySend reports whether a SEND to a destination is permitted.
	MaySend(destination string) bool
	// MaySubscribe reports whether a SUBSCRIBE to a destination is permitted; or, if wild, to a
	// pattern as the package documentation of rules describes it, which needs all that it can match
	// to be permitted but for what the filter then keeps from it. The filter is nil if nothing is; without wild one that
	// keeps the destination itself is a refusal.
	MaySubscribe(destination string, wild bool) (Filter, bool)
}

// Filter reports whether a message to a destination must not reach a wildcard subscription whose
// pattern matches it. It is called for each such message, from many goroutines.
type Filter func(destination string) bool

// anyone is the Authenticator of a broker without users: any login, or none.
type anyone struct{}

// Open implements Opener.
func (anyone) Open() bool { return true }

// nobody is every anonymous session's Principal.
var nobody = &Principal{Via: ViaAnonymous}

func (anyone) Authenticate(_ context.Context, c Credentials) (*Principal, error) {
	if c.Login == "" {
		return nobody, nil
	}
	return &Principal{Name: c.Login, Via: ViaAnonymous}, nil
}
