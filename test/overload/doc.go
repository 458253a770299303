// Package overload proves on the real broker what is left of it while too much is asked of it, and when
// the network fails: storms of connections, readers that stall, bytes that drip, no file descriptor left, a
// disk that is slow, peers that are gone without a word, links that break anywhere, and the end under load.
// Beside each of them honest clients run, whose delays and losses are what counts.
//
// Each test prints its counts and figures. Counts are exact; bounds of time leave room for a busy machine.
package overload
