package limits

import (
	"flag"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gudokmq/gudok/conf"
)

var groups = slices.Concat(sessions, []*group{&total, &addresses, &named, &rate, &logins, &queues, &times, &slow, &all, &memory})

// TestMatrix holds every limit on every transport; it prints how many cells there were.
func TestMatrix(t *testing.T) {
	rows := 0
	for _, g := range groups {
		rows += len(g.rows)
	}
	t.Run("groups", func(t *testing.T) {
		for _, g := range groups {
			t.Run(g.name, g.run)
		}
	})
	n := cells.Load()
	t.Logf("%d limits, %d cells", rows, n)
	if !testing.Short() && !filtered() && (rows < 60 || n < 3000) {
		t.Error("60 limits and 3,000 cells are the least")
	}
}

// filtered tells that only some of the cells were asked for.
func filtered() bool { return strings.Contains(flag.Lookup("test.run").Value.String(), "/") }

// TestEveryLimitHasARow: nobody adds a limit without cells for it.
func TestEveryLimitHasARow(t *testing.T) {
	all, users := map[string]bool{}, map[string]bool{}
	for _, g := range groups {
		for _, r := range g.rows {
			all[r.limit] = true
			if r.login != "" {
				users[r.limit] = true
			}
		}
	}
	for of, has := range map[reflect.Type]map[string]bool{reflect.TypeFor[conf.Limits](): all, reflect.TypeFor[conf.UserLimits](): users} {
		for i := range of.NumField() {
			if key := of.Field(i).Tag.Get("yaml"); !has[key] {
				t.Errorf("%s.%s has no row", of.Name(), key)
			}
		}
	}
}
