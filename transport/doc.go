// Package transport brings connections to the broker: [WebSocket] is an http.Handler, [TCP] serves
// listeners, with or without TLS. Each connection becomes a broker.Conn and is handed to a
// [Server] on a goroutine of its own; what a session sees is the same on every way in.
//
// WebSocket frames (RFC 6455) are read and written here: what a connection keeps while nothing comes
// is one small buffer, payload is unmasked where it was read, and batches of frames go out with one
// write each. Beneath both kinds of Conn is a socket, which keeps deadlines, the time of the last
// byte and the way a connection ends.
package transport
