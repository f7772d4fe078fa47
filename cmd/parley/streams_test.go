package main

import (
	"context"
	"crypto/tls"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"parley/server/copilot"
)

// What an idle stream may cost, with all that belongs to it in this process: both
// connections, their buffers, every goroutine.
//
// Over HTTP/1.1 most of it is net/http's, which has two connections with buffers
// and four goroutines for each stream: the barest relay costs more than 40 KiB.
// What a proxy and Copilot Studio speak is HTTP/2.
const (
	idleStreams    = 1000
	idleOverHTTP2  = raceFactor * 40 << 10
	idleOverHTTP1  = raceFactor * 60 << 10
	idleAboveRelay = raceFactor * 16 << 10 // over HTTP/1.1, what is not net/http's
)

func TestIdleStreams(t *testing.T) {
	slow(t)
	relay := idle(t, "1", newRelay(t, muteAgent(t, "1")))
	one := idle(t, "1", newIdleService(t, muteAgent(t, "1")))
	two := idle(t, "2", newIdleService(t, muteAgent(t, "2")))
	t.Logf("bytes for an idle stream: %d over HTTP/2; %d over HTTP/1.1, where the barest relay takes %d", two, one, relay)
	if two > idleOverHTTP2 {
		t.Errorf("over HTTP/2 an idle stream costs %d bytes, more than %d", two, idleOverHTTP2)
	}
	if one > idleOverHTTP1 || one > relay+idleAboveRelay {
		t.Errorf("over HTTP/1.1 an idle stream costs %d bytes, more than %d or %d above a bare relay, which takes %d",
			one, idleOverHTTP1, idleAboveRelay, relay)
	}
}

// idle measures what the streams of a service cost that clients have begun and on
// which nothing more comes.
func idle(t *testing.T, version string, s *idleService) int64 {
	t.Helper()
	defer s.close()
	before := used()
	end := openStreams(t, version, s.base, s.bodies)
	defer end()
	return (used() - before) / idleStreams
}

// used is the memory of heap and stacks that is in use: the least of some readings,
// since leases are renewed meanwhile, and each renewal has a stack for a moment.
func used() int64 {
	least := int64(math.MaxInt64)
	for range 5 {
		var s runtime.MemStats
		for range 4 { // pools are emptied by the second, and each halves a stack that is too large
			runtime.GC()
		}
		runtime.ReadMemStats(&s)
		least = min(least, int64(s.HeapInuse+s.StackInuse))
	}
	return least
}

// idleService is what is measured, and the bodies of the requests to it.
type idleService struct {
	base   string
	bodies []string
	close  func()
}

// newIdleService is the program, which trusts the agent of the test. It has a
// conversation for every stream.
func newIdleService(t *testing.T, agentURL string) *idleService {
	t.Helper()
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	// The streams have nobody left to wait for at the end.
	settings := settingsOf([]string{"COPILOT_DIRECT_CONNECT_URL", agentURL, "COPILOT_STUB_TOKEN", "stub", "MAX_TURNS", "2000", "SHUTDOWN_TIMEOUT", "0"})
	c, err := load(env(settings...))
	if err != nil {
		t.Fatal(err)
	}
	out, in := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = serve(ctx, c, seams{agentRoots: testRoots(t)}, in, io.Discard) // reports that it cut off the streams
		_ = in.CloseWithError(io.EOF)
	}()
	s := &idleService{base: address(t, out), close: func() {
		end()
		<-ended
	}}
	for range idleStreams {
		id := call(t, s.base+"/api/chat/start", m{}).ConversationID
		s.bodies = append(s.bodies, `{"conversationId":"`+id+`","text":"hello"}`)
	}
	http.DefaultClient.CloseIdleConnections()
	return s
}

// newRelay is the least that passes an answer on while it comes.
func newRelay(t *testing.T, agentURL string) *idleService {
	t.Helper()
	transport := trusting(t)
	s := served(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask, err := http.NewRequestWithContext(r.Context(), http.MethodPost, agentURL+"/conversations/c1", r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		answer, err := transport.RoundTrip(ask)
		if err != nil {
			return
		}
		defer func() { _ = answer.Body.Close() }()
		for b := make([]byte, 512); ; {
			n, err := answer.Body.Read(b)
			if err != nil {
				return
			}
			_, _ = w.Write(b[:n])
			_ = http.NewResponseController(w).Flush()
		}
	})})
	s.bodies = strings.Split(strings.Repeat("{}\n", idleStreams-1)+"{}", "\n")
	return s
}

// served runs a server until close is called.
func served(t *testing.T, web *http.Server) *idleService {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = web.Serve(l) }()
	return &idleService{base: "http://" + l.Addr().String(), close: func() {
		_ = web.Close()
		<-ended
	}}
}

// trusting is the transport of the program, which trusts the agent of the test.
func trusting(t *testing.T) *http.Transport {
	t.Helper()
	transport := copilot.NewTransport()
	transport.TLSClientConfig = &tls.Config{RootCAs: testRoots(t), MinVersion: tls.VersionTLS12}
	return transport
}
