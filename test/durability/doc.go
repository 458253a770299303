// Package durability proves what a receipt promises: the real broker is killed, and the power of its
// disk is cut, while clients publish, consume and commit; afterwards every receipted message is
// there, what was acknowledged stays gone, the order holds, and no byte is altered. A ledger in the
// test's process notes what each client intended, was promised and got, and tells what is wrong.
//
// Each test prints its counts and its seed; GUDOK_TEST_SEED repeats one. Nothing is tried again, and
// nothing is waited for but what must come.
package durability
