package transport

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
)

// subprotocols in the order of preference.
var subprotocols = [...]string{"v12.stomp", "v11.stomp", "v10.stomp"}

// chooseSubprotocol picks from the words of Sec-WebSocket-Protocol; chosen is one of ours, spelt as the
// client does. Both are empty if none fits.
func chooseSubprotocol(offered []string) (chosen, spelt string) {
	for _, ours := range subprotocols {
		for _, name := range offered {
			if strings.EqualFold(name, ours) {
				return ours, name
			}
		}
	}
	return "", ""
}

// checkUpgrade returns the key of a request that asks for a WebSocket as it should (RFC 6455, 4.2.1),
// or answers it and returns an error.
func checkUpgrade(w http.ResponseWriter, r *http.Request) (key string, err error) {
	refuse := func(status int, text string) (string, error) {
		http.Error(w, text, status)
		return "", errors.New(text)
	}
	h := w.Header()
	switch {
	case !r.ProtoAtLeast(1, 1):
		return refuse(http.StatusUpgradeRequired, "a WebSocket begins with a request of HTTP/1.1 at least, not "+r.Proto)
	case !hasToken(r.Header["Connection"], "upgrade") || !hasToken(r.Header["Upgrade"], "websocket"):
		h.Set("Connection", "Upgrade") // RFC 9110, 15.5.22
		h.Set("Upgrade", "websocket")
		return refuse(http.StatusUpgradeRequired, "this is a WebSocket: the request needs Connection: Upgrade and Upgrade: websocket")
	case r.Method != http.MethodGet:
		h.Set("Allow", http.MethodGet)
		return refuse(http.StatusMethodNotAllowed, "a WebSocket begins with GET, not "+r.Method)
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		h.Set("Sec-WebSocket-Version", "13")
		return refuse(http.StatusBadRequest, "Sec-WebSocket-Version must be 13")
	}
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) == 1 {
		key = strings.TrimSpace(keys[0])
	}
	if !validKey(key) {
		return refuse(http.StatusBadRequest, "the request needs one Sec-WebSocket-Key of 16 bytes in base64")
	}
	return key, nil
}

// hasToken tells whether one of the lists has a token, which is given in lower case.
func hasToken(lists []string, token string) bool {
	for _, list := range lists {
		for t := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.Trim(t, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// keyLength is that of 16 bytes in base64.
const keyLength = 24

func validKey(key string) bool {
	var b [keyLength]byte
	if len(key) != keyLength {
		return false
	}
	n, err := base64.StdEncoding.Decode(b[:], []byte(key))
	return err == nil && n == 16
}

// appendUpgrade appends the answer to a handshake: the key's, the subprotocol if one was chosen, and
// what else is to stand there.
func appendUpgrade(dst []byte, key, subprotocol string, more http.Header) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, 4.2.2
	dst = base64.StdEncoding.AppendEncode(dst, sum[:])
	dst = append(dst, "\r\n"...)
	if subprotocol != "" {
		dst = append(dst, "Sec-WebSocket-Protocol: "...)
		dst = append(dst, subprotocol...)
		dst = append(dst, "\r\n"...)
	}
	if len(more) > 0 {
		var b bytes.Buffer
		_ = more.Write(&b) // to memory; it makes spaces of what could end a line
		dst = append(dst, b.Bytes()...)
	}
	return append(dst, "\r\n"...)
}
