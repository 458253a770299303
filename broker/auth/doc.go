// Package auth checks logins against the users of the configuration: their passwords are kept as
// bcrypt or argon2id hashes.
//
// Such a hash is made to be slow. So at most as many are computed at once as there are cores, and
// a login that was right is remembered for a minute (as a keyed digest, never as it was given),
// because after a broken network all clients come back at once. A login that does not exist costs
// as much as one that does, so that time does not tell who is a user.
package auth
