package server

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
)

// Nothing is stored and nobody is asked for a body that is not what it should be.
func TestBodies(t *testing.T) {
	w := newHarness(t, nil)
	id := w.start()
	asked := w.agent.asked()
	w.store.resetCalls()
	good := send(id, "x").Body
	for name, c := range map[string]struct {
		body   io.Reader
		change func(http.Header)
		status int
		field  string
	}{
		"too large, length unknown": {body: io.MultiReader(strings.NewReader(good), strings.NewReader(strings.Repeat(" ", maxBody))), status: 413},
		"cut off":                   {body: io.MultiReader(strings.NewReader(good[:9]), iotest.ErrReader(errors.New("unexpected EOF"))), status: 400, field: "body"},
		"not UTF-8":                 {body: strings.NewReader(strings.Replace(good, `"x"`, "\"\xff\"", 1)), status: 400, field: "body"},
		"deep":                      {body: strings.NewReader(strings.Repeat(`{"a":`, maxDepth+1) + "1" + strings.Repeat("}", maxDepth+1)), status: 400, field: "body"},
		"an array":                  {body: strings.NewReader("[" + good + "]"), status: 400, field: "body"},
		"text too long":             {body: strings.NewReader(send(id, strings.Repeat("x", maxText+1)).Body), status: 400, field: "text"},
		"no type":                   {body: strings.NewReader(good), change: func(h http.Header) { h.Del("Content-Type") }, status: 415},
		"two types":                 {body: strings.NewReader(good), change: func(h http.Header) { h.Add("Content-Type", "text/plain") }, status: 415},
		"other charset":             {body: strings.NewReader(good), change: func(h http.Header) { h.Set("Content-Type", "application/json; charset=utf-16") }, status: 415},
		"compressed":                {body: strings.NewReader(good), change: func(h http.Header) { h.Set("Content-Encoding", "gzip") }, status: 415},
		"no body and no type":       {change: func(h http.Header) { h.Del("Content-Type") }, status: 415},
		"two keys":                  {body: strings.NewReader(good), change: func(h http.Header) { h["Idempotency-Key"] = []string{"a", "b"} }, status: 400, field: "Idempotency-Key"},
		"key too long":              {body: strings.NewReader(good), change: func(h http.Header) { h.Set("Idempotency-Key", strings.Repeat("k", maxKey+1)) }, status: 400, field: "Idempotency-Key"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/chat/send", c.body)
		r.Header.Set("Content-Type", "application/json")
		if c.change != nil {
			c.change(r.Header)
		}
		rec := httptest.NewRecorder()
		w.server.ServeHTTP(rec, r)
		if rec.Code != c.status || c.field != "" && field[string](t, rec, "field") != c.field {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	if w.agent.asked() != asked || len(w.store.callNames()) != 0 {
		t.Errorf("asked %d times, stored %v", w.agent.asked()-asked, w.store.callNames())
	}
	w.must(200, send(strings.ToUpper(id), "x").with("Content-Type", `application/json; charset="UTF-8"`))
	w.must(200, post("/api/chat/start", ""))
}

// A client that stops in the middle of a body and waits is told what was wrong.
func TestHalfABody(t *testing.T) {
	w := newHarness(t, nil)
	web := httptest.NewServer(w.server)
	t.Cleanup(web.Close)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "POST /api/chat/send HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"conv")
	if err != nil {
		t.Fatal(err)
	}
	if half, ok := conn.(*net.TCPConn); !ok || half.CloseWrite() != nil {
		t.Fatal("cannot close one half")
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusBadRequest || ct != "application/problem+json" {
		t.Errorf("status %d, %s", resp.StatusCode, ct)
	}
}
