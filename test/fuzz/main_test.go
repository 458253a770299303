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
