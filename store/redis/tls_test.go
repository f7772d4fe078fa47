package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/store"
)

// certificate makes one that is its own authority, for names; without any it is for
// 127.0.0.1.
func certificate(t *testing.T, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if len(names) == 0 {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
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
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}, pool
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
		s, err := New(Options{URL: "rediss://" + c.addr, RootCAs: c.cas, Timeout: time.Minute})
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

// writePair writes a certificate and its key to files.
func writePair(t *testing.T, certFile, keyFile string, c tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A server that wants a client certificate gets the one in the files, as they
// are at the time of the connection; and a server that refuses one, or gets none,
// is said to do that.
func TestClientCertificate(t *testing.T) {
	redis := redistest.Start(t).Addr()
	cert, trusted := certificate(t)
	ours, clients := certificate(t)
	foreign, _ := certificate(t)
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		config := &tls.Config{
			Certificates: []tls.Certificate{cert}, MinVersion: version, MaxVersion: version,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
		}
		p := faultproxy.Start(t, redis, faultproxy.WithTLS(config))
		open := func(certFile, keyFile string) *Store {
			s, err := New(Options{URL: "rediss://" + p.Addr(), RootCAs: trusted, Timeout: 5 * time.Second, CertFile: certFile, KeyFile: keyFile})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		}
		check := func(what string, s *Store, reason string) {
			t.Helper()
			err := s.Ping(t.Context())
			e, _ := errors.AsType[*store.Error](err)
			if reason == "" && err != nil || reason != "" && (!errors.Is(err, store.ErrUnreachable) || e.Reason != reason) {
				t.Errorf("%s: %s: %v, want %q (%#v)", name, what, err, reason, e)
			}
		}
		check("none", open("", ""), "server asks for a client certificate and got none")
		writePair(t, certFile, keyFile, foreign)
		s := open(certFile, keyFile)
		check("one that the server does not trust", s, "client certificate was refused")
		writePair(t, certFile, keyFile, ours)
		check("one that was replaced since", s, "")
		if err := os.WriteFile(keyFile, []byte("half of it"), 0o600); err != nil {
			t.Fatal(err)
		}
		p.KillConns(faultproxy.FIN)
		check("one that is being replaced", s, "")

		// One that may be shown, and is not, is no failure.
		optional := config.Clone()
		optional.ClientAuth = tls.VerifyClientCertIfGiven
		p.SetTLS(optional)
		check("none where none is required", open("", ""), "")
	}
}

// What cannot be used is found out when the store is made.
func TestBadClientCertificate(t *testing.T) {
	ours, _ := certificate(t)
	other, _ := certificate(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	writePair(t, file("cert"), file("key"), ours)
	writePair(t, file("other cert"), file("other key"), other)
	for what, o := range map[string]Options{
		"no key":             {URL: "rediss://h", CertFile: file("cert")},
		"no certificate":     {URL: "rediss://h", KeyFile: file("key")},
		"no such file":       {URL: "rediss://h", CertFile: file("none"), KeyFile: file("key")},
		"another's key":      {URL: "rediss://h", CertFile: file("cert"), KeyFile: file("other key")},
		"no certificate PEM": {URL: "rediss://h", CertFile: file("key"), KeyFile: file("key")},
		"no TLS":             {URL: "redis://h", CertFile: file("cert"), KeyFile: file("key")},
	} {
		if s, err := New(o); !errors.Is(err, ErrCertificate) || s != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
