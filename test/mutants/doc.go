// Package mutants plants bugs into limits and rules and demands that a named test finds each; those of
// durability are in test/durability.
package mutants
