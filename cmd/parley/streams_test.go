package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// What an idle stream may cost, with all that belongs to it: both connections,
// their buffers, every goroutine. More than half of it is net/http's, at both ends.
const idleStream = raceFactor * 80 << 10

func TestIdleStreams(t *testing.T) {
	const streams = 1000
	up := newMute(t)
	base := service(t, io.Discard, "COPILOT_DIRECT_CONNECT_URL", up.url, "COPILOT_STUB_TOKEN", "stub", "MAX_TURNS", "2000")
	var ids []string
	for range streams {
		ids = append(ids, call(t, base+"/api/chat/start", m{}).ConversationID)
	}
	http.DefaultClient.CloseIdleConnections()
	before := used()
	conns := make([]net.Conn, 0, streams)
	defer func() {
		up.close()
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for _, id := range ids {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		body := fmt.Sprintf(`{"conversationId":%q,"text":"hello"}`, id)
		if _, err := fmt.Fprintf(c, "POST /api/chat/send HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
			t.Fatal(err)
		}
	}
	small := make([]byte, 512)
	for _, c := range conns {
		if n, err := c.Read(small); err != nil || !strings.HasPrefix(string(small[:n]), "HTTP/1.1 200") {
			t.Fatalf("%s, %v", small[:n], err)
		}
	}
	each := (used() - before) / streams
	t.Logf("an idle stream costs %d bytes", each)
	if each > idleStream {
		t.Errorf("an idle stream costs %d bytes, more than %d", each, idleStream)
	}
}

// used is the memory of heap and stacks that is in use.
func used() int64 {
	var s runtime.MemStats
	for range 4 { // pools are emptied by the second, and each halves a stack that is too large
		runtime.GC()
	}
	runtime.ReadMemStats(&s)
	return int64(s.HeapInuse + s.StackInuse)
}

// mute is an agent that greets, and begins to answer every turn and never goes
// on. Its side of a connection costs next to nothing.
type mute struct {
	url   string
	l     net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func newMute(t *testing.T) *mute {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &mute{l: l, url: "http://" + l.Addr().String() + "/agent"}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { a.serve(c) })
		}
	})
	t.Cleanup(func() {
		a.close()
		serving.Wait()
	})
	return a
}

func (a *mute) serve(c net.Conn) {
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		_ = c.Close()
		return
	}
	_, _ = io.Copy(io.Discard, req.Body)
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nx-ms-conversationid: c1\r\nConnection: close\r\n\r\n"
	if strings.HasSuffix(req.URL.Path, "/conversations") {
		_, _ = io.WriteString(c, head+"event: end\ndata: end\n\n")
		_ = c.Close()
		return
	}
	_, _ = io.WriteString(c, head+"event: activity\ndata: "+
		`{"type":"typing","id":"1","from":{"role":"bot"},"text":"So","entities":[{"type":"streaminfo","streamType":"streaming","streamSequence":1}]}`+"\n\n")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns = append(a.conns, c)
}

func (a *mute) close() {
	_ = a.l.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.conns {
		_ = c.Close()
	}
}
