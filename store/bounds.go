package store

// Bounds limit one queue. Engines take them, by queue name, as an option; the zero Bounds leave
// the queue to the engine's own limits.
type Bounds struct {
	Messages int   // whatever their state; 0 for no limit
	Bytes    int64 // sum of Message.Size; 0 for no limit
	// DropOldest removes messages that are ready, the oldest first, until the new one fits; where
	// that is not enough, and without it, the new one is refused with ErrFull.
	DropOldest bool
}
