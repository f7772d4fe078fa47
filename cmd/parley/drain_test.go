package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// While an instance drains, every answer has its client go elsewhere: Connection: close
// over HTTP/1.1, and GOAWAY over HTTP/2. Before, none does.
func TestDrainingTurnsClientsAway(t *testing.T) {
	static := t.TempDir()
	if err := os.WriteFile(filepath.Join(static, "index.html"), []byte("page"), 0o600); err != nil {
		t.Fatal(err)
	}
	base, cmd := process(t, "COPILOT_EMULATOR", "true", "DRAIN_DELAY", "300", "METRICS_PROMETHEUS", "true",
		"STATIC_DIR", static, "CORS_ORIGIN", "https://front.example")
	const json, stream = "application/json", "text/event-stream"
	requests := []struct{ name, method, path, contentType, accept, body, origin string }{
		{name: "a turn", method: "POST", path: "/api/chat/start", contentType: json, body: "{}"},
		{name: "a turn as a stream", method: "POST", path: "/api/chat/start", contentType: json, accept: stream, body: "{}"},
		{name: "a list", method: "GET", path: "/api/chat/conversations"},
		{name: "a bad request", method: "POST", path: "/api/chat/send", contentType: json, body: "{"},
		{name: "no such route", method: "GET", path: "/api/nothing"},
		{name: "a wrong method", method: "DELETE", path: "/api/chat/send"},
		{name: "a file", method: "GET", path: "/"},
		{name: "the description", method: "GET", path: "/openapi.yaml"},
		{name: "liveness", method: "GET", path: "/livez"},
		{name: "readiness", method: "GET", path: "/readyz"},
		{name: "health", method: "GET", path: "/health"},
		{name: "metrics", method: "GET", path: "/metrics"},
		{name: "a preflight", method: "OPTIONS", path: "/api/chat/send", origin: "https://front.example"},
		{name: "a page of elsewhere", method: "POST", path: "/api/chat/start", contentType: json, body: "{}", origin: "https://elsewhere.example"},
	}
	closes := func(i int) bool {
		q := requests[i]
		r, err := http.NewRequestWithContext(t.Context(), q.method, base+q.path, strings.NewReader(q.body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"Content-Type": q.contentType, "Accept": q.accept, "Origin": q.origin, "Access-Control-Request-Method": http.MethodPost,
		} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Errorf("%s: %v", q.name, err)
			return false
		}
		_ = resp.Body.Close()
		return resp.Close
	}
	leaves := func(i int) bool {
		q := requests[i]
		fields := []string{":method", q.method, ":scheme", "http", ":path", q.path, ":authority", strings.TrimPrefix(base, "http://")}
		for _, f := range [][2]string{{"content-type", q.contentType}, {"accept", q.accept}, {"origin", q.origin}, {"access-control-request-method", http.MethodPost}} {
			if f[1] != "" {
				fields = append(fields, f[0], f[1])
			}
		}
		away, err := goesAway(t.Context(), strings.TrimPrefix(base, "http://"), fields, q.body)
		if err != nil {
			t.Errorf("%s over HTTP/2: %v", q.name, err)
		}
		return away
	}
	for i, q := range requests {
		if closes(i) || leaves(i) {
			t.Errorf("%s: the client is turned away before the instance leaves", q.name)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return call(t, base+"/readyz", nil).Status == http.StatusServiceUnavailable })
	for i, q := range requests {
		if !closes(i) {
			t.Errorf("%s: no Connection: close", q.name)
		}
		if !leaves(i) {
			t.Errorf("%s: no GOAWAY", q.name)
		}
	}
}

// goesAway sends one request over a connection of its own, without TLS, and reports
// whether a GOAWAY came before the answer to a PING that was sent behind the answer.
func goesAway(ctx context.Context, address string, fields []string, body string) (bool, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return false, err
	}
	f := http2.NewFramer(conn, conn)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		if err := encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			return false, err
		}
	}
	// Room for any answer: a page of metrics is larger than the 64 KB of the beginning.
	const room = 1 << 20
	if err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: room}); err != nil {
		return false, err
	}
	if err := f.WriteWindowUpdate(0, room); err != nil {
		return false, err
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: body == ""}); err != nil {
		return false, err
	}
	if body != "" {
		if err := f.WriteData(1, true, []byte(body)); err != nil {
			return false, err
		}
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return false, err
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = f.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			return true, nil
		case *http2.PingFrame:
			if frame.IsAck() {
				return false, nil
			}
			err = f.WritePing(true, frame.Data)
		default:
			if frame.Header().StreamID == 1 && frame.Header().Flags.Has(http2.FlagDataEndStream) {
				err = f.WritePing(false, [8]byte{1})
			}
		}
		if err != nil {
			return false, err
		}
	}
}
