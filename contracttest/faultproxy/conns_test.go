package faultproxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"parley/contracttest/faultproxy"
)

func TestRefuseAndListenOnTheSamePort(t *testing.T) {
	p := faultproxy.Start(t, serve(t).Addr().String())
	for range 20 {
		addr, c := p.Addr(), dial(t, p)
		p.Set(faultproxy.Refuse())
		c.expectEnd("", faultproxy.RST)
		if _, err := tryDial(t, p, patience); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial: %v, want ECONNREFUSED", err)
		}
		p.Heal()
		if p.Addr() != addr {
			t.Fatalf("moved from %s to %s", addr, p.Addr())
		}
		dial(t, p)
	}
}

func TestDialsHang(t *testing.T) {
	s := serve(t)
	p := faultproxy.Start(t, s.Addr().String())
	old := dial(t, p)
	for range 3 {
		p.Set(faultproxy.HangDials())
		c, err := tryDial(t, p, quiet)
		if err == nil && runtime.GOOS != "linux" {
			_ = c.Close() // the connection is made, and silent
		} else if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("dial: %v, want a timeout", err)
		}
		old.send("PING")
		old.expect("+PONG\r\n")
		opened, _ := p.Conns()
		p.Heal()
		if n := retransmits(t, dial(t, p).Conn); n > 0 {
			t.Errorf("the first dial after healing had to knock %d times more", n)
		}
		if now, _ := p.Conns(); now != opened+1 {
			t.Errorf("%d connections were accepted, want 1: the proxy's own are not a client's", now-opened)
		}
	}
}

// From each way to listen to each other.
func TestDoors(t *testing.T) {
	p := faultproxy.Start(t, serve(t).Addr().String())
	faults := []faultproxy.Fault{{}, faultproxy.Refuse(), faultproxy.HangDials()}
	for _, from := range faults {
		for _, to := range faults {
			p.Set(from)
			p.Set(to)
			p.Heal()
			dial(t, p)
		}
	}
	p.Set(faultproxy.HangDials())
	p.Set(faultproxy.Refuse())
	if _, err := tryDial(t, p, patience); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dial: %v, want ECONNREFUSED", err)
	}
}

func TestCloseOnAccept(t *testing.T) {
	p := faultproxy.Start(t, serve(t).Addr().String())
	for _, how := range []faultproxy.How{faultproxy.RST, faultproxy.FIN} {
		old := dial(t, p)
		p.Set(faultproxy.CloseOnAccept(how))
		if how == faultproxy.RST {
			expectReset(t, p)
		} else {
			c := rawDial(t, p)
			c.expectEnd("", how)
			c.keepSending()
		}
		old.send("PING")
		old.expect("+PONG\r\n")
		p.Heal()
		dial(t, p)
	}
}

func TestKillConns(t *testing.T) {
	s := serve(t)
	p := faultproxy.Start(t, s.Addr().String())
	for _, how := range []faultproxy.How{faultproxy.RST, faultproxy.FIN} {
		idle, busy := dial(t, p), dial(t, p)
		busy.send("WAIT")
		until(t, "WAIT runs", func() bool { return s.executed("WAIT") == int(how)+1 })
		p.KillConns(how)
		idle.expectEnd("", how)
		busy.expectEnd("", how)
		if n := open(p); n != 0 {
			t.Fatalf("%d connections are open", n)
		}
		s.proceed <- struct{}{}
		_ = dial(t, p).Close()
		until(t, "the last one has left", func() bool { return open(p) == 0 })
	}
}

// A FIN stays a FIN: a client that has not read it yet can send all it likes.
func TestFINStaysFIN(t *testing.T) {
	p := faultproxy.Start(t, serve(t).Addr().String())
	c := dial(t, p)
	p.KillConns(faultproxy.FIN)
	c.keepSending()
	c.expectEnd("", faultproxy.FIN)
}

func TestTLSStaleConnections(t *testing.T) {
	certs := faultproxy.NewCertificates(t)
	p := faultproxy.Start(t, serve(t).Addr().String(), faultproxy.WithTLS(certs.Good))
	for _, how := range []faultproxy.How{faultproxy.FIN, faultproxy.RST} {
		wire := rawDial(t, p)
		tap := &tap{Conn: wire.Conn}
		wire.Conn = tap
		c := wire.secure(certs)
		c.send("PING")
		c.expect("+PONG\r\n")
		tap.got = nil
		p.KillConns(how)
		c.expectEnd("", how)
		// In TLS 1.2 an alert shows: its record is of type 21.
		if notified := len(tap.got) > 0 && tap.got[0] == 21; notified != (how == faultproxy.FIN) {
			t.Errorf("end %d: read %x on the wire", how, tap.got)
		}
	}
}

// tap keeps what was read.
type tap struct {
	net.Conn
	got []byte
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.got = append(c.got, p[:n]...)
	return n, err
}

func TestCertificates(t *testing.T) {
	certs := faultproxy.NewCertificates(t)
	p := faultproxy.Start(t, serve(t).Addr().String())
	plain := dial(t, p)
	for name, row := range map[string]struct {
		config *tls.Config
		right  func(error) bool
	}{
		"good": {certs.Good, func(err error) bool { return err == nil }},
		"expired": {certs.Expired, func(err error) bool {
			var e x509.CertificateInvalidError
			return errors.As(err, &e) && e.Reason == x509.Expired
		}},
		"wrong host": {certs.WrongHost, func(err error) bool { return errors.As(err, new(x509.HostnameError)) }},
		"unknown CA": {certs.UnknownCA, func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) }},
	} {
		p.SetTLS(row.config)
		c := rawDial(t, p).secure(certs)
		_ = c.SetDeadline(time.Now().Add(patience))
		if err := c.Conn.(*tls.Conn).HandshakeContext(t.Context()); !row.right(err) {
			t.Errorf("%s: %v", name, err)
		}
		plain.send("PING")
		plain.expect("+PONG\r\n")
	}
	// A plain client of a server that wants TLS: an alert, and the end.
	c := rawDial(t, p)
	c.send("PING")
	_ = c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 100)
	for {
		if _, err := c.Read(b); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("a plain client was left waiting")
			}
			break
		}
	}
	p.SetTLS(nil)
	dial(t, p)
	trusted, err := os.ReadFile(certs.CAFile)
	if pool := x509.NewCertPool(); err != nil || !pool.AppendCertsFromPEM(trusted) || !pool.Equal(certs.Pool) {
		t.Error("the file does not hold the authority of the pool")
	}
}

func TestSetUpstream(t *testing.T) {
	first, second := serve(t), serve(t)
	p := faultproxy.Start(t, first.Addr().String())
	old := dial(t, p)
	p.SetUpstream(second.Addr().String())
	dial(t, p).send("INCR")
	old.send("INCR")
	old.expect(":1\r\n")
	until(t, "both ran one", func() bool { return first.executed("INCR") == 1 && second.executed("INCR") == 1 })
}

// What Redis does to its connections is passed on.
func TestUpstreamEnds(t *testing.T) {
	s := serve(t)
	p := faultproxy.Start(t, s.Addr().String())
	c := dial(t, p)
	c.send("BYE")
	c.expectEnd("", faultproxy.FIN)
	c = dial(t, p)
	c.send("ABORT")
	c.expectEnd("", faultproxy.RST)
	_ = s.Close()
	expectReset(t, p)
}

// A connection that is silent stays so when Redis closes its side.
func TestSilenceOutlivesRedis(t *testing.T) {
	s := serve(t)
	p := faultproxy.Start(t, s.Addr().String())
	for _, f := range []faultproxy.Fault{faultproxy.LoseRequest(), faultproxy.LoseReply()} {
		c := dial(t, p)
		p.Set(f)
		c.send("INCR")
		c.expectSilence()
		s.hangUp()
		c.expectSilence()
		p.Heal()
	}
}

// expectReset dials and is reset, which can be seen before connect has returned.
func expectReset(t *testing.T, p *faultproxy.Proxy) {
	t.Helper()
	switch c, err := tryDial(t, p, patience); {
	case err == nil:
		defer func() { _ = c.Close() }()
		(&client{c, t}).expectEnd("", faultproxy.RST)
	case !errors.Is(err, syscall.ECONNRESET):
		t.Fatal(err)
	}
}
