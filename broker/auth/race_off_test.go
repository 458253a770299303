//go:build !race

package auth_test

const race = false
