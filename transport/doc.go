// Package transport brings connections to the broker: [WebSocket] is an http.Handler, [TCP] serves
// listeners, with or without TLS. Each connection becomes a broker.Conn and is handed to a
// [Server] on a goroutine of its own, or to a [Beginner]; what a session sees is the same on every way in.
//
// [Guard] is what every handler asks first about Host and Origin. [ProxyListener] reads the headers of the
// PROXY protocol; with Options.TrustedProxies those of HTTP count, too.
//
// The WebSocket handshake is coder/websocket's; frames are read and written here, whole batches with one
// write each, compressed messages (RFC 7692) without a window from one to the next. Beneath both kinds of Conn is
// a socket, which keeps deadlines, the time of the last byte and the way a connection ends.
package transport
