// Package rules decides who may send and subscribe where, by the rules of the configuration.
//
// A rule names whom it is for and patterns of destinations: what they may send to, what they may
// subscribe to, and what is denied them for both. All rules that are for a principal count
// together, in whatever order they stand: what none grants is refused, and a deny beats a grant.
//
// # Patterns
//
// A pattern is cut into segments at '.' and '/' alike. "*" stands for one segment; "**", "#" or
// ">", at the end, for any number of them, none too; "{user}" for one segment that is the
// principal's name, whatever characters it has. That is how a SUBSCRIBE's patterns match, but for
// "{user}". /user/queue/x means /user/{user}/queue/x, as it does in a frame.
//
// A SUBSCRIBE to a pattern is granted only where all that it can match is. What it can match and
// is denied is kept from it message by message.
//
// # Cost
//
// The patterns of all principals that the same rules are for are put together once. A decision
// costs at most the segments of a name times the number of those patterns.
package rules
