// Package security proves on the real broker what keeps out who does not belong: logins, and the
// attacks that hit other brokers, each named by its number.
package security
