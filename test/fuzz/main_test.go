package main

import (
	"slices"
	"testing"
)

// What must be fuzzed is found.
func TestFind(t *testing.T) {
	all, err := find("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []target{
		{"./stompframe", "FuzzChunking"}, {"./stompframe", "FuzzRoundTrip"}, {"./stompframe", "FuzzDiffGoStomp"}, {"./broker", "FuzzTwoParty"},
		{"./broker", "FuzzDestinations"}, {"./broker", "FuzzHeartBeat"}, {"./broker/auth", "FuzzCredentials"}, {"./broker/auth", "FuzzClaims"}, {"./broker/auth", "FuzzKeys"},
		{"./broker/rules", "FuzzPolicy"}, {"./conf", "FuzzLoad"}, {"./store/bolt", "FuzzParse"}, {"./transport", "FuzzOffer"}, {"./transport", "FuzzFront"},
	} {
		if !slices.Contains(all, want) {
			t.Errorf("%s is not among %v", want, all)
		}
	}
}

// The end of the time is no failure; an input that fails is one, also at the end.
func TestRanOut(t *testing.T) {
	const begin = "fuzz: elapsed: 1m0s, execs: 511800 (0/sec), new interesting: 46 (total: 681)\n--- FAIL: FuzzKeys (60.36s)\n"
	const end = "FAIL\nexit status 1\nFAIL\tgithub.com/gudokmq/gudok/broker/auth\t60.379s\n"
	for out, want := range map[string]bool{
		begin + "    context deadline exceeded\n" + end:                                                                       true,
		begin + "    --- FAIL: FuzzKeys (0.00s)\n        keys_test.go:30: context deadline exceeded\n" + end:                  false,
		begin + "    --- FAIL: FuzzKeys (0.00s)\n    context deadline exceeded\n" + end:                                       false,
		begin + "    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzKeys/5843e8fe3aeae6df\n" + end: false,
		begin + "    fuzzing process hung or terminated unexpectedly: exit status 2\n" + end:                                  false,
		"fuzz: minimizing 48-byte failing input file\n" + begin + "    context deadline exceeded\n" + end:                     false,
		"--- FAIL: FuzzKeys (60.36s)\n    context deadline exceeded\n--- FAIL: FuzzOther (60.36s)\n" + end:                    false,
		"--- FAIL: FuzzOther (60.36s)\n    context deadline exceeded\n" + end:                                                 false,
		"# github.com/gudokmq/gudok/broker/auth\n./keys.go:1:1: context deadline exceeded\n" + end:                            false,
	} {
		if got := ranOut([]byte(out), target{"./broker/auth", "FuzzKeys"}); got != want {
			t.Errorf("%v, want %v:\n%s", got, want, out)
		}
	}
}
