package stompframe

import "github.com/go-stomp/stomp/v3/frame"

// command is an index into commands; 0 is none.
type command uint8

// maxCommand is how long a line may get before it surely is no command.
const maxCommand = 16

// CommandLine is how many bytes the longest line that could be a command has, its EOL included.
const CommandLine = maxCommand + 2

// commands tells of each command whether it may have a body (STOMP 1.2, Body) and whether its
// headers are never escaped (STOMP 1.2, Value Encoding).
var commands = [...]struct {
	name          string
	body, literal bool
}{
	{},
	{name: frame.SEND, body: true},
	{name: frame.MESSAGE, body: true},
	{name: frame.ERROR, body: true},
	{name: frame.CONNECT, literal: true},
	{name: frame.STOMP, literal: true},
	{name: frame.CONNECTED, literal: true},
	{name: frame.SUBSCRIBE},
	{name: frame.UNSUBSCRIBE},
	{name: frame.ACK},
	{name: frame.NACK},
	{name: frame.BEGIN},
	{name: frame.COMMIT},
	{name: frame.ABORT},
	{name: frame.DISCONNECT},
	{name: frame.RECEIPT},
}

// lookup finds a command by its name, case and all.
func lookup(name []byte) command {
	for i := 1; i < len(commands); i++ {
		if string(name) == commands[i].name {
			return command(i) // #nosec G115 -- there are fifteen
		}
	}
	return 0
}
