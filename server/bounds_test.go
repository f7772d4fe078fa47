package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"parley/server/auth"
)

// named lets everybody in by the name that they give.
type named struct{}

func (named) Verify(_ context.Context, header string) (auth.Principal, error) {
	return auth.Principal{Tenant: "t", User: strings.TrimPrefix(header, "Bearer ")}, nil
}

// One user who wants everything leaves room for the others.
func TestFairShare(t *testing.T) {
	agent, begun, goOn := waiting()
	w := newWorld(t, agent, func(c *Config) { c.AuthRequired, c.Auth, c.MaxTurns, c.MaxTurnsPerOwner = true, named{}, 10, 2 })
	begin := func(user string) string {
		return field[string](t, w.as(post("/api/chat/start", "{}"), "Bearer "+user), "conversationId")
	}
	var answers []<-chan *httptest.ResponseRecorder
	for range 2 {
		answers = append(answers, w.later(t.Context(), send(begin("greedy"), "x").with("Authorization", "Bearer greedy")))
		<-begun
	}
	rec := w.as(post("/api/chat/start", "{}"), "Bearer greedy")
	if rec.Code != http.StatusTooManyRequests || field[string](t, rec, "class") != "overloaded" || rec.Header().Get("Retry-After") == "" {
		t.Errorf("a third turn of one user: %d %s", rec.Code, rec.Body)
	}
	if rec := w.as(get("/api/chat/conversations"), "Bearer greedy"); rec.Code != 200 {
		t.Errorf("reading is no turn: %d", rec.Code)
	}
	modest := begin("modest")
	close(goOn)
	if rec := w.as(send(modest, "y"), "Bearer modest"); rec.Code != 200 {
		t.Errorf("somebody else: %d %s", rec.Code, rec.Body)
	}
	for _, a := range answers {
		if rec := <-a; rec.Code != 200 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
}

// stuck lets nobody in until it is told to.
type stuck struct {
	asked chan struct{}
	goOn  chan struct{}
}

func (s stuck) Verify(context.Context, string) (auth.Principal, error) {
	s.asked <- struct{}{}
	<-s.goOn
	return auth.Principal{Tenant: "t", User: "u"}, nil
}

// Whatever requests wait for, there are only so many of them; and a probe is
// answered all the same.
func TestTooManyRequests(t *testing.T) {
	v := stuck{asked: make(chan struct{}, 3), goOn: make(chan struct{})}
	w := newWorld(t, nil, func(c *Config) { c.AuthRequired, c.Auth, c.MaxRequests = true, v, 2 })
	var answers []<-chan *httptest.ResponseRecorder
	for range 2 {
		answers = append(answers, w.later(t.Context(), get("/api/chat/conversations")))
		<-v.asked
	}
	rec := w.must(http.StatusTooManyRequests, get("/api/chat/conversations"))
	if field[string](t, rec, "class") != "overloaded" || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%v %s", rec.Header(), rec.Body)
	}
	w.must(200, get("/health"))
	close(v.goOn)
	for _, a := range answers {
		if rec := <-a; rec.Code != 200 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
	w.must(200, get("/api/chat/conversations"))
}

// What a browser is told stands on every answer, a failure's too.
func TestSecurityHeaders(t *testing.T) {
	w := newWorld(t, nil)
	for _, c := range []call{get("/livez"), get("/nowhere"), get("/openapi.yaml"), get("/api//x"), post("/api/chat/start", "{}"), post("/api/chat/start", "[")} {
		h := w.do(c).Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q", c.Path, name, got)
			}
		}
	}
}

// oneConn is a listener of a single connection.
type oneConn struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l oneConn) Close() error   { close(l.closed); return nil }
func (l oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// A client that does not read its answer does not keep it in memory for ever.
func TestSlowReader(t *testing.T) {
	for path, limit := range map[string]time.Duration{"/livez": answerTime, "/api/x": answerTime, "/index.html": fileTime} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil, func(c *Config) {
				c.Static = fstest.MapFS{"index.html": {Data: []byte("<html>front")}}
			})
			l := oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
			gone := make(chan time.Duration, 1)
			began := time.Now()
			srv := &http.Server{Handler: w.server, ReadHeaderTimeout: time.Hour, ConnState: func(_ net.Conn, s http.ConnState) {
				if s == http.StateClosed {
					gone <- time.Since(began)
				}
			}}
			served := make(chan struct{})
			go func() { defer close(served); _ = srv.Serve(l) }()
			here, there := net.Pipe()
			l.conn <- there
			if _, err := io.WriteString(here, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Error(err)
			}
			if took := <-gone; took < limit || took > limit+time.Second {
				t.Errorf("%s: held for %v", path, took)
			}
			_ = here.Close()
			_ = srv.Close()
			<-served
		})
	}
}
