// Package stompframe is the wire of STOMP 1.0, 1.1 and 1.2: frames in, frames out, nothing else.
//
// A [Decoder] is fed bytes in any chunks and yields [Frame]s that point into them; it copies
// only a frame that a chunk cut in two, and checks every limit before it keeps a byte. The
// Append functions write frames; a receiver's [Version] decides how headers are escaped. The
// names of commands and headers are those of github.com/go-stomp/stomp/v3/frame; the codec is
// our own, because that package's has neither limits nor rules per version.
//
// The loop of a reader:
//
//	for {
//		ok, err := dec.Next(&f) // until false: it lets go of the memory of the frame before
//		if err != nil {
//			return err
//		}
//		if ok {
//			use(&f)
//			continue
//		}
//		n, err := conn.Read(buf)
//		...
//		dec.Feed(buf[:n])
//	}
package stompframe
