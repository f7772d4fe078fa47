package copilot_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"parley/server/copilot"
)

// framed is an agent that speaks HTTP/2 frame by frame. It takes each request
// whole and then does what the test says.
type framed struct {
	net.Listener
	roots *x509.CertPool
	then  func(c framedConn, stream uint32, n int)

	mu    sync.Mutex
	taken []string // bodies
}

type framedConn struct {
	*http2.Framer
	net.Conn
}

func serveFrames(t *testing.T, then func(c framedConn, stream uint32, n int)) *framed {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	f := &framed{Listener: l, roots: roots, then: then}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	return f
}

// serve reads the requests of one connection, until it breaks.
func (f *framed) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	c := framedConn{http2.NewFramer(conn, conn), conn}
	if c.WriteSettings() != nil {
		return
	}
	var body bytes.Buffer
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = c.WriteSettingsAck()
			}
		case *http2.DataFrame:
			body.Write(frame.Data())
			if !frame.StreamEnded() {
				continue
			}
			f.mu.Lock()
			f.taken = append(f.taken, body.String())
			n := len(f.taken)
			f.mu.Unlock()
			body.Reset()
			f.then(c, frame.StreamID, n)
		}
	}
}

func (f *framed) copies() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken
}

// client makes a client that trusts the agent.
func (f *framed) client(t *testing.T) copilot.Agent {
	t.Helper()
	return client(t, "https://"+f.Addr().String(), func(o *copilot.Options) {
		tr := copilot.NewTransport()
		tr.TLSClientConfig = &tls.Config{RootCAs: f.roots, MinVersion: tls.VersionTLS12}
		o.Transport = tr
	})
}

// say answers a request with headers and the beginning of a stream, or all of it.
func (c framedConn) say(stream uint32, text string, whole bool) {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, h := range [][2]string{{":status", "200"}, {"content-type", "text/event-stream"}, {"x-ms-conversationid", "c"}} {
		_ = enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndHeaders: true})
	_ = c.WriteData(stream, whole, []byte(text))
}

// TestHTTP2IsAskedOnce: over HTTP/2 an agent that has a request whole gets no
// second copy of it, whatever it answers.
func TestHTTP2IsAskedOnce(t *testing.T) {
	const part = "event: activity\ndata: {\"type\":\"message\",\"text\":\"hi\"}\n\n"
	faults := map[string]func(c framedConn, stream uint32, n int){
		"reset: protocol error": func(c framedConn, s uint32, _ int) { _ = c.WriteRSTStream(s, http2.ErrCodeProtocol) },
		"reset: refused":        func(c framedConn, s uint32, _ int) { _ = c.WriteRSTStream(s, http2.ErrCodeRefusedStream) },
		"reset: internal error": func(c framedConn, s uint32, _ int) { _ = c.WriteRSTStream(s, http2.ErrCodeInternal) },
		"reset: cancelled":      func(c framedConn, s uint32, _ int) { _ = c.WriteRSTStream(s, http2.ErrCodeCancel) },
		"reset: no error":       func(c framedConn, s uint32, _ int) { _ = c.WriteRSTStream(s, http2.ErrCodeNo) },
		"reset: calm down":      func(c framedConn, s uint32, _ int) { _ = c.WriteRSTStream(s, http2.ErrCodeEnhanceYourCalm) },
		"reset: use HTTP/1.1":   func(c framedConn, s uint32, _ int) { _ = c.WriteRSTStream(s, http2.ErrCodeHTTP11Required) },
		"reset twice": func(c framedConn, s uint32, _ int) {
			_ = c.WriteRSTStream(s, http2.ErrCodeProtocol)
			_ = c.WriteRSTStream(s, http2.ErrCodeRefusedStream)
		},
		"away: nothing taken":    func(c framedConn, s uint32, _ int) { _ = c.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"away: failed":           func(c framedConn, s uint32, _ int) { _ = c.WriteGoAway(0, http2.ErrCodeInternal, nil) },
		"away: one before":       func(c framedConn, s uint32, _ int) { _ = c.WriteGoAway(max(s, 2)-2, http2.ErrCodeNo, nil) },
		"away: taken, then shut": func(c framedConn, s uint32, _ int) { _ = c.WriteGoAway(s, http2.ErrCodeNo, nil); _ = c.Close() },
		"away: all, then shut": func(c framedConn, s uint32, _ int) {
			_ = c.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
			_ = c.Close()
		},
		"shut": func(c framedConn, _ uint32, _ int) { _ = c.Close() },
		"no HTTP/2": func(c framedConn, _ uint32, _ int) {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_ = c.Close()
		},
		"answer, then reset": func(c framedConn, s uint32, _ int) {
			c.say(s, part, false)
			_ = c.WriteRSTStream(s, http2.ErrCodeProtocol)
		},
		"answer, then refused": func(c framedConn, s uint32, _ int) {
			c.say(s, part, false)
			_ = c.WriteRSTStream(s, http2.ErrCodeRefusedStream)
		},
		"answer, then away": func(c framedConn, s uint32, _ int) {
			c.say(s, part, false)
			_ = c.WriteGoAway(0, http2.ErrCodeNo, nil)
			_ = c.Close()
		},
		"answer, then shut": func(c framedConn, s uint32, _ int) { c.say(s, part, false); _ = c.Close() },
	}
	for name, fault := range faults {
		for _, warm := range []bool{false, true} {
			for op, ask := range calls(t) {
				label := name + "/" + op
				if warm {
					label += " on a warm connection"
				}
				t.Run(label, func(t *testing.T) {
					f := serveFrames(t, func(c framedConn, stream uint32, n int) {
						if warm && n == 1 {
							c.say(stream, end, true)
							return
						}
						fault(c, stream, n)
					})
					c, before := f.client(t), 0
					if warm {
						if o := collect(t, c.Start(t.Context(), copilot.Start{Silent: true})); o.err != nil {
							t.Fatal(o.err, o.err.Cause)
						}
						before = 1
					}
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					o := collect(t, ask(ctx, c))
					if n := len(f.copies()) - before; n != 1 {
						t.Errorf("%d copies of the request", n)
					}
					if o.err == nil || !errors.Is(o.err, copilot.ErrInterrupted) {
						t.Errorf("error = %+v", o.err)
					}
				})
			}
		}
	}
}
