package auth

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"time"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/store/mutant"
)

// What of a client's certificate is the user's name: the common name of its subject, or the e-mail
// address or DNS name that it is for.
const (
	UserCN    = "cn"
	UserEmail = "email"
	UserDNS   = "dns"
)

// certificateUser is who presented a certificate and until when it holds: the full chain must have
// been verified, and what is asked for must be there exactly once.
func certificateUser(state *tls.ConnectionState, field string) (name string, until time.Time, err error) {
	if mutant.Is(mutant.CertificateUnverified) && len(state.VerifiedChains) == 0 && len(state.PeerCertificates) > 0 {
		state = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{state.PeerCertificates}}
	}
	if len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return "", until, refusal("the certificate is of nobody whose certificates are taken")
	}
	leaf := state.VerifiedChains[0][0]
	names := certificateNames(leaf, field)
	if len(names) != 1 || names[0] == "" {
		return "", until, refusal("the certificate has not exactly one " + field)
	}
	if broker.CheckName(names[0]) != nil {
		return "", until, refusal("the certificate's user has a name that cannot be one here")
	}
	if !time.Now().Before(leaf.NotAfter) { // presented long ago, in a session that was resumed
		return "", until, broker.ErrExpired
	}
	return names[0], leaf.NotAfter, nil
}

func certificateNames(c *x509.Certificate, field string) []string {
	switch field {
	case UserEmail:
		return c.EmailAddresses
	case UserDNS:
		return c.DNSNames
	}
	var all []string
	for _, n := range c.Subject.Names {
		if s, ok := n.Value.(string); ok && n.Type.Equal(commonName) {
			all = append(all, s)
		}
	}
	return all
}

var commonName = asn1.ObjectIdentifier{2, 5, 4, 3}
