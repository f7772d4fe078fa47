package faultproxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificates are server certificates of a proxy, for clients that trust one authority
// and dial 127.0.0.1 or localhost. They are made for one test.
type Certificates struct {
	// Pool holds the authority that clients trust; CAFile is the same as a PEM file.
	Pool   *x509.CertPool
	CAFile string

	Good      *tls.Config // what clients accept
	Expired   *tls.Config // was valid until a day ago
	WrongHost *tls.Config // is for redis.invalid and 192.0.2.1
	UnknownCA *tls.Config // is from an authority that nobody trusts
}

// authority signs certificates.
type authority struct {
	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCertificates makes an authority and certificates for a proxy.
func NewCertificates(tb testing.TB) *Certificates {
	tb.Helper()
	ours, other := newAuthority(tb), newAuthority(tb)
	c := &Certificates{Pool: x509.NewCertPool(), CAFile: filepath.Join(tb.TempDir(), "ca.pem")}
	c.Pool.AddCert(ours.cert)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.cert.Raw})
	if err := os.WriteFile(c.CAFile, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	local, now := []string{"localhost", "127.0.0.1"}, time.Now()
	tomorrow, yesterday := now.AddDate(0, 0, 1), now.AddDate(0, 0, -1)
	c.Good = ours.issue(local, tomorrow)
	c.Expired = ours.issue(local, yesterday)
	c.WrongHost = ours.issue([]string{"redis.invalid", "192.0.2.1"}, tomorrow)
	c.UnknownCA = other.issue(local, tomorrow)
	return c
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	a := &authority{tb: tb}
	a.cert, a.key = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "Test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().AddDate(0, 0, 1),
	})
	return a
}

// issue makes the configuration of a server with these names.
func (a *authority) issue(names []string, until time.Time) *tls.Config {
	a.tb.Helper()
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, n)
		}
	}
	cert, key := a.sign(leaf)
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}},
	}
}

// sign makes a certificate, which signs itself if the authority has none yet.
func (a *authority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	if c.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		a.tb.Fatal(err)
	}
	c.NotBefore = c.NotAfter.AddDate(0, 0, -2)
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.tb.Fatal(err)
	}
	return cert, key
}
