// Package auth finds out who a client is. [Chain] is the broker.Authenticator of all ways to log in:
// passwords, tokens (JWT), client certificates, and a service that is asked; [Passwords] is the one
// for embedders who need no more than a list of users.
//
// A password hash is made to be slow. So few are computed at once, a login that was right is
// remembered for a minute (as a keyed digest, never as it was given), because after a broken network
// all clients come back at once, and logins that fail are slowed. A login that does not exist costs
// as much as one that does, so that time does not tell who is a user.
//
// A token is believed by a key whose algorithm is fixed, and by nothing that it says itself. Keys
// that are fetched have a goroutine of their own, from Open to Close; no login waits for it longer
// than a few seconds, and a fetch that fails changes nothing.
//
// Errors are logged by the broker: none repeats what a client has offered.
package auth
