package mutant

// More bugs of limits, and of what stands at the edge; test/mutants has who finds them.
const (
	AddressesUncounted    Name = "addresses-uncounted"     // broker: an address may have any number of connections
	HostsApart            Name = "hosts-apart"             // broker: each address of an IPv6 host is another
	UsersUncounted        Name = "users-uncounted"         // broker: a user may have any number of connections
	ConnectsFree          Name = "connects-free"           // broker: any number may begin in a second
	LeaversCounted        Name = "leavers-counted"         // broker: who has gone is still counted
	WebSocketsUncounted   Name = "websockets-uncounted"    // broker: who comes by WebSocket is not counted
	PatternsUncounted     Name = "patterns-uncounted"      // broker: any number of subscriptions to patterns
	PrefetchBytesFree     Name = "prefetch-bytes-free"     // broker: a subscription may hold any number of bytes
	TransactionFramesFree Name = "transaction-frames-free" // broker: transactions may have any number of frames
	TransactionTimeTen    Name = "transaction-time-ten"    // broker: a transaction may be open ten times as long
	QueuesUncounted       Name = "queues-uncounted"        // broker: any number of queues
	OwnLimitsIgnored      Name = "own-limits-ignored"      // broker: a user's limits are everyone's
	OwnLimitsOnly         Name = "own-limits-only"         // broker: what a user's limits do not say is the default
	OutboxesFree          Name = "outboxes-free"           // broker: all outboxes together may hold anything
	OutboxesUnasked       Name = "outboxes-unasked"        // broker: publishers ask for no look at the outboxes
	SmallestFirst         Name = "smallest-first"          // broker: those for which least waits are closed first
	MemoryUnseen          Name = "memory-unseen"           // broker: memory is never short
	MemoryLetsIn          Name = "memory-lets-in"          // broker: connections are let in while memory is short
	MemoryHoldsNobody     Name = "memory-holds-nobody"     // broker: publishers are not held up while memory is short
	MemoryNeverEases      Name = "memory-never-eases"      // broker: once it was short it stays so
	SoftUncounted         Name = "soft-uncounted"          // broker: a refusal after which a session goes on is not counted
	StrangersUncounted    Name = "strangers-uncounted"     // broker: a connection that is not let in is not counted as refused
	PermitEveryone        Name = "permit-everyone"         // broker: who has a login sees what is for admins, whatever the rules
	MetricsOpen           Name = "metrics-open"            // broker/admin: metrics are for anyone
	StatusOpen            Name = "status-open"             // broker/admin: the page's figures are for anyone who asks for JSON
	PageTells             Name = "page-tells"              // broker/admin: the page shows its figures to anyone
	HealthTells           Name = "health-tells"            // broker/admin: health says why to anyone
	ProxyAnyone           Name = "proxy-anyone"            // transport: anyone's PROXY header is believed
	ProxyOptional         Name = "proxy-optional"          // transport: who sends no PROXY header is his own client
	ProxySilent           Name = "proxy-silent"            // transport: a PROXY header may take for ever
	ProxyRestKept         Name = "proxy-rest-kept"         // transport: what stands behind the addresses is the client's
	ProxyLocalBelieved    Name = "proxy-local-believed"    // transport: LOCAL names a client
	ProxyUnknownBelieved  Name = "proxy-unknown-believed"  // transport: what a client unknown to its proxy says in HTTP counts
	ProxyAnyFamily        Name = "proxy-any-family"        // transport: TCP4 may name an address of IPv6
	ForwardedByAnyone     Name = "forwarded-by-anyone"     // transport: X-Forwarded-For counts from anyone
	ForwardedFirst        Name = "forwarded-first"         // transport: the first of X-Forwarded-For is the client
	ForwardedEither       Name = "forwarded-either"        // transport: one of X-Forwarded-For and Forwarded is enough where they differ
	ForwardedHost         Name = "forwarded-host"          // transport: X-Forwarded-Host is the host
	PagesUnguarded        Name = "pages-unguarded"         // transport: only WebSockets ask for host and origin
	HostSuffix            Name = "host-suffix"             // transport: names below a host's are its own
	OriginFirst           Name = "origin-first"            // transport: of two origins the first counts
	CookieAnyOrigin       Name = "cookie-any-origin"       // transport: a cookie that is a login does not demand an origin
	InflatedFree          Name = "inflated-free"           // transport: what is inflated before CONNECT does not count
	PackedFree            Name = "packed-free"             // transport: what is compressed before CONNECT does not count
	BlankFree             Name = "blank-free"              // transport: compressed heart-beats are free
	PackedEarly           Name = "packed-early"            // transport: CONNECTED goes out compressed
	PackedUnasked         Name = "packed-unasked"          // transport: compressed messages are taken without an agreement
	CapacityOff           Name = "capacity-off"            // transport: connections take the last file
	SilentStay            Name = "silent-stay"             // transport: who is silent keeps its place from those who ask for health
	OldTLS                Name = "old-tls"                 // transport: TLS 1.0 is good enough
	TLSHandshakeSlow      Name = "tls-handshake-slow"      // transport: a TLS handshake may take an hour
	FirstWordSlow         Name = "first-word-slow"         // transport: a connection may say nothing for an hour
)
