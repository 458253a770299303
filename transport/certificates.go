package transport

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificates returns a TLS configuration, for HTTPS and for [TCPOptions], with the certificate
// chain of certFile and the key of keyFile, both PEM. The files are looked at in each handshake
// and read again when one was replaced or changed; as long as the new pair cannot be read, the
// old one stays in use and slog's default logger is told once. An error names the file.
func Certificates(certFile, keyFile string) (*tls.Config, error) {
	p := &pair{certFile: certFile, keyFile: keyFile}
	seen, err := p.look()
	if err != nil {
		return nil, err
	}
	if p.cert, err = p.load(); err != nil {
		return nil, err
	}
	p.seen = seen
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.current(), nil },
	}, nil
}

// ClientCertificates makes c ask for client certificates and verify the whole chain of those that
// are presented, up to the ones in caFile (PEM). Who has none gets through and must prove otherwise
// who he is. An error names the file.
func ClientCertificates(c *tls.Config, caFile string) error {
	text, err := os.ReadFile(caFile)
	if err != nil {
		return fmt.Errorf("read who vouches for clients: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("read who vouches for clients: no certificate in %s", caFile)
	}
	c.ClientCAs, c.ClientAuth = pool, tls.VerifyClientCertIfGiven
	return nil
}

// pair is a certificate and its key in two files.
type pair struct {
	certFile, keyFile string

	// mu guards the certificate in use and the files as they were when it was looked for.
	mu   sync.Mutex
	cert *tls.Certificate
	seen [2]stamp
}

// stamp tells one content of a file from the next.
type stamp struct {
	changed time.Time
	size    int64
}

func (p *pair) look() (now [2]stamp, err error) {
	for i, name := range []string{p.certFile, p.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return now, fmt.Errorf("look at certificate file: %w", err) // err has the name
		}
		now[i] = stamp{info.ModTime(), info.Size()}
	}
	return now, nil
}

func (p *pair) load() (*tls.Certificate, error) {
	chain, err := os.ReadFile(p.certFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	key, err := os.ReadFile(p.keyFile)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s with key %s: %w", p.certFile, p.keyFile, err)
	}
	return &c, nil
}

// current is the certificate to use now. While one handshake reads a new pair, others get the old.
func (p *pair) current() *tls.Certificate {
	now, err := p.look()
	p.mu.Lock()
	cert := p.cert
	changed := err == nil && now != p.seen // a file that is missing is about to be replaced
	if changed {
		p.seen = now
	}
	p.mu.Unlock()
	if !changed {
		return cert
	}
	fresh, err := p.load()
	if err != nil {
		slog.Warn("changed certificate not usable, keeping the old one", "err", err)
		return cert
	}
	p.mu.Lock()
	p.cert = fresh
	p.mu.Unlock()
	return fresh
}
