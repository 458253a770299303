//go:build !mutant

package mutant

// Is tells whether the bug is there.
func Is(Name) bool { return false }
