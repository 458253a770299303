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

// Rebounder is what an Engine offers too if it asks once for the bounds of a queue: Rebound has it
// ask again for all. What is over its limit stays; it may be called from anywhere.
type Rebounder interface {
	Rebound()
}
