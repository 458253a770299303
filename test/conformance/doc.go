// Package conformance holds the broker to the specifications, clause by clause, from outside: STOMP
// 1.0, 1.1 and 1.2 on every transport, and RFC 6455. Where a specification leaves something open,
// the documented behaviour of Gudok is what counts. There is nothing here but tests.
package conformance
