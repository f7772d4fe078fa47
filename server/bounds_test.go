package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"parley/server/auth"
)

// nameVerifier lets everybody in by the name that they give.
type nameVerifier struct{}

func (nameVerifier) Verify(_ context.Context, header string) (auth.Principal, error) {
	return auth.Principal{Tenant: "t", User: strings.TrimPrefix(header, "Bearer ")}, nil
}

// One user who wants everything leaves room for the others.
func TestFairShare(t *testing.T) {
	agent, started, release := blockingAgent()
	w := newHarness(t, agent, func(c *Config) { c.AuthRequired, c.Auth, c.MaxTurns, c.MaxTurnsPerOwner = true, nameVerifier{}, 10, 2 })
	begin := func(user string) string {
		return field[string](t, w.doAs(post("/api/chat/start", "{}"), "Bearer "+user), "conversationId")
	}
	var answers []<-chan *httptest.ResponseRecorder
	for range 2 {
		answers = append(answers, w.async(t.Context(), send(begin("greedy"), "x").with("Authorization", "Bearer greedy")))
		<-started
	}
	rec := w.doAs(post("/api/chat/start", "{}"), "Bearer greedy")
	if rec.Code != http.StatusTooManyRequests || field[string](t, rec, "class") != "overloaded" || rec.Header().Get("Retry-After") == "" {
		t.Errorf("a third turn of one user: %d %s", rec.Code, rec.Body)
	}
	if rec := w.doAs(get("/api/chat/conversations"), "Bearer greedy"); rec.Code != 200 {
		t.Errorf("reading is no turn: %d", rec.Code)
	}
	modest := begin("modest")
	close(release)
	if rec := w.doAs(send(modest, "y"), "Bearer modest"); rec.Code != 200 {
		t.Errorf("somebody else: %d %s", rec.Code, rec.Body)
	}
	for _, a := range answers {
		if rec := <-a; rec.Code != 200 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
}

// stuckVerifier lets nobody in until it is told to.
type stuckVerifier struct {
	asked   chan struct{}
	release chan struct{}
}

func (s stuckVerifier) Verify(context.Context, string) (auth.Principal, error) {
	s.asked <- struct{}{}
	<-s.release
	return auth.Principal{Tenant: "t", User: "u"}, nil
}

// Whatever requests wait for, there are only so many of them; and a probe is
// answered all the same.
func TestTooManyRequests(t *testing.T) {
	v := stuckVerifier{asked: make(chan struct{}, 3), release: make(chan struct{})}
	w := newHarness(t, nil, func(c *Config) { c.AuthRequired, c.Auth, c.MaxRequests = true, v, 2 })
	var answers []<-chan *httptest.ResponseRecorder
	for range 2 {
		answers = append(answers, w.async(t.Context(), get("/api/chat/conversations")))
		<-v.asked
	}
	rec := w.must(http.StatusTooManyRequests, get("/api/chat/conversations"))
	if field[string](t, rec, "class") != "overloaded" || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%v %s", rec.Header(), rec.Body)
	}
	w.must(200, get("/health"))
	close(v.release)
	for _, a := range answers {
		if rec := <-a; rec.Code != 200 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
	w.must(200, get("/api/chat/conversations"))
}

// A request of one owner is refused before its body is read when the owner has its
// share, and when the bodies of all would take more than they may. Others are
// served meanwhile, and everything is given back.
func TestBodiesThatNeverArrive(t *testing.T) {
	for name, c := range map[string]struct {
		share, bytes, held int
		other              bool // another owner is served meanwhile
	}{
		"the owner's share": {share: 3, bytes: 64 << 20, held: 3, other: true},
		"all bodies":        {share: 16, bytes: 2 * maxBody, held: 2, other: false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t, nil, func(cfg *Config) {
				cfg.AuthRequired, cfg.Auth, cfg.MaxRequests, cfg.MaxRequestsPerOwner, cfg.MaxBodyBytes = true, nameVerifier{}, 100, c.share, c.bytes
			})
			read := make(chan struct{}, 100)
			var pending []*io.PipeWriter
			answers := make(chan int, 100)
			hang := func() {
				body, end := io.Pipe()
				pending = append(pending, end)
				r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/chat/start", &announced{Reader: body, read: read})
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", "Bearer greedy")
				go func() {
					rec := httptest.NewRecorder()
					w.server.ServeHTTP(rec, r)
					answers <- rec.Code
				}()
			}
			for range c.held {
				hang()
				<-read
			}
			hang() // one too many: nothing of it is read
			if code := <-answers; code != http.StatusTooManyRequests {
				t.Errorf("one too many: %d", code)
			}
			want := map[bool]int{true: 200, false: 429}[c.other]
			if rec := w.doAs(post("/api/chat/start", "{}"), "Bearer modest"); rec.Code != want {
				t.Errorf("another owner: %d %s", rec.Code, rec.Body)
			}
			if rec := w.doAs(get("/api/chat/conversations"), "Bearer modest"); rec.Code != 200 {
				t.Errorf("another owner, without a body: %d %s", rec.Code, rec.Body)
			}
			for _, end := range pending[:c.held] {
				_, _ = io.WriteString(end, "{}")
				_ = end.Close()
			}
			for range c.held {
				if code := <-answers; code != 200 {
					t.Errorf("a body that came late: %d", code)
				}
			}
			if rec := w.doAs(post("/api/chat/start", "{}"), "Bearer greedy"); rec.Code != 200 {
				t.Errorf("nothing was given back: %d", rec.Code)
			}
		})
	}
}

// announced is a body that says when it is first read.
type announced struct {
	io.Reader
	read chan<- struct{}
	once sync.Once
}

func (a *announced) Read(p []byte) (int, error) {
	a.once.Do(func() { a.read <- struct{}{} })
	return a.Reader.Read(p)
}

// What a browser is told stands on every answer, a failure's too.
func TestSecurityHeaders(t *testing.T) {
	w := newHarness(t, nil)
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
	for path, limit := range map[string]time.Duration{"/livez": answerTime, "/api/x": answerTime, "/index.html": answerTime} {
		synctest.Test(t, func(t *testing.T) {
			w := newHarness(t, nil, func(c *Config) {
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
