package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"parley/store"
)

// A node that the cluster announces by an address is verified against the host of the
// URL, or the name in the options; one that it announces by a name against that name.
// Whatever else it shows, nothing is sent to it.
func TestNamesOfNodes(t *testing.T) {
	t.Parallel()
	const endpoint = "cluster.test"
	one := []string{endpoint, endpoint}  // one certificate for all, of the endpoint
	each := []string{"a.test", "b.test"} // one for each node
	for what, c := range map[string]struct {
		certificates []string // of the nodes
		announced    []string // by which name; "" for their address
		host         string   // of the URL; "" for an address
		serverName   string
		want         error
	}{
		"addresses, the endpoint's certificate":            {certificates: one, announced: []string{"", ""}, host: endpoint},
		"addresses, the URL has one, too":                  {certificates: one, announced: []string{"", ""}, want: store.ErrUnreachable},
		"addresses, the URL has one, too, and a name":      {certificates: one, announced: []string{"", ""}, serverName: endpoint},
		"addresses, another name":                          {certificates: one, announced: []string{"", ""}, host: endpoint, serverName: "other.test", want: store.ErrUnreachable},
		"addresses, their own certificates":                {certificates: []string{"", ""}, announced: []string{"", ""}},
		"names":                                            {certificates: each, announced: each, host: "a.test"},
		"names, and one for addresses":                     {certificates: each, announced: each, host: "a.test", serverName: endpoint},
		"names, one shows that of another":                 {certificates: []string{"a.test", "a.test"}, announced: each, host: "a.test", want: store.ErrUnreachable},
		"names, all show the endpoint's":                   {certificates: one, announced: each, host: endpoint, want: store.ErrUnreachable},
		"an address, whose certificate is for another one": {certificates: []string{endpoint, "b.test"}, announced: []string{"", ""}, host: endpoint, want: store.ErrUnreachable},
	} {
		nodes := startScripted(t, 2)
		pool := x509.NewCertPool()
		var announced []string
		var port string
		for i, n := range nodes {
			var names []string
			if c.certificates[i] != "" {
				names = append(names, c.certificates[i])
			}
			cert, _ := certificate(t, names...)
			pool.AddCert(cert.Leaf)
			addr := terminate(t, n.addr, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
			host, p, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			if c.announced[i] != "" {
				host = c.announced[i]
			}
			announced = append(announced, net.JoinHostPort(host, p))
			if i == 0 {
				port = p
			}
		}
		for _, n := range nodes {
			n.tells(slotsReply(announced...))
		}
		host := c.host
		if host == "" {
			host = "127.0.0.1"
		}
		s, err := New(Options{
			URL: "rediss://" + net.JoinHostPort(host, port), RootCAs: pool, Mode: ModeCluster, TLSServerName: c.serverName,
			Lookup: resolve("127.0.0.1"), Timeout: 5 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		err = get(t.Context(), s, ownerIn(1, 2).Owner) // of the second
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		if c.want != nil && len(nodes[1].heard()) != 0 {
			t.Errorf("%s: the node heard %q", what, nodes[1].heard())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// With one primary the name in the options is what its certificate must be for.
func TestNameOfOnePrimary(t *testing.T) {
	t.Parallel()
	server := startScripted(t, 1)[0]
	server.will(always("$-1\r\n"))
	cert, pool := certificate(t, "redis.test")
	addr := terminate(t, server.addr, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	for name, want := range map[string]error{"redis.test": nil, "other.test": store.ErrUnreachable, "": store.ErrUnreachable} {
		s, err := New(Options{URL: "rediss://" + addr, RootCAs: pool, TLSServerName: name, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Ping(t.Context()); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
