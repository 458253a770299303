// Command broker runs Gudok, a STOMP message broker, and holds the tools that go with it.
// Without arguments it serves on loopback; "broker help" tells the rest.
package main

import "os"

// version is what is told to clients and people; a release build sets it.
var version = "0.1.0"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
