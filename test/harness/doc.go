// Package harness is what the end-to-end tests share: the real broker, built and started as a
// process of its own, and a raw STOMP client over TCP and WebSocket that hides nothing and
// forgives nothing.
//
// A test package calls [Main] from its TestMain, [Start] for a [Broker], and [Broker.Dial] for a
// [Client]. What the broker sends is parsed strictly: whatever departs from the specification
// fails the test that reads it. That nothing arrives is proved by a later frame's receipt
// ([Client.Sync]), never by waiting.
//
// No broker may tell a secret, whatever its test is about: what it prints, its command line, its ERRORs and its
// answers over HTTP are searched for the [Canary], which is in all passwords, and for what looks like a token, a
// hash, a key or an Authorization header ([LeakInLog]).
package harness

import "time"

// Patience is how long a test waits for what must come; only a failure ever waits that long.
const Patience = 10 * time.Second
