package transport_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gudokmq/gudok/transport"
)

// Who a handler behind Guard is asked by: a trusted proxy's word, nobody else's.
func TestClient(t *testing.T) {
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:1000", "", "192.0.2.1:1000"},
		{"192.0.2.1:1000", "203.0.113.9", "192.0.2.1:1000"},
		{"10.0.0.1:1000", "203.0.113.9", "203.0.113.9:0"},
		{"10.0.0.1:1000", "198.51.100.1, 203.0.113.9", "203.0.113.9:0"},
		{"10.0.0.1:1000", "", "10.0.0.1:1000"},
		{"nowhere", "", "<nil>"},
	} {
		got := "not called"
		h := transport.Guard(transport.Options{TrustedProxies: []string{"10.0.0.0/8"}}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = "<nil>"
			if a := transport.Client(r); a != nil {
				got = a.String()
			}
		}))
		r := httptest.NewRequest("GET", "http://localhost/", nil)
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
