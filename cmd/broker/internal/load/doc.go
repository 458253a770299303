// Package load puts measured load on any STOMP broker, over WebSocket or TCP, and says what the
// broker spent on it.
//
// The client shares its cores with the broker, so it does as little as it can: it scans frames
// instead of decoding them, reads the clock once per read, and writes frames that were made
// beforehand. A [Target] says where the broker is, [Fanout], [Queue] and [Idle] are the loads, and
// each gives a [Report]. Every load is bounded in time and in count, and stops early when its
// context ends; the report then tells what was seen so far.
package load
