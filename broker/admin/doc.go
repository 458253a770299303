// Package admin is what a person or a supervisor sees of a broker over HTTP: a page at / that
// tells what runs and where, and on which one can subscribe and send; and /healthz.
package admin
