package copilot_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/server/copilot"
	"parley/server/copilot/emulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect makes a client of a handler.
type connect func(t testing.TB, h http.Handler, change func(*copilot.Options)) copilot.Agent

// overBoth runs a test over HTTP/1.1 and over HTTP/2: to connects over sockets,
// piped over pipes. In a synctest bubble time stands still while both ends of a
// pipe work.
func overBoth(t *testing.T, f func(t *testing.T, to, piped connect)) {
	t.Helper()
	t.Run("HTTP1", func(t *testing.T) { f(t, to, piped) })
	t.Run("HTTP2", func(t *testing.T) { f(t, to2, piped2) })
}

func to(t testing.TB, h http.Handler, change func(*copilot.Options)) copilot.Agent {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return client(t, srv.URL, change)
}

func to2(t testing.TB, h http.Handler, change func(*copilot.Options)) copilot.Agent {
	t.Helper()
	srv := httptest.NewUnstartedServer(onlyHTTP2(t, h))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return client(t, srv.URL, trusting(srv, change))
}

// onlyHTTP2 fails a test whose requests come by another way.
func onlyHTTP2(t testing.TB, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("request over %s", r.Proto)
		}
		h.ServeHTTP(w, r)
	})
}

// trusting makes clients trust a server's certificate, whatever transport the
// change sets.
func trusting(srv *httptest.Server, change func(*copilot.Options)) func(*copilot.Options) {
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return func(o *copilot.Options) {
		if o.Transport == nil {
			o.Transport = copilot.NewTransport()
		}
		if change != nil {
			change(o)
		}
		if tr, ok := o.Transport.(*http.Transport); ok {
			tr.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		}
	}
}

func client(t testing.TB, url string, change func(*copilot.Options)) copilot.Agent {
	t.Helper()
	return copilot.WithTokens(unsigned(t, url, change), copilot.StaticToken(token))
}

// unsigned is a client that shows the token of each call's identity.
func unsigned(t testing.TB, url string, change func(*copilot.Options)) *copilot.Client {
	t.Helper()
	o := copilot.Options{
		Endpoint: copilot.Endpoint{DirectConnectURL: url + "/bots/b"},
	}
	if change != nil {
		change(&o)
	}
	c, err := copilot.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

const token = "s3cret-token"

func piped(t testing.TB, h http.Handler, change func(*copilot.Options)) copilot.Agent {
	t.Helper()
	tr, end := overPipes(h, nil)
	c := client(t, "http://127.0.0.1", func(o *copilot.Options) {
		o.Transport = tr
		if change != nil {
			change(o)
		}
	})
	t.Cleanup(end)
	return c
}

func piped2(t testing.TB, h http.Handler, change func(*copilot.Options)) copilot.Agent {
	t.Helper()
	srv := httptest.NewTLSServer(nil) // for its certificate
	srv.Close()
	tr, end := overPipes(onlyHTTP2(t, h), srv.TLS.Certificates)
	c := client(t, "https://127.0.0.1", trusting(srv, func(o *copilot.Options) {
		o.Transport = tr
		if change != nil {
			change(o)
		}
	}))
	t.Cleanup(end)
	return c
}

// overPipes serves a handler over pipes, and over TLS with certificates.
func overPipes(h http.Handler, certificates []tls.Certificate) (tr *http.Transport, end func()) {
	l := pipeListener{conns: make(chan net.Conn), closed: make(chan struct{}), once: new(sync.Once)}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Hour}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if certificates == nil {
			_ = srv.Serve(l)
			return
		}
		srv.TLSConfig = &tls.Config{Certificates: certificates, MinVersion: tls.VersionTLS12}
		_ = srv.ServeTLS(l, "", "")
	}()
	tr = copilot.NewTransport()
	tr.Proxy = nil
	tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		here, there := net.Pipe()
		select {
		case l.conns <- there:
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return tr, func() { tr.CloseIdleConnections(); _ = srv.Close(); <-done }
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// outcome is a call in words.
type outcome struct {
	events []string
	id     string
	last   copilot.Message
	err    *copilot.Error
}

func collect(t testing.TB, seq iter.Seq2[copilot.Event, error]) outcome {
	t.Helper()
	var o outcome
	for e, err := range seq {
		if o.err != nil {
			t.Error("something came after the error")
		}
		if err != nil {
			var ce *copilot.Error
			if !errors.As(err, &ce) || !emptyEvent(e) {
				t.Fatalf("error is %T %v with event %+v", err, err, e)
			}
			o.err = ce
			continue
		}
		if len(o.events) < 200 {
			o.events = append(o.events, words(e))
		}
		switch e.Kind {
		case copilot.EventConversation:
			o.id = e.ConversationID
		case copilot.EventMessage:
			o.last = e.Message
		case copilot.EventDelta, copilot.EventEnded: // their words are enough
		}
	}
	return o
}

func emptyEvent(e copilot.Event) bool {
	return e.Kind == 0 && e.ConversationID == "" && e.Text == "" && e.Message.Text == ""
}

func words(e copilot.Event) string {
	switch e.Kind {
	case copilot.EventConversation:
		if e.Restarted {
			return "restarted"
		}
		return "conversation"
	case copilot.EventDelta:
		return "delta " + e.Text
	case copilot.EventEnded:
		return "ended"
	case copilot.EventMessage:
		m := e.Message
		var b strings.Builder
		b.WriteString("message " + m.Text)
		if !m.FromBot {
			b.WriteString(" (user)")
		}
		if m.StreamID != "" {
			b.WriteString(" (streamed)")
		}
		if m.Incomplete {
			b.WriteString(" (incomplete)")
		}
		if m.ErrorCode != "" {
			b.WriteString(" (" + m.ErrorCode + ")")
		}
		return b.String()
	}
	return "?"
}

func open(t testing.TB, a copilot.Agent) string {
	t.Helper()
	o := collect(t, a.Start(t.Context(), copilot.Start{Silent: true}))
	if o.err != nil || o.id == "" {
		t.Fatalf("start: %+v", o)
	}
	return o.id
}

func turn(id, text string) copilot.Turn { return copilot.Turn{ConversationID: id, Text: text} }

// sent counts the requests of a kind.
func sent(e *emulator.Emulator, k emulator.Kind) int {
	n := 0
	for _, r := range e.Requests() {
		if r.Kind == k {
			n++
		}
	}
	return n
}

// calls are the ways in which an agent is asked.
func calls(t testing.TB) map[string]func(context.Context, copilot.Agent) iter.Seq2[copilot.Event, error] {
	t.Helper()
	return map[string]func(context.Context, copilot.Agent) iter.Seq2[copilot.Event, error]{
		"start": func(ctx context.Context, a copilot.Agent) iter.Seq2[copilot.Event, error] {
			return a.Start(ctx, copilot.Start{})
		},
		"send": func(ctx context.Context, a copilot.Agent) iter.Seq2[copilot.Event, error] {
			return a.Turn(ctx, turn("c", "hello"))
		},
		"card": func(ctx context.Context, a copilot.Agent) iter.Seq2[copilot.Event, error] {
			return a.Turn(ctx, copilot.Turn{ConversationID: "c", Text: "sent", Value: []byte(`{"a":1}`)})
		},
	}
}
