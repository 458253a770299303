//go:build !race

package bolt

const race = false
