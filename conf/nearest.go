package conf

import "slices"

// nearest finds the name that a mistyped one was probably meant to be, or "".
func nearest[V any](name string, names map[string]V) string {
	best, least := "", len(name)/3+1
	for _, n := range sortedKeys(names) {
		if d := distance(name, n, least); d < least || d == least && best == "" {
			best, least = n, d
		}
	}
	return best
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// distance counts the bytes to insert, remove or change to make b of a. It gives up beyond most,
// so that a name of any length costs little.
func distance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
