package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"parley/contracttest/redistest"
	"parley/store"
)

// certificate makes one that is its own authority.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// terminate puts TLS in front of an address.
func terminate(t *testing.T, addr string, c *tls.Config) string {
	t.Helper()
	plain, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := tls.NewListener(plain, c)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			outer, err := l.Accept()
			if err != nil {
				return
			}
			inner, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
			if err != nil {
				_ = outer.Close()
				return
			}
			go func() { _, _ = io.Copy(inner, outer); _ = inner.Close() }()
			go func() { _, _ = io.Copy(outer, inner); _ = outer.Close() }()
		}
	}()
	return plain.Addr().String()
}

// STORE-05: rediss:// is TLS of at least version 1.2 to a server whose
// certificate is trusted and is for that host, or nothing.
func TestTLS(t *testing.T) {
	redis := redistest.Start(t).Addr()
	cert, trusted := certificate(t)
	addr := terminate(t, redis, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	old := terminate(t, redis, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	_, port, _ := net.SplitHostPort(addr)
	for _, c := range []struct {
		what, addr string
		cas        *x509.CertPool
		want       error
	}{
		{"a trusted server", addr, trusted, nil},
		{"an unknown authority", addr, x509.NewCertPool(), store.ErrUnreachable},
		{"another host's certificate", "localhost:" + port, trusted, store.ErrUnreachable},
		{"a server that only knows old versions", old, trusted, store.ErrUnreachable},
	} {
		s, err := New(Options{URL: "rediss://" + c.addr, RootCAs: c.cas, Timeout: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Ping(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	s, err := New(Options{URL: "rediss://" + addr + "?skip_verify=true"})
	if !errors.Is(err, ErrUnverified) || s != nil || strings.Contains(err.Error(), addr) {
		t.Errorf("skip_verify: %v", err)
	}
}
