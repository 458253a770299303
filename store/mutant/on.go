//go:build mutant

package mutant

import "os"

var planted = Name(os.Getenv("MUTANT"))

// Is tells whether the bug is there.
func Is(n Name) bool { return n == planted }
