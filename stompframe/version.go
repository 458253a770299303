package stompframe

import "bytes"

// Version is a version of the protocol: 10, 11 or 12. The zero value is the time before CONNECT,
// when headers are read and written without escapes (STOMP 1.2, Value Encoding).
type Version uint8

// The versions Gudok speaks.
const (
	V10 Version = 10
	V11 Version = 11
	V12 Version = 12
)

// Supported is the list of versions as the version header of a refusal says it.
const Supported = "1.0,1.1,1.2"

// String is "1.0", "1.1", "1.2", or empty for any other value.
func (v Version) String() string {
	switch v {
	case V10:
		return "1.0"
	case V11:
		return "1.1"
	case V12:
		return "1.2"
	}
	return ""
}

// Negotiate picks the highest version that both sides speak from the value of a CONNECT's
// accept-version header; present tells whether there was one. Without it the client speaks 1.0
// (STOMP 1.2, Protocol Negotiation). Unknown versions in the list are passed over, spaces around
// items too; ok is false if nothing is left.
func Negotiate(accept []byte, present bool) (v Version, ok bool) {
	if !present {
		return V10, true
	}
	for item := range bytes.SplitSeq(accept, []byte{','}) {
		switch string(bytes.Trim(item, " \t")) {
		case "1.0":
			v = max(v, V10)
		case "1.1":
			v = max(v, V11)
		case "1.2":
			v = max(v, V12)
		}
	}
	return v, v != 0
}
