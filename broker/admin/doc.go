// Package admin is what a person or a machine sees of a broker over HTTP: a page at / that tells what
// runs and where, and on which one can subscribe and send; figures for Prometheus at /metrics; /healthz and
// /readyz; and Go's profiles.
//
// Where clients have to log in, so has whoever wants to see more than that the broker is there: by HTTP
// Basic, a Bearer token or a certificate, and with a grant where there are rules (see [Options]).
package admin
