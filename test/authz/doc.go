// Package authz proves who may do what against the real binary: the matrix of principals, operations
// and destinations on every transport, held against an oracle; and that reloads act on a thousand live
// sessions.
package authz
