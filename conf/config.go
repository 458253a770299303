package conf

import "time"

// Config is everything that can be set. Get one from [Load] or [Default]; it is not changed
// afterwards. The tags name the key in the file, the bounds of the value (min, max) and the words
// it may be (one); the environment name of http.listen is GUDOK_HTTP_LISTEN, and so on.
type Config struct {
	HTTP      HTTP      `yaml:"http"`
	WebSocket WebSocket `yaml:"websocket"`
	TCP       TCP       `yaml:"tcp"`
	Admin     Admin     `yaml:"admin"`
	Store     Store     `yaml:"store"`
	HeartBeat HeartBeat `yaml:"heartbeat"`
	Limits    Limits    `yaml:"limits"`
	// Users may log in; without them, JWT, Auth.HTTP and client certificates, anyone who can reach
	// a loopback address may.
	Users []User `yaml:"users"`
	JWT   JWT    `yaml:"jwt"`
	Auth  Auth   `yaml:"auth"`
	// Rules say who may send and subscribe where; with none, whoever may connect may do anything.
	Rules []Rule `yaml:"rules"`
	// Policies say how destinations behave; the first that matches counts.
	Policies []Policy `yaml:"policies"`
	Watchdog Watchdog `yaml:"watchdog"`
	Log      Log      `yaml:"log"`

	// where remembers the place of each key that was set, for messages.
	where map[string]string
}

// HTTP is the listener that serves the page, health and WebSocket.
type HTTP struct {
	// Listen is HOST:PORT; no host means all addresses, port 0 any free one, empty turns it off.
	Listen string `yaml:"listen"`
	// PublicHosts are the names besides its own address under which it is reached.
	PublicHosts []string `yaml:"public_hosts"`
	// AllowedOrigins are patterns of origins besides the same host whose pages may connect.
	AllowedOrigins []string `yaml:"allowed_origins"`
	TLS            TLS      `yaml:"tls"`
	// TrustedProxies are addresses and ranges of them: what a proxy there says of a client, in
	// X-Forwarded-For and the like, is believed.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// ProxyProtocol on has each connection begin with a header of the PROXY protocol, and come from
	// one of TrustedProxies.
	ProxyProtocol string `yaml:"proxy_protocol" one:"on off"`
	// HSTS is how long browsers are told to use TLS only; 0 tells them nothing.
	HSTS Duration `yaml:"hsts" max:"87600h"`
	// Compression on compresses what goes over WebSocket to clients that can inflate it.
	Compression string `yaml:"compression" one:"off on"`
}

// TLS is a certificate: both files in PEM, or neither.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// ClientCA is who vouches for clients' certificates, which can then be a login: PEM. None is
	// asked for if it is empty.
	ClientCA string `yaml:"client_ca"`
}

// WebSocket is STOMP over WebSocket, on the HTTP listener.
type WebSocket struct {
	// Path is where clients connect; it begins with a slash.
	Path string `yaml:"path"`
}

// TCP is STOMP over plain TCP and over TLS.
type TCP struct {
	// Listen is HOST:PORT; no host means all addresses, port 0 any free one, empty turns it off.
	Listen string `yaml:"listen"`
	// TLSListen is the same for STOMP over TLS; it needs TLS.
	TLSListen string `yaml:"tls_listen"`
	TLS       TLS    `yaml:"tls"`
	// TrustedProxies and ProxyProtocol are HTTP's, for both listeners.
	TrustedProxies []string `yaml:"trusted_proxies"`
	ProxyProtocol  string   `yaml:"proxy_protocol" one:"on off"`
}

// Admin is what people and machines see of the broker beside messages.
type Admin struct {
	// Listen is HOST:PORT; empty leaves the page on the HTTP listener.
	Listen string `yaml:"listen"`
	// Pprof yes serves Go's profiles below /debug/pprof/.
	Pprof string `yaml:"pprof" one:"yes no"`
}

// Store is where queued messages are kept.
type Store struct {
	// Engine is bolt, durable in a file, or memory.
	Engine string `yaml:"engine"`
	// Path is the directory that holds bolt's file; it is made if it is not there.
	Path string `yaml:"path"`
	// MaxSize bounds the file, or what memory holds; 0 means the disk, or 1 GiB of memory.
	MaxSize Size `yaml:"max_size" max:"1024TiB"`
	// MinFree is how much of the disk stays free: below it durable messages are refused for which
	// the file has no room from earlier ones.
	MinFree Size `yaml:"min_free" max:"1024TiB"`
}

// Policy is how the destinations behave that match a pattern. The first that matches counts.
type Policy struct {
	// Match is a destination, or a pattern as in SUBSCRIBE: * one segment, ** any number at the end.
	Match string `yaml:"match"`
	// Durable no keeps messages in memory only, whatever their sender asks.
	Durable string `yaml:"durable" one:"yes no"`
	// TTL is how long a message is of use, if its sender does not say less; 0 for ever.
	TTL Duration `yaml:"ttl" max:"87600h"`
	// Expired says what becomes of messages whose time is over.
	Expired string `yaml:"expired" one:"drop dead-letter"`
	// MaxMessages and MaxBytes bound a queue; 0 does not.
	MaxMessages int  `yaml:"max_messages" min:"0" max:"1000000000"`
	MaxBytes    Size `yaml:"max_bytes" max:"1024TiB"`
	// Overflow says what gives way when a queue is full: the new message or the oldest.
	Overflow   string     `yaml:"overflow" one:"reject drop-oldest"`
	Redelivery Redelivery `yaml:"redelivery"`
	// DeadLetter is the queue for dead letters, instead of /dlq/NAME; none drops them.
	DeadLetter string `yaml:"dead_letter"`
}

// Redelivery is when a refused message comes again.
type Redelivery struct {
	// Limit is how many deliveries make a dead letter; 0 means the default of 10.
	Limit int `yaml:"limit" min:"0" max:"60000"`
	// Delay is the pause before the first redelivery, each further one takes Backoff times as
	// long, up to MaxDelay. Without any of them the first comes at once, then 50ms, doubled up to 1s.
	Delay    Duration `yaml:"delay" max:"24h"`
	Backoff  int      `yaml:"backoff" min:"0" max:"100"`
	MaxDelay Duration `yaml:"max_delay" max:"24h"`
}

// HeartBeat is what the broker offers at CONNECT, and the bounds it clamps clients to.
type HeartBeat struct {
	// Send is how often the broker offers to write; 0 offers nothing.
	Send Duration `yaml:"send" max:"1h"`
	// Receive is how often it wants to read; 0 wants nothing.
	Receive Duration `yaml:"receive" max:"1h"`
	// Min and Max bound what is agreed, either way.
	Min Duration `yaml:"min" min:"100ms" max:"1h"`
	Max Duration `yaml:"max" min:"100ms" max:"1h"`
	// Grace is how many silent intervals end a session.
	Grace int `yaml:"grace" min:"1" max:"100"`
}

// Limits bound what a client may make the broker hold or wait for. Nothing is unlimited that a
// client could make grow.
type Limits struct {
	// Of one frame: a header line, the number of header lines, all of them, the body.
	HeaderLine  Size `yaml:"header_line" min:"256B" max:"1MiB"`
	Headers     int  `yaml:"headers" min:"8" max:"10000"`
	HeaderBytes Size `yaml:"header_bytes" min:"256B" max:"16MiB"`
	Body        Size `yaml:"body" min:"1B" max:"64MiB"`
	// BeforeConnect is what one connection may send before it has logged in.
	BeforeConnect Size `yaml:"before_connect" min:"256B" max:"1MiB"`
	// ConnectTime is how long it may take until CONNECT, FrameTime how long one frame may take.
	ConnectTime Duration `yaml:"connect_time" min:"100ms" max:"10m"`
	FrameTime   Duration `yaml:"frame_time" min:"100ms" max:"1h"`
	// Of one session: subscriptions, those to patterns, unacknowledged messages.
	Subscriptions         int `yaml:"subscriptions" min:"1" max:"1000000"`
	WildcardSubscriptions int `yaml:"wildcard_subscriptions" min:"1" max:"1000000"`
	Unacked               int `yaml:"unacked" min:"1" max:"10000000"`
	// PrefetchBytes is what one subscription holds unacknowledged, but always one message.
	PrefetchBytes Size `yaml:"prefetch_bytes" min:"1B" max:"16GiB"`
	// Of one session: open transactions, the frames and bytes in them, and how long one may be open.
	Transactions      int      `yaml:"transactions" min:"1" max:"10000"`
	TransactionFrames int      `yaml:"transaction_frames" min:"1" max:"10000000"`
	TransactionBytes  Size     `yaml:"transaction_bytes" min:"1KiB" max:"16GiB"`
	TransactionTime   Duration `yaml:"transaction_time" min:"100ms" max:"24h"`
	// Of one session: bytes that wait to be written, and how long one write may take.
	Outbox   Size     `yaml:"outbox" min:"1KiB" max:"16GiB"`
	SendTime Duration `yaml:"send_time" min:"100ms" max:"10m"`
	// Queues is how many there may be that hold messages or have a consumer.
	Queues int `yaml:"queues" min:"1" max:"10000000"`
	// Connections is how many there may be, all listeners together; of one address and one user as
	// many as they like if that is 0.
	Connections           int `yaml:"connections" min:"1" max:"10000000"`
	ConnectionsPerAddress int `yaml:"connections_per_address" min:"0" max:"10000000"`
	ConnectionsPerUser    int `yaml:"connections_per_user" min:"0" max:"10000000"`
	// ConnectsPerSecond is how many may begin in a second, all listeners together; 0 for any number.
	ConnectsPerSecond int `yaml:"connects_per_second" min:"0" max:"1000000"`
	// Memory is how much the process may use before it refuses connections, holds up publishers and
	// closes sessions for which much waits; 0 means GOMEMLIMIT, or else 60 % of what the cgroup, or the
	// machine, has.
	Memory Size `yaml:"memory" max:"1024TiB"`
	// Outboxes is how many bytes may wait to be written to all sessions together.
	Outboxes Size `yaml:"outboxes" min:"1MiB" max:"1024TiB"`
	// FailedLogins is how many logins may fail in a minute, of an address and of a user, before only
	// one a second is looked at; 0 slows none.
	FailedLogins int `yaml:"failed_logins" min:"0" max:"1000000"`
}

// UserLimits replace what Limits say of a session in those of one user; 0 replaces nothing.
type UserLimits struct {
	HeaderLine            Size     `yaml:"header_line" min:"256B" max:"1MiB"`
	Headers               int      `yaml:"headers" min:"8" max:"10000"`
	HeaderBytes           Size     `yaml:"header_bytes" min:"256B" max:"16MiB"`
	Body                  Size     `yaml:"body" min:"1B" max:"64MiB"`
	Subscriptions         int      `yaml:"subscriptions" min:"1" max:"1000000"`
	WildcardSubscriptions int      `yaml:"wildcard_subscriptions" min:"1" max:"1000000"`
	Unacked               int      `yaml:"unacked" min:"1" max:"10000000"`
	PrefetchBytes         Size     `yaml:"prefetch_bytes" min:"1B" max:"16GiB"`
	Transactions          int      `yaml:"transactions" min:"1" max:"10000"`
	TransactionFrames     int      `yaml:"transaction_frames" min:"1" max:"10000000"`
	TransactionBytes      Size     `yaml:"transaction_bytes" min:"1KiB" max:"16GiB"`
	TransactionTime       Duration `yaml:"transaction_time" min:"100ms" max:"24h"`
	Outbox                Size     `yaml:"outbox" min:"1KiB" max:"16GiB"`
	SendTime              Duration `yaml:"send_time" min:"100ms" max:"10m"`
	// Connections is how many the user may have.
	Connections int `yaml:"connections" min:"1" max:"10000000"`
}

// User is someone who may log in.
type User struct {
	Name string `yaml:"name"`
	// PasswordHash is a bcrypt hash or a PHC string of argon2id, as "broker passwd" prints it. Who
	// logs in by certificate needs none, nor who is here for his limits and proves it elsewhere.
	PasswordHash string   `yaml:"password_hash" secret:"yes"`
	Groups       []string `yaml:"groups"`
	// Limits hold for this user instead of those for everyone.
	Limits UserLimits `yaml:"limits"`
}

// JWT says which tokens are a login.
type JWT struct {
	// Issuer is what iss must be, Audience what one of aud must be; * takes any.
	Issuer   string   `yaml:"issuer"`
	Audience []string `yaml:"audience" scalar:"yes"`
	// KeysFile is a JWK set or public keys in PEM; JWKSURL is a JWK set to fetch. One of the two.
	KeysFile string `yaml:"keys_file"`
	JWKSURL  string `yaml:"jwks_url"`
	// Refresh is how often JWKSURL is fetched, also when no token names an unknown key.
	Refresh Duration `yaml:"refresh" min:"1m" max:"24h"`
	// Algorithm is that of RSA keys that do not say theirs.
	Algorithm string `yaml:"algorithm" one:"RS256 RS384 RS512 PS256 PS384 PS512"`
	// UserClaim is the user's name, GroupsClaim the groups; a dot leads into an object.
	UserClaim   string `yaml:"user_claim"`
	GroupsClaim string `yaml:"groups_claim"`
	// Cookie and Query are names under which a handshake may bring a token.
	Cookie string `yaml:"cookie"`
	Query  string `yaml:"query"`
	// Leeway is what clocks may differ by, MaxAge how long after its iat a token is taken.
	Leeway Duration `yaml:"leeway" max:"10m"`
	MaxAge Duration `yaml:"max_age" min:"1m" max:"87600h"`
}

// On tells whether tokens are a login.
func (j JWT) On() bool { return j.KeysFile != "" || j.JWKSURL != "" }

// Auth is what else there is to say about logins.
type Auth struct {
	// Anonymous yes lets in who offers nothing, beside those who log in.
	Anonymous string `yaml:"anonymous" one:"yes no"`
	// CertificateUser says what of a client's certificate is the user's name.
	CertificateUser string   `yaml:"certificate_user" one:"cn email dns"`
	HTTP            AuthHTTP `yaml:"http"`
}

// AuthHTTP is a service that is asked for logins that are not among the users.
type AuthHTTP struct {
	URL string `yaml:"url"`
	// Headers are sent along, each "Name: value".
	Headers []string `yaml:"headers" secret:"yes"`
	// Timeout bounds one question, Concurrency how many are asked at once.
	Timeout     Duration `yaml:"timeout" min:"100ms" max:"30s"`
	Concurrency int      `yaml:"concurrency" min:"1" max:"1000"`
	// Cache is how long a yes is remembered.
	Cache Duration `yaml:"cache" max:"1h"`
	// Plaintext yes lets passwords pass the network in the clear.
	Plaintext string `yaml:"plaintext" one:"yes no"`
}

// Watchdog says what becomes of a broker that has come to a standstill.
type Watchdog struct {
	// Warn is how long a commit of the store, or the broker's own housekeeping, may take until health fails
	// and the log tells where it stands; Exit until the process ends. 0 is off.
	Warn Duration `yaml:"warn" max:"24h"`
	Exit Duration `yaml:"exit" max:"24h"`
}

// Log says how much is logged to standard error, and how it looks.
type Log struct {
	Level  string `yaml:"level" one:"debug info warn error"`
	Format string `yaml:"format" one:"text json"`
}

// Default is the configuration of a broker started without any: loopback only, no users.
func Default() *Config {
	return &Config{
		HTTP:      HTTP{Listen: "127.0.0.1:15674", ProxyProtocol: "off", Compression: "off"},
		WebSocket: WebSocket{Path: "/ws"},
		TCP:       TCP{Listen: "127.0.0.1:61613", ProxyProtocol: "off"},
		Admin:     Admin{Pprof: "no"},
		Store:     Store{Engine: "bolt", Path: "data", MinFree: 1 << 30},
		HeartBeat: HeartBeat{
			Send:    Duration(10 * time.Second),
			Receive: Duration(10 * time.Second),
			Min:     Duration(time.Second),
			Max:     Duration(5 * time.Minute),
			Grace:   3,
		},
		Limits: Limits{
			HeaderLine:            8 << 10,
			Headers:               64,
			HeaderBytes:           32 << 10,
			Body:                  1 << 20,
			BeforeConnect:         16 << 10,
			ConnectTime:           Duration(10 * time.Second),
			FrameTime:             Duration(30 * time.Second),
			Subscriptions:         256,
			WildcardSubscriptions: 64,
			Unacked:               1000,
			PrefetchBytes:         16 << 20,
			Transactions:          16,
			TransactionFrames:     10_000,
			TransactionBytes:      8 << 20,
			TransactionTime:       Duration(5 * time.Minute),
			Outbox:                1 << 20,
			SendTime:              Duration(10 * time.Second),
			Queues:                100_000,
			Connections:           10_000,
			Outboxes:              512 << 20,
			FailedLogins:          10,
		},
		JWT: JWT{
			Refresh:   Duration(15 * time.Minute),
			Algorithm: "RS256",
			UserClaim: "sub",
			Leeway:    Duration(30 * time.Second),
			MaxAge:    Duration(24 * time.Hour),
		},
		Auth: Auth{
			Anonymous:       "no",
			CertificateUser: "cn",
			HTTP:            AuthHTTP{Timeout: Duration(5 * time.Second), Concurrency: 16, Plaintext: "no"},
		},
		Watchdog: Watchdog{Warn: Duration(30 * time.Second), Exit: Duration(2 * time.Minute)},
		Log:      Log{Level: "info", Format: "text"},
		where:    map[string]string{},
	}
}

// Where tells where a key was set: FILE:LINE or the environment variable; empty for a default.
// It also knows groups and elements: tcp.tls, users[0].name.
func (c *Config) Where(key string) string { return c.where[key] }

// Refuse makes the error for a value that only another part can judge, with the place it stands
// at. problem quotes the value if it is no secret, and tells the cure.
func (c *Config) Refuse(key, problem string) error {
	return c.fault(key, problem)
}

// fault is Refuse for this package. A variable names its key already.
func (c *Config) fault(key, problem string) *Error {
	where := c.where[key]
	if where == envName(key) {
		return &Error{Where: where, Problem: problem}
	}
	return &Error{Where: where, Key: key, Problem: problem}
}
