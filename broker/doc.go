// Package broker is the router: sessions and their commands, destinations, topics, queues,
// subscriptions, and the outbox of each session. It knows sockets only as [Conn] and storage
// only as store.Engine, and can be embedded:
//
//	b, err := broker.New(broker.Options{Engine: memory.New(memory.Options{})})
//	http.Handle("/ws", transport.NewWebSocket(b, transport.Options{}))
//
// # The words
//
// A session is one client's connection from its first byte to its last. A subscription is one
// SUBSCRIBE of a session. A topic hands each message to all who are subscribed at that moment;
// a queue lives in the store and hands each message to one of its consumers. The outbox of a
// session holds what waits to be written to it; a flusher runs only while it is not empty.
//
// # Goroutines
//
// The session's reader is the goroutine that called Serve: it decodes, routes, and ends the
// session. One that was begun with Begin is, after a wait, another: most sessions wait most of the time, and a
// goroutine that is new to wait keeps a small stack, which Shutdown and Begin's over answer for. Topic messages it gathers and delivers before it waits for anything (publish.go), and is
// itself the flusher of the outboxes that were empty, as long as their networks take all at once.
// Otherwise an outbox has a flusher of its own: started by what is put into an empty outbox, or by what
// the network did not take, it ends when the outbox is empty. The session's reader waits for the
// flusher before it ends. Heart-beats and the time to
// CONNECT are the wheel's, which serves all sessions from one timer: a turn runs on a short-lived
// goroutine of the time package and only touches outboxes or endings. The sampler, from New to Shutdown,
// looks at what waits in all outboxes and at the memory in use. Engine callbacks come on
// whatever goroutine the engine uses and never block.
//
// # Locks
//
// Taken in this order, each released before I/O, before a call into an engine, and before a
// Conn is touched: Broker.mu, topics.mu, queue.mu, receipts.mu, outbox.mu, wheel.mu. A queue puts
// deliveries into outboxes under queue.mu, so that their order is the queue's. durables.mu comes
// before topics.mu. expiry.mu and contexts.mu are taken alone; census.mu and that of the sessions' numbers alone or under
// Broker.mu.
//
// # Panics
//
// A panic while a session reads, handles or writes ends that session, with its stack in the log. One
// with a store's code on the stack ends the process: nobody could say what is still true of what
// the store promised.
package broker
