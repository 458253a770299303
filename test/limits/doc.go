// Package limits holds the real broker to its limits: each at one less, at the limit, and at one more,
// on TCP, TLS, WebSocket and both together, before CONNECT, in one packet with it and after it, with
// hard and with soft errors; beside honest clients who must never notice.
package limits
