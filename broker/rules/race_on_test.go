//go:build race

package rules_test

const race = true
