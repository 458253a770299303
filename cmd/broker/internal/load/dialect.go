package load

// dialect is what a load needs of a protocol: STOMP, or that of a broker to compare with.
type dialect interface {
	// subprotocol is offered in the WebSocket handshake, unless empty; opcode is that of our messages.
	subprotocol() string
	opcode() byte
	// packs tells that the messages of one write share one WebSocket message.
	packs() bool
	// login speaks until the broker takes commands, and sets c.server.
	login(c *conn, o dialOptions) error
	// subscribe is the frame that subscribes. With answer, one of kind R comes once that counts.
	subscribe(id int, destination, ack, extra string, answer bool) []byte
	// one reads the frame p begins with into f; 0 means that it is not all there yet. Kind 0 is a
	// heart-beat, which only counts.
	one(p []byte, f *frame) (int, error)
	// template makes the frame that publisher number pub sends.
	template(o Options, pub int) *template
	// fault is a frame of kind E as an error.
	fault(f *frame) error
	// beat is a client's heart-beat, pong its answer to a ping, bye its good-bye; nil if there is none.
	beat() []byte
	pong() []byte
	bye() []byte
}

// speaks is the target's dialect.
func (t Target) speaks() dialect {
	switch t.Protocol {
	case "nats":
		return nats{}
	case "centrifugo":
		return centrifugo{}
	case "bare":
		return bare{}
	case "polling":
		return polling{}
	case "feeding":
		return feeding{}
	}
	return stomp{}
}
