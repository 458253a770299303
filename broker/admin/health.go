package admin

import (
	"fmt"
	"net/http"

	"github.com/gudokmq/gudok/store/mutant"
)

// health answers with what check says: 200, or 503. Anyone may know that; why it is so is for who may see
// the status.
func (o *Options) health(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		var err error
		if check != nil {
			err = check()
		}
		if err == nil {
			fmt.Fprintln(w, "ok")
			return
		}
		why := ""
		if o.mayKnow(r) {
			why = ": " + err.Error()
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, "not ok%s\n", why)
	}
}

// mayKnow tells whether who asks may know why.
func (o *Options) mayKnow(r *http.Request) bool {
	return o.judge(r, nameStatus) == nil || mutant.Is(mutant.HealthTells)
}
