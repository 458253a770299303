package harness

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
)

// leaks counts answers with secrets: a test may look at no error.
var leaks atomic.Int64

// Answered is the error for an answer of a broker, if there is a secret in it; then the tests of the process fail
// whether one looks at it or not. [Parse], [Pages] and a [Client] ask for it.
func Answered(what string, answer []byte) error {
	at := Leak(answer)
	if at == "" {
		return nil
	}
	leaks.Add(1)
	err := fmt.Errorf("the broker tells a secret in %s: %s", what, at)
	fmt.Fprintln(os.Stderr, err)
	return err
}

// Pages is rt for what a broker answers over HTTP: an answer that tells a secret is an error, that of
// [Answered]. [Main] puts it around http.DefaultTransport; a test with a transport of its own wraps that.
func Pages(rt http.RoundTripper) http.RoundTripper { return pages{rt} }

type pages struct{ rt http.RoundTripper }

func (p pages) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := p.rt.RoundTrip(r)
	if err != nil {
		return res, err
	}
	var text bytes.Buffer
	if err := res.Header.Write(&text); err != nil {
		res.Body.Close()
		return nil, err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return nil, err
		}
		text.Write(body)
		res.Body = io.NopCloser(bytes.NewReader(body))
	}
	if err := Answered("the answer to "+r.Method+" "+r.URL.Path, text.Bytes()); err != nil {
		return nil, err
	}
	return res, nil
}

// CloseIdleConnections is for http.Client's.
func (p pages) CloseIdleConnections() {
	if c, ok := p.rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
