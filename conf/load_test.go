package conf_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gudokmq/gudok/conf"
)

const hash = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"

// load writes text to gudok.yaml in a directory of its own and loads it from there.
func load(t testing.TB, text string, environ ...string) (*conf.Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("gudok.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return conf.Load("gudok.yaml", environ)
}

func TestDefaultsAreSound(t *testing.T) {
	c, err := conf.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, conf.Default()) {
		t.Errorf("Load without a file = %+v, want Default", c)
	}
}

func TestEmptyFilesAreDefaults(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "\ufeff# mark\n", "http:\n  # listen: x\nusers:\n"} {
		c, err := load(t, text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if c.HTTP.Listen != "127.0.0.1:15674" || c.Limits.Body != 1<<20 {
			t.Errorf("%q: %+v", text, c)
		}
	}
}

func TestWholeFile(t *testing.T) {
	cert, key := certificate(t)
	c, err := load(t, `
http:
  listen: 0.0.0.0:443
  public_hosts: [broker.example.org, "example.org:8443"]
  allowed_origins:
    - https://example.org
    - "https://*.example.org:8443"
  compression: on
  tls: {cert: `+cert+`, key: `+key+`}
  trusted_proxies: [10.0.0.1, "fd00::/8"]
  hsts: 8760h
websocket: { path: /stomp }
tcp: { listen: "", tls_listen: "[::]:61614", tls: {cert: `+cert+`, key: `+key+`}, trusted_proxies: [192.168.0.0/16], proxy_protocol: on }
admin: { listen: 127.0.0.1:15680, pprof: yes }
store: { engine: memory, path: /var/lib/gudok, max_size: 2GiB, min_free: 0 }
heartbeat: { send: 20s, receive: 0, min: 500ms, max: 1m, grace: 2 }
limits: { header_line: 4KiB, headers: 32, header_bytes: 16 KiB, body: 64MiB, before_connect: 8KiB,
  connect_time: 5s, frame_time: 1m, subscriptions: 1, wildcard_subscriptions: 4, unacked: 2, prefetch_bytes: 2MiB, transactions: 3,
  transaction_frames: 5, transaction_bytes: 1MiB, transaction_time: 90s, outbox: 512KiB, send_time: 1500ms, queues: 6, connections: 7,
  connections_per_address: 8, connections_per_user: 9, connects_per_second: 11, failed_logins: 3, memory: 2GiB, outboxes: 64MiB }
users:
  - name: alice
    password_hash: `+hash+`
    groups: [admin, "on-call"]
  - { name: 007, password_hash: "`+hash+`", limits: { header_line: 1KiB, headers: 9, header_bytes: 2KiB, body: 3KiB, subscriptions: 2,
      wildcard_subscriptions: 1, unacked: 3, prefetch_bytes: 1B, transactions: 4, transaction_frames: 6, transaction_bytes: 4KiB,
      transaction_time: 1m, outbox: 5KiB, send_time: 7s, connections: 10 } }
policies:
  - { match: "/queue/orders.**", durable: no, ttl: 1h, expired: dead-letter, max_messages: 10, max_bytes: 1MiB, overflow: drop-oldest,
      redelivery: { limit: 3, delay: 1s, backoff: 2, max_delay: 1m }, dead_letter: /dlq/all }
log: { level: debug, format: json }
watchdog: { warn: 5s, exit: 0 }
`)
	if err != nil {
		t.Fatal(err)
	}
	same(t, c.HTTP, conf.HTTP{Listen: "0.0.0.0:443", PublicHosts: []string{"broker.example.org", "example.org:8443"},
		AllowedOrigins: []string{"https://example.org", "https://*.example.org:8443"}, TLS: conf.TLS{Cert: cert, Key: key},
		TrustedProxies: []string{"10.0.0.1", "fd00::/8"}, ProxyProtocol: "off", HSTS: seconds(8760 * 3600), Compression: "on"})
	same(t, c.WebSocket, conf.WebSocket{Path: "/stomp"})
	same(t, c.TCP, conf.TCP{TLSListen: "[::]:61614", TLS: conf.TLS{Cert: cert, Key: key}, TrustedProxies: []string{"192.168.0.0/16"}, ProxyProtocol: "on"})
	same(t, c.Admin, conf.Admin{Listen: "127.0.0.1:15680", Pprof: "yes"})
	same(t, c.Store, conf.Store{Engine: "memory", Path: "/var/lib/gudok", MaxSize: 2 << 30})
	same(t, c.HeartBeat, conf.HeartBeat{Send: seconds(20), Min: conf.Duration(500 * time.Millisecond), Max: seconds(60), Grace: 2})
	same(t, c.Limits, conf.Limits{HeaderLine: 4 << 10, Headers: 32, HeaderBytes: 16 << 10, Body: 64 << 20, BeforeConnect: 8 << 10,
		ConnectTime: seconds(5), FrameTime: seconds(60), Subscriptions: 1, WildcardSubscriptions: 4, Unacked: 2, PrefetchBytes: 2 << 20,
		Transactions: 3, TransactionFrames: 5, TransactionBytes: 1 << 20, TransactionTime: seconds(90), Outbox: 512 << 10,
		SendTime: conf.Duration(1500 * time.Millisecond), Queues: 6, Connections: 7, ConnectionsPerAddress: 8, ConnectionsPerUser: 9,
		ConnectsPerSecond: 11, FailedLogins: 3, Memory: 2 << 30, Outboxes: 64 << 20})
	same(t, c.Policies, []conf.Policy{{Match: "/queue/orders.**", Durable: "no", TTL: seconds(3600), Expired: "dead-letter",
		MaxMessages: 10, MaxBytes: 1 << 20, Overflow: "drop-oldest", DeadLetter: "/dlq/all",
		Redelivery: conf.Redelivery{Limit: 3, Delay: seconds(1), Backoff: 2, MaxDelay: seconds(60)}}})
	same(t, c.Users, []conf.User{{Name: "alice", PasswordHash: hash, Groups: []string{"admin", "on-call"}}, {Name: "007", PasswordHash: hash,
		Limits: conf.UserLimits{HeaderLine: 1 << 10, Headers: 9, HeaderBytes: 2 << 10, Body: 3 << 10, Subscriptions: 2, WildcardSubscriptions: 1,
			Unacked: 3, PrefetchBytes: 1, Transactions: 4, TransactionFrames: 6, TransactionBytes: 4 << 10, TransactionTime: seconds(60),
			Outbox: 5 << 10, SendTime: seconds(7), Connections: 10}}})
	same(t, c.Log, conf.Log{Level: "debug", Format: "json"})
	same(t, c.Watchdog, conf.Watchdog{Warn: seconds(5)})
	if got := c.Where("users[1].password_hash"); got != "gudok.yaml:25" {
		t.Errorf("Where = %q", got)
	}
}

func seconds(n int) conf.Duration { return conf.Duration(time.Duration(n) * time.Second) }

func same[T any](t *testing.T, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// faults are files and the one line that refuses each.
var faults = map[string]string{
	// units and kinds
	"# size\n\nlimits:\n  body: 64XB\n": `gudok.yaml:4: limits.body: "64XB" is not a size (write 64KiB, 1MiB)`,
	"limits: {body: 65536}":             `gudok.yaml:1: limits.body: "65536" is not a size (write 64KiB, 1MiB)`,
	"limits: {body: 1.5MiB}":            `gudok.yaml:1: limits.body: "1.5MiB" is not a size (write 64KiB, 1MiB)`,
	"limits: {body: -1KiB}":             `gudok.yaml:1: limits.body: "-1KiB" is not a size (write 64KiB, 1MiB)`,
	"limits: {body: 64KB}":              `gudok.yaml:1: limits.body: "64KB" is not a size (write 64KiB, 1MiB)`,
	"limits: {body: 99999999999TiB}":    `gudok.yaml:1: limits.body: "99999999999TiB" is not a size (write 64KiB, 1MiB)`,
	"limits: {body: 0}":                 `gudok.yaml:1: limits.body: "0" is out of bounds (write a value between 1B and 64MiB)`,
	"limits: {body: 2GiB}":              `gudok.yaml:1: limits.body: "2GiB" is out of bounds (write a value between 1B and 64MiB)`,
	"limits:\n  connect_time: 10":       `gudok.yaml:2: limits.connect_time: "10" is not a duration (write 500ms, 10s, 5m)`,
	"limits:\n  connect_time: -10s":     `gudok.yaml:2: limits.connect_time: "-10s" is not a duration (write 500ms, 10s, 5m)`,
	"limits:\n  connect_time: 0":        `gudok.yaml:2: limits.connect_time: "0" is out of bounds (write a value between 100ms and 10m)`,
	"heartbeat: {send: 2h}":             `gudok.yaml:1: heartbeat.send: "2h" is out of bounds (write a value at most 1h)`,
	"limits: {headers: many}":           `gudok.yaml:1: limits.headers: "many" is not a whole number`,
	"limits: {headers: -3}":             `gudok.yaml:1: limits.headers: "-3" is out of bounds (write a value between 8 and 10000)`,
	"limits: {headers: 1.5}":            `gudok.yaml:1: limits.headers: "1.5" is not a whole number`,
	"limits: {headers: [1]}":            `gudok.yaml:1: limits.headers: is one value, not a list or a group`,
	"limits: {headers: {a: 1}}":         `gudok.yaml:1: limits.headers: is one value, not a list or a group`,
	"limits: {connections: 0}":          `gudok.yaml:1: limits.connections: "0" is out of bounds (write a value between 1 and 10000000)`,
	"limits: {transaction_time: 25h}":   `gudok.yaml:1: limits.transaction_time: "25h" is out of bounds (write a value between 100ms and 24h)`,
	"limits: {conections: 5}":           `gudok.yaml:1: limits.conections: no setting has this name (did you mean limits.connections?)`,
	"users:\n- {name: a, password_hash: " + hash + ", limits: {connections: 0}}":     `gudok.yaml:2: users[0].limits.connections: "0" is out of bounds (write a value between 1 and 10000000)`,
	"users:\n- {name: a, password_hash: " + hash + ", limits: {queues: 5}}":          `gudok.yaml:2: users[0].limits.queues: no setting has this name (here go body, connections, header_bytes, header_line, headers, outbox, prefetch_bytes, send_time, subscriptions, transaction_bytes, transaction_frames, transaction_time, transactions, unacked, wildcard_subscriptions)`,
	"users:\n- {name: a, password_hash: " + hash + ", limits: {header_line: 64KiB}}": `gudok.yaml:2: users[0].limits.header_line: "64KiB" is more than limits.header_bytes, which is 32KiB`,
	"users:\n- {name: a, password_hash: " + hash + ", limits: {header_bytes: 1KiB}}": `gudok.yaml:2: users[0].limits.header_bytes: "1KiB" is less than limits.header_line, which is 8KiB`,
	"limits:\n  headers:\n":                           `gudok.yaml:2: limits.headers: has no value (write one, "" for none, or remove the line)`,
	"limits: 5":                                       `gudok.yaml:1: limits: is a group of keys (write them indented below it)`,
	"limits: []":                                      `gudok.yaml:1: limits: is a group of keys (write them indented below it)`,
	"http:\n  public_hosts: example.org":              `gudok.yaml:2: http.public_hosts: is a list (write [a, b], or - a in lines of their own)`,
	"http:\n  public_hosts:\n  - a\n  - [b]":          `gudok.yaml:4: http.public_hosts[1]: is one value, not a list or a group`,
	"http:\n  public_hosts:\n  - a\n  - \"\"":         `gudok.yaml:4: http.public_hosts[1]: is empty (remove it)`,
	"websocket: {path: \"/a\\nb\"}":                   `gudok.yaml:1: websocket.path: "/a\nb" has a control character in it`,
	"log: {level: loud}":                              `gudok.yaml:1: log.level: "loud" is not known (write debug, info, warn, error)`,
	"log: {format: xml}":                              `gudok.yaml:1: log.format: "xml" is not known (write text, json)`,
	"log: {format: " + strings.Repeat("x", 200) + "}": `gudok.yaml:1: log.format: "` + strings.Repeat("x", 80) + `…" is not known (write text, json)`,

	// keys
	"limits:\n  bodyy: 1MiB":                  `gudok.yaml:2: limits.bodyy: no setting has this name (did you mean limits.body?)`,
	"htp: {}":                                 `gudok.yaml:1: htp: no setting has this name (did you mean http?)`,
	"log: {colour: 1}":                        `gudok.yaml:1: log.colour: no setting has this name (here go format, level)`,
	"log: {\"a\\nb\": 1}":                     `gudok.yaml:1: log."a\nb": no setting has this name (here go format, level)`,
	"log: {level: info}\nlog: {format: json}": `gudok.yaml:2: log: stands here again, first in line 1 (remove one)`,
	"log:\n  level: info\n\n  level: debug":   `gudok.yaml:4: log.level: stands here again, first in line 2 (remove one)`,
	"http: {tls: {certt: a}}":                 `gudok.yaml:1: http.tls.certt: no setting has this name (did you mean http.tls.cert?)`,
	"users: [{name: a, pasword_hash: b}]":     `gudok.yaml:1: users[0].pasword_hash: no setting has this name (did you mean users[0].password_hash?)`,
	"users:\n- name: a\n  name: b":            `gudok.yaml:3: users[0].name: stands here again, first in line 2 (remove one)`,

	"users: [{name: a, password_hash: $argon2id$v=19$m=64,t=1,p=1$c2FsdA$aGFzaA}]": `gudok.yaml:1: users[0].t=1: no setting has this name (put quotes around a value with commas in it)`,

	// YAML
	"- a":                               "gudok.yaml:1: the file does not begin with keys (write http:, tcp: or limits: …)",
	"hello":                             "gudok.yaml:1: the file does not begin with keys (write http:, tcp: or limits: …)",
	"log: {}\n---\nhttp: {}":            "gudok.yaml:3: a second document begins here (remove the line ---)",
	"a: &a [x]\nb: [*a, *a]":            `gudok.yaml:1: "&" is YAML that is not read here (quote it if it is text; anchors, aliases, tags and complex keys are refused)`,
	"http:\n  listen: *x":               `gudok.yaml:2: "*" is YAML that is not read here (quote it if it is text; anchors, aliases, tags and complex keys are refused)`,
	"http:\n  listen: !!str x":          `gudok.yaml:2: "!!str" is YAML that is not read here (quote it if it is text; anchors, aliases, tags and complex keys are refused)`,
	"? a\n: b":                          `gudok.yaml:1: "?" is YAML that is not read here (quote it if it is text; anchors, aliases, tags and complex keys are refused)`,
	"log:\n  <<: {level: info}":         `gudok.yaml:2: "<<" is YAML that is not read here (quote it if it is text; anchors, aliases, tags and complex keys are refused)`,
	strings.Repeat("[", 50000):          "gudok.yaml:1: is nested too deep for a configuration",
	strings.Repeat("- ", 50000) + "a":   "gudok.yaml:1: is nested too deep for a configuration",
	"log: {}\n\x00":                     "gudok.yaml:2: is not a text in UTF-8",
	"log: {}\nhttp: {listen: \"\xff\"}": "gudok.yaml:2: is not a text in UTF-8",
	"#" + strings.Repeat("x", 1<<20):    "gudok.yaml: is larger than 1MiB: is this a configuration?",

	strings.Repeat("a: b\n", 50000): "gudok.yaml: has more than 100000 words and marks: is this a configuration?",

	// addresses
	"http: {listen: 127.0.0.1}":                 `gudok.yaml:1: http.listen: "127.0.0.1" has no port (write 127.0.0.1:15674)`,
	"http: {listen: 15674}":                     `gudok.yaml:1: http.listen: "15674" has no port (write 127.0.0.1:15674)`,
	"tcp: {listen: localhost}":                  `gudok.yaml:1: tcp.listen: "localhost" has no port (write 127.0.0.1:61613)`,
	"tcp: {listen: \"127.0.0.1:70000\"}":        `gudok.yaml:1: tcp.listen: "127.0.0.1:70000" has no port from 0 to 65535 (write 127.0.0.1:61613)`,
	"tcp: {listen: \"127.0.0.1:stomp\"}":        `gudok.yaml:1: tcp.listen: "127.0.0.1:stomp" has no port from 0 to 65535 (write 127.0.0.1:61613)`,
	"tcp: {listen: \"::1:61613\"}":              `gudok.yaml:1: tcp.listen: "::1:61613" is not an address (write 127.0.0.1:61613)`,
	"tcp: {listen: \"a b:61613\"}":              `gudok.yaml:1: tcp.listen: "a b:61613" is not an address (write 127.0.0.1:61613)`,
	"tcp: {listen: \"127.0.0.1:15674\"}":        `gudok.yaml:1: tcp.listen: "127.0.0.1:15674" is the address of http.listen already (give it a port of its own)`,
	"tcp: {listen: \"\"}\nhttp: {listen: \"\"}": `gudok.yaml:2: http.listen: "" turns it off, and tcp.listen is off too: there is nothing to listen on (set one of them)`,
	"http: {listen: \":15674\"}":                `gudok.yaml:1: http.listen: ":15674" is open to other machines, and nobody has to log in (set users, jwt or auth.http, or listen on 127.0.0.1:15674)`,
	"http: {listen: \"broker:15674\"}":          `gudok.yaml:1: http.listen: "broker:15674" is open to other machines, and nobody has to log in (set users, jwt or auth.http, or listen on 127.0.0.1:15674)`,
	"\ntcp: {listen: \"0.0.0.0:61613\"}":        `gudok.yaml:2: tcp.listen: "0.0.0.0:61613" is open to other machines, and nobody has to log in (set users, jwt or auth.http, or listen on 127.0.0.1:61613)`,

	"admin: {listen: \":15680\"}":      `gudok.yaml:1: admin.listen: ":15680" is open to other machines, and nobody has to log in (set users, jwt or auth.http, or listen on 127.0.0.1:15680)`,
	"admin: {listen: 127.0.0.1:61613}": `gudok.yaml:1: admin.listen: "127.0.0.1:61613" is the address of tcp.listen already (give it a port of its own)`,

	"admin: {listen: 127.0.0.1:1}\ntcp: {listen: \"\"}\nhttp: {listen: \"\"}": `gudok.yaml:3: http.listen: "" turns it off, and tcp.listen is off too: there is nothing to listen on (set one of them)`,

	// proxies
	"http: {proxy_protocol: yes}":                        `gudok.yaml:1: http.proxy_protocol: "yes" is not known (write on, off)`,
	"http: {proxy_protocol: on}":                         `gudok.yaml:1: http.proxy_protocol: "on" lets nobody in, because no proxy is trusted (set http.trusted_proxies)`,
	"tcp:\n  proxy_protocol: on":                         `gudok.yaml:2: tcp.proxy_protocol: "on" lets nobody in, because no proxy is trusted (set tcp.trusted_proxies)`,
	"tcp:\n  trusted_proxies: [127.0.0.1]":               `gudok.yaml:2: tcp.trusted_proxies: are of no use without the PROXY protocol (set tcp.proxy_protocol: on)`,
	"http: {trusted_proxies: 127.0.0.1}":                 `gudok.yaml:1: http.trusted_proxies: is a list (write [a, b], or - a in lines of their own)`,
	"http:\n  trusted_proxies:\n  - ::1\n  - localhost":  `gudok.yaml:4: http.trusted_proxies[1]: "localhost" is not an address (write 10.0.0.1 or 10.0.0.0/8)`,
	"http: {trusted_proxies: [\"127.0.0.1:80\"]}":        `gudok.yaml:1: http.trusted_proxies[0]: "127.0.0.1:80" is not an address (write 10.0.0.1 or 10.0.0.0/8)`,
	"http: {trusted_proxies: [\"fe80::1%eth0\"]}":        `gudok.yaml:1: http.trusted_proxies[0]: "fe80::1%eth0" is not an address (write 10.0.0.1 or 10.0.0.0/8)`,
	"http: {trusted_proxies: [10.0.0.0/33]}":             `gudok.yaml:1: http.trusted_proxies[0]: "10.0.0.0/33" is not a range of addresses (write 10.0.0.0/8)`,
	"http: {trusted_proxies: [\"::ffff:10.0.0.0/104\"]}": `gudok.yaml:1: http.trusted_proxies[0]: "::ffff:10.0.0.0/104" is not a range of addresses (write 10.0.0.0/8)`,
	"tcp: {trusted_proxies: [0.0.0.0/0]}":                `gudok.yaml:1: tcp.trusted_proxies[0]: "0.0.0.0/0" is every address there is, and whoever connects would be believed (write the proxies' own)`,
	"tcp: {trusted_proxies: [\"::/0\"]}":                 `gudok.yaml:1: tcp.trusted_proxies[0]: "::/0" is every address there is, and whoever connects would be believed (write the proxies' own)`,
	"http: {trusted_proxies: [10.0.0.1]}":                `gudok.yaml:1: http.trusted_proxies: let other machines in through a proxy, and nobody has to log in (set users, jwt or auth.http)`,

	"http: {hsts: forever}": `gudok.yaml:1: http.hsts: "forever" is not a duration (write 500ms, 10s, 5m)`,

	// certificates
	"http: {tls: {cert: a.pem}}":                               `gudok.yaml:1: http.tls.cert: "a.pem" is there without its key (set http.tls.key)`,
	"http: {tls: {key: a.pem}}":                                `gudok.yaml:1: http.tls.key: "a.pem" is there without its certificate (set http.tls.cert)`,
	"http:\n  tls:\n    cert: a.pem\n    key: b.pem":           `gudok.yaml:3: http.tls.cert: "a.pem" cannot be read: no such file or directory`,
	"http:\n  tls:\n    cert: gudok.yaml\n    key: b.pem":      `gudok.yaml:4: http.tls.key: "b.pem" cannot be read: no such file or directory`,
	"http:\n  tls:\n    cert: gudok.yaml\n    key: gudok.yaml": `gudok.yaml:3: http.tls.cert: "gudok.yaml" and "gudok.yaml" are not a certificate and its key: tls: failed to find any PEM data in certificate input`,
	"tcp: {tls_listen: \"127.0.0.1:61614\"}":                   `gudok.yaml:1: tcp.tls_listen: "127.0.0.1:61614" needs a certificate (set tcp.tls.cert and tcp.tls.key)`,
	"tcp: {tls: {cert: a.pem, key: b.pem}}":                    `gudok.yaml:1: tcp.tls.cert: "a.pem" is not used, because tcp.tls_listen is empty (set it, or remove the certificate)`,

	// web
	"http: {public_hosts: [\"https://example.org\"]}":     `gudok.yaml:1: http.public_hosts[0]: "https://example.org" is not a host (write broker.example.org)`,
	"http: {allowed_origins: [\"https://example.org/\"]}": `gudok.yaml:1: http.allowed_origins[0]: "https://example.org/" is not an origin (write https://app.example.org, https://*.example.org, null or *)`,
	"http: {allowed_origins: [\"*\", example.org]}":       `gudok.yaml:1: http.allowed_origins[1]: "example.org" is not an origin (write https://app.example.org, https://*.example.org, null or *)`,
	"websocket: {path: ws}":                               `gudok.yaml:1: websocket.path: "ws" is not a path (write /ws)`,
	"websocket: {path: /a//b}":                            `gudok.yaml:1: websocket.path: "/a//b" is not a path (write /ws)`,
	"websocket: {path: \"/{x}\"}":                         `gudok.yaml:1: websocket.path: "/{x}" is not a path (write /ws)`,
	"websocket: {path: /healthz}":                         `gudok.yaml:1: websocket.path: "/healthz" is taken by something else (write /ws)`,

	// values that do not fit together
	"heartbeat:\n  min: 6m":                                      `gudok.yaml:2: heartbeat.min: "6m" is more than heartbeat.max, which is 5m`,
	"heartbeat:\n  max: 500ms":                                   `gudok.yaml:2: heartbeat.max: "500ms" is less than heartbeat.min, which is 1s`,
	"heartbeat:\n  max: 5s":                                      `gudok.yaml:2: heartbeat.max: "5s" is less than heartbeat.send, which is 10s`,
	"heartbeat: {send: 0, min: 20s}":                             `gudok.yaml:1: heartbeat.min: "20s" is more than heartbeat.receive, which is 10s`,
	"heartbeat: {send: 500ms}":                                   `gudok.yaml:1: heartbeat.send: "500ms" is not between heartbeat.min and heartbeat.max (write 0 or a value from 1s to 5m)`,
	"heartbeat: {receive: 10m}":                                  `gudok.yaml:1: heartbeat.receive: "10m" is not between heartbeat.min and heartbeat.max (write 0 or a value from 1s to 5m)`,
	"limits: {header_line: 64KiB}":                               `gudok.yaml:1: limits.header_line: "64KiB" is more than limits.header_bytes, which is 32KiB`,
	"limits: {header_bytes: 4KiB}":                               `gudok.yaml:1: limits.header_bytes: "4KiB" is less than limits.header_line, which is 8KiB`,
	"limits: {memory: 8MiB}":                                     `gudok.yaml:1: limits.memory: "8MiB" is less than the broker itself needs (write 0 or a value from 16MiB)`,
	"limits: {outboxes: 1KiB}":                                   `gudok.yaml:1: limits.outboxes: "1KiB" is out of bounds (write a value between 1MiB and 1024TiB)`,
	"watchdog: {exit: 10s}":                                      `gudok.yaml:1: watchdog.exit: "10s" is less than watchdog.warn, which is 30s`,
	"watchdog: {warn: 3m}":                                       `gudok.yaml:1: watchdog.warn: "3m" is more than watchdog.exit, which is 2m`,
	"admin: {pprof: maybe}":                                      `gudok.yaml:1: admin.pprof: "maybe" is not known (write yes, no)`,
	"websocket: {path: /metrics}":                                `gudok.yaml:1: websocket.path: "/metrics" is taken by something else (write /ws)`,
	"store: {path: ''}":                                          `gudok.yaml:1: store.path: "" is no directory (write data)`,
	"policies: [{ttl: 1s}]":                                      `gudok.yaml:1: policies[0].match: is missing or empty (name a destination, or write /queue/**)`,
	"policies: [{match: queue/a}]":                               `gudok.yaml:1: policies[0].match: "queue/a" does not begin with /topic/, /queue/ or /dlq/ (write /queue/**)`,
	"policies: [{match: /queue/**.a}]":                           `gudok.yaml:1: policies[0].match: "/queue/**.a" has "**" before its end (it stands for any number of segments)`,
	"policies: [{match: /queue/a, dead_letter: x}]":              `gudok.yaml:1: policies[0].dead_letter: "x" is no queue (write /dlq/NAME, /queue/NAME or none)`,
	"policies: [{match: /queue/a, overflow: drop}]":              `gudok.yaml:1: policies[0].overflow: "drop" is not known (write reject, drop-oldest)`,
	"policies: [{match: /queue/a, overflow: drop-oldest}]":       `gudok.yaml:1: policies[0].overflow: "drop-oldest" needs a bound (set max_messages or max_bytes)`,
	"policies: [{match: /queue/a, redelivery: {max_delay: 1s}}]": `gudok.yaml:1: policies[0].redelivery.max_delay: bounds nothing (set redelivery.delay too)`,
	"store: {engine: jetstream}":                                 `gudok.yaml:1: store.engine: "jetstream" is not there yet in this version (write bolt or memory)`,
	"store: {engine: redis}":                                     `gudok.yaml:1: store.engine: "redis" is not known (write bolt or memory)`,

	// users
	"users: alice":                                   `gudok.yaml:1: users: is a list (write [a, b], or - a in lines of their own)`,
	"users: [alice]":                                 `gudok.yaml:1: users[0]: is a group of keys (write them indented below it)`,
	"users:\n  - groups: [a]":                        `gudok.yaml:2: users[0].name: is missing or empty (give the user a name)`,
	"users:\n  - name: a\n\n  - name: b":             `gudok.yaml:2: users[0].password_hash: is missing or empty (make one with: broker passwd)`,
	"users:\n  - name: a\n    password_hash: secret": `gudok.yaml:3: users[0].password_hash: is not a bcrypt or argon2id hash (make one with: broker passwd)`,
	"users:\n  - name: ' a'\n    password_hash: x":   `gudok.yaml:2: users[0].name: " a" is no name (at most 256 bytes, no blank at either end)`,
	"users:\n- {name: a, password_hash: " + hash + "}\n- {name: a, password_hash: " + hash + "}": `gudok.yaml:3: users[1].name: "a" is the name of users[0] already (remove one)`,

	// rules
	"rules: [{send: [/topic/a]}]":                                           `gudok.yaml:1: rules[0].who: is missing or empty (write "*", NAME, group:NAME, claim:NAME=VALUE or anonymous)`,
	"rules:\n  - who: a\n    sends: [/topic/a]":                             `gudok.yaml:3: rules[0].sends: no setting has this name (did you mean rules[0].send?)`,
	"rules:\n  - who: a\n    send: /topic/a":                                `gudok.yaml:3: rules[0].send: is a list (write [a, b], or - a in lines of their own)`,
	"rules:\n  - who: a\n    deny:\n      - \"\"":                           `gudok.yaml:4: rules[0].deny[0]: is empty (remove it)`,
	"rules:\n  - who: *\n    send: [/topic/a]":                              `gudok.yaml:2: "*" is YAML that is not read here (quote it if it is text; anchors, aliases, tags and complex keys are refused)`,
	"rules: [{who: a}]\nusers:\n- {name: a.b, password_hash: " + hash + "}": `gudok.yaml:3: users[0].name: "a.b" has a '.' in it, which separates segments of destinations: no user may have one where there are rules (rename the user)`,
}

func TestFaults(t *testing.T) {
	for text, want := range faults {
		_, err := load(t, text)
		if err == nil {
			t.Errorf("%.80q was accepted", text)
		} else if err.Error() != want {
			t.Errorf("%.80q\n got %s\nwant %s", text, err, want)
		}
		var ce *conf.Error
		if !errors.As(err, &ce) {
			t.Errorf("%.80q: %T", text, err)
		}
	}
}

func TestSyntaxIsToldInOneLine(t *testing.T) {
	for _, text := range []string{"a: [", "a: \"b", "a: b: c", "a:\n\t- b", "}", "a: {b: c", "@a: b", "log: {level: info}}"} {
		_, err := load(t, text)
		if err == nil {
			t.Errorf("%q was accepted", text)
		} else if s := err.Error(); strings.Contains(s, "\n") || !strings.HasPrefix(s, "gudok.yaml:") {
			t.Errorf("%q: %q", text, s)
		}
	}
}

func TestUnreadableFile(t *testing.T) {
	t.Chdir(t.TempDir())
	for path, want := range map[string]string{
		"none.yaml": "configuration file none.yaml: no such file or directory",
		".":         "configuration file .: is a directory",
	} {
		if _, err := conf.Load(path, nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

func TestOpenWithUsersIsAllowed(t *testing.T) {
	c, err := load(t, "http: {listen: \":0\"}\nusers: [{name: a, password_hash: "+hash+"}]")
	if err != nil || c.HTTP.Listen != ":0" {
		t.Errorf("%v", err)
	}
}

func TestLimitsOfUsersKnownElsewhere(t *testing.T) {
	for more, ok := range map[string]bool{"": false, "auth: {http: {url: \"https://id.example.org/login\"}}\n": true,
		"jwt: {issuer: x, audience: y, jwks_url: \"https://id.example.org/keys\"}\n": true} {
		if _, err := load(t, more+"users: [{name: ann, limits: {connections: 3}}]\n"); (err == nil) != ok {
			t.Errorf("%s: %v", more, err)
		}
		if _, err := load(t, more+"users: [{name: ann}]\n"); err == nil {
			t.Errorf("%s: a user without anything is taken", more)
		}
	}
}

func TestLoopbackNeedsNoUsers(t *testing.T) {
	for _, a := range []string{"127.0.0.1:0", "localhost:1", "[::1]:1", "127.9.9.9:1"} {
		if _, err := load(t, "tcp: {listen: \""+a+"\"}"); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

// certificate makes a self-signed pair in PEM files and gives their paths.
func certificate(t testing.TB) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
