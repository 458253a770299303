//go:build !race

package harness

// Race tells whether the race detector is on, in the test and in its broker.
const Race = false
