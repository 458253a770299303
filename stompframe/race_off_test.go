//go:build !race

package stompframe_test

const raceEnabled = false
