package stompframe

// Kind is what is wrong with a frame. Its text is stable: it is the message header of the ERROR.
type Kind uint8

// What can be wrong with a frame.
const (
	UnknownCommand   Kind = iota + 1 // not one of the vocabulary, or no EOL after 16 bytes
	NoColon                          // header line without a colon
	EmptyName                        // header line that begins with its colon
	LineTooLong                      // more than Limits.HeaderLine
	TooManyHeaders                   // more than Limits.Headers
	HeadersTooLarge                  // more than Limits.HeaderBytes
	BodyTooLarge                     // more than Limits.Body, announced or come
	FrameTooLarge                    // more than Limits.Frame, announced or come
	BadEscape                        // escape the version does not define
	BareCR                           // 1.2: carriage return that is not part of an EOL
	NULInHeaders                     // frame ended before its blank line
	NotUTF8                          // header line that is not UTF-8
	BadContentLength                 // content-length that is not a number
	BodyTooLong                      // no NUL after as many bytes as content-length said
	BodyNotAllowed                   // body on a frame other than SEND, MESSAGE and ERROR
)

var kindText = [...]string{
	UnknownCommand:   "unknown command",
	NoColon:          "header without colon",
	EmptyName:        "empty header name",
	LineTooLong:      "header line too long",
	TooManyHeaders:   "too many headers",
	HeadersTooLarge:  "header section too large",
	BodyTooLarge:     "body too large",
	FrameTooLarge:    "frame too large",
	BadEscape:        "undefined escape in header",
	BareCR:           "carriage return in header",
	NULInHeaders:     "frame ended in its headers",
	NotUTF8:          "header not UTF-8",
	BadContentLength: "bad content-length",
	BodyTooLong:      "body longer than content-length",
	BodyNotAllowed:   "body not allowed",
}

// String is the stable text, free of anything a peer sent.
func (k Kind) String() string {
	if int(k) < len(kindText) && kindText[k] != "" {
		return kindText[k]
	}
	return "malformed frame"
}

// Error is a malformed frame. Nothing after it can be read from the same stream.
type Error struct {
	// Kind is what is wrong.
	Kind Kind
	// Detail tells where, or which limit it was: one line that may quote the command, a
	// content-length or an escape, but no other value, so that no secret gets into a log.
	Detail string
}

// Error is Kind and Detail.
func (e *Error) Error() string { return e.Kind.String() + ": " + e.Detail }
