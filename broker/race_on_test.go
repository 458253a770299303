//go:build race

package broker_test

const race = true
