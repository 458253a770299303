package transport_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gudokmq/gudok/broker"
	"github.com/gudokmq/gudok/transport"
)

// newPair writes a self-signed certificate for name over the files.
func newPair(t *testing.T, certFile, keyFile, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}))
	put(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

var stampNow = time.Now()

// put writes a file with a time of change of its own.
func put(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	stampNow = stampNow.Add(time.Second)
	if err := os.Chtimes(file, stampNow, stampNow); err != nil {
		t.Fatal(err)
	}
}

func TestCertificatesReload(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	if _, err := transport.Certificates(certFile, keyFile); err == nil || !strings.Contains(err.Error(), certFile) {
		t.Errorf("no files: %v", err)
	}
	newPair(t, certFile, keyFile, "first")
	if _, err := transport.Certificates(certFile, filepath.Join(dir, "other.key")); err == nil || !strings.Contains(err.Error(), "other.key") {
		t.Errorf("no key: %v", err)
	}
	if _, err := transport.Certificates(keyFile, keyFile); err == nil || !strings.Contains(err.Error(), keyFile) {
		t.Errorf("key for certificate: %v", err)
	}
	config, err := transport.Certificates(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if config.MinVersion != tls.VersionTLS12 {
		t.Errorf("minimum version %x", config.MinVersion)
	}
	serves := func(want string) {
		t.Helper()
		c, err := config.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil || leaf.Subject.CommonName != want {
			t.Errorf("serves %q, %v; want %q", leaf.Subject.CommonName, err, want)
		}
	}
	serves("first")
	newPair(t, certFile, keyFile, "second")
	serves("second")
	serves("second")
	put(t, certFile, []byte("half a fi"))
	serves("second")
	os.Remove(certFile)
	serves("second")
	newPair(t, certFile, keyFile, "third")
	serves("third")
}

func certificates(t *testing.T) *tls.Config {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	newPair(t, certFile, keyFile, "test")
	config, err := transport.Certificates(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

var trusting = &tls.Config{InsecureSkipVerify: true}

func TestTCPOverTLS(t *testing.T) {
	var log lockedBuffer
	r := newRecorder()
	lax := certificates(t)
	lax.MinVersion = tls.VersionTLS10 // which does not count
	addr := serveTCP(t, r, transport.TCPOptions{TLS: lax, Logger: logTo(&log)})
	nc, err := tls.Dial("tcp", addr, trusting)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	body := strings.Repeat("x", 100_000)
	io.WriteString(nc, "SEND\n\n"+body+"\x00SEND\n\nhal")
	conn := receive(t, r.conns)
	if p := conn.Peer(); p.Transport != "tcp+tls" || p.TLS == nil || p.TLS.Version != tls.VersionTLS13 || p.Addr.String() != nc.LocalAddr().String() {
		t.Errorf("peer %+v", p)
	}
	if got := receive(t, r.got); !strings.HasPrefix(got, "SEND 100000 bytes") {
		t.Error(got)
	}
	if err := conn.Write([]byte("hello"), patience); err != nil {
		t.Error(err)
	}
	conn.Interrupt()
	if err := r.wait(t); !errors.Is(err, broker.ErrInterrupted) {
		t.Error(err)
	}
	if b, err := io.ReadAll(nc); string(b) != "hello" || err != nil { // nil: by close_notify
		t.Errorf("read %q, %v", b, err)
	}

	old := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	below := dial(t, addr)
	if err := tls.Client(below, old).Handshake(); err == nil {
		t.Fatal("TLS 1.1 accepted")
	}
	io.Copy(io.Discard, below.Conn) // the server closes after it has logged
	plain := dial(t, addr)
	plain.send([]byte("CONNECT\nhost:x\n\n\x00"))
	io.Copy(io.Discard, plain.Conn)
	if n := strings.Count(log.String(), "TLS handshake failed"); n != 2 {
		t.Errorf("log %q", log.String())
	}
}

func TestTLSHandshakeTime(t *testing.T) {
	config := certificates(t)
	synctest.Test(t, func(t *testing.T) {
		h := transport.NewTCP(newRecorder(), transport.TCPOptions{TLS: config, Logger: logTo(new(lockedBuffer))})
		ln := newPipeListener()
		go h.Serve(ln)
		server, client := net.Pipe()
		ln.c <- server
		start := time.Now()
		io.Copy(io.Discard, client)
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("silent client gone after %v", d)
		}
		// Nor does Shutdown wait for one.
		server, client = net.Pipe()
		ln.c <- server
		synctest.Wait()
		start = time.Now()
		if err := h.Shutdown(context.Background()); err != nil || time.Since(start) > 0 {
			t.Errorf("Shutdown: %v after %v", err, time.Since(start))
		}
		client.Close()
	})
}

// A whole conversation with a client that is not ours, over TLS.
func TestLibraryClient(t *testing.T) {
	r := newRecorder()
	h := transport.NewWebSocket(r, quietly(transport.Options{}))
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = certificates(t)
	srv.StartTLS()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting}}
	c, _, err := websocket.Dial(ctx, srv.URL, &websocket.DialOptions{HTTPClient: web, Subprotocols: []string{"v12.stomp"}})
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte{'x'}, 300_000)
	if err := c.Write(ctx, websocket.MessageText, append([]byte("SEND\n\n"), append(body, 0)...)); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, r.got); !strings.HasPrefix(got, "SEND 300000 bytes") {
		t.Error(got)
	}
	conn := receive(t, r.conns)
	if p := conn.Peer(); p.Transport != "websocket+tls" || p.TLS == nil || p.Subprotocol != "v12.stomp" {
		t.Errorf("peer %+v", p)
	}
	if err := conn.Write(conn.AppendFrame(nil, []byte("RECEIPT\n"), []byte("\n\x00"), true), patience); err != nil {
		t.Error(err)
	}
	if typ, b, err := c.Read(ctx); typ != websocket.MessageText || string(b) != "RECEIPT\n\n\x00" || err != nil {
		t.Errorf("read %v %q %v", typ, b, err)
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	if err := r.wait(t); err != io.EOF {
		t.Error(err)
	}
	if err := h.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	srv.Close()
}
