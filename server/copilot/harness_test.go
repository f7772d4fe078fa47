package copilot_test

import (
	"context"
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

// to makes a client of a handler, over real connections.
func to(t testing.TB, h http.Handler, change func(*copilot.Options)) *copilot.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return client(t, srv.URL, change)
}

func client(t testing.TB, url string, change func(*copilot.Options)) *copilot.Client {
	t.Helper()
	o := copilot.Options{
		Endpoint: copilot.Endpoint{DirectConnectURL: url + "/bots/b"},
		Tokens:   copilot.StaticToken(token),
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

// piped makes a client of a handler, over pipes: in a synctest bubble, time
// stands still while both ends work.
func piped(t *testing.T, h http.Handler, change func(*copilot.Options)) *copilot.Client {
	t.Helper()
	l := pipeListener{conns: make(chan net.Conn), closed: make(chan struct{}), once: new(sync.Once)}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Hour}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	tr := copilot.NewTransport()
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
	c := client(t, "http://127.0.0.1", func(o *copilot.Options) {
		o.Transport = tr
		if change != nil {
			change(o)
		}
	})
	t.Cleanup(func() { tr.CloseIdleConnections(); _ = srv.Close(); <-done })
	return c
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
