package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// balancer passes requests on to instances, one after the other, or all to the one
// that the test chooses. An instance that is not there is a 502 to its caller.
type balancer struct {
	url   string
	web   *httptest.Server
	proxy *httputil.ReverseProxy

	mu        sync.Mutex
	instances []*url.URL
	next      int
	chosen    int // an index of instances; negative for all in turn
	running   map[net.Conn]string
	passed    []string // all requests but those for the page
	refusals  []http.HandlerFunc
}

// The keys of what the balancer keeps in a request's context.
type (
	connKey   struct{}
	targetKey struct{}
)

func newBalancer(t *testing.T, bases ...string) *balancer {
	t.Helper()
	b := &balancer{chosen: -1, running: map[net.Conn]string{}}
	for _, base := range bases {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		b.instances = append(b.instances, u)
	}
	// Connections of its own: those of http.DefaultTransport belong to other tests too.
	transport := &http.Transport{}
	b.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			if target, ok := r.In.Context().Value(targetKey{}).(*url.URL); ok {
				r.SetURL(target)
			}
			r.Out.Host = r.In.Host
		},
		Transport:     transport,
		FlushInterval: -1, // streams are passed on as they come
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	b.web = httptest.NewUnstartedServer(b)
	b.web.Config.ErrorLog = b.proxy.ErrorLog
	b.web.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	b.web.Start()
	b.url = b.web.URL
	t.Cleanup(func() {
		b.web.CloseClientConnections()
		b.web.Close()
		transport.CloseIdleConnections()
	})
	return b
}

// choose sends all further requests to one instance.
func (b *balancer) choose(instance int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.chosen = instance
}

// keepAlive says whether connections are kept after an answer. They are, unless told
// otherwise.
func (b *balancer) keepAlive(yes bool) { b.web.Config.SetKeepAlivesEnabled(yes) }

// reset resets the connections on which requests with that path wait for the end of
// their answer, and returns how many there were.
func (b *balancer) reset(path string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for c, p := range b.running {
		if p != path {
			continue
		}
		n++
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // so that closing is a reset
		}
		_ = c.Close()
	}
	return n
}

// refuse has the next request for the API answered by the balancer itself.
func (b *balancer) refuse(with http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusals = append(b.refusals, with)
}

// came is how many requests for a path came so far.
func (b *balancer) came(path string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, p := range b.passed {
		if strings.HasSuffix(p, " "+path) {
			n++
		}
	}
	return n
}

func (b *balancer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.passed, "\n")
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	b.mu.Lock()
	i := b.chosen
	if i < 0 {
		i = b.next % len(b.instances)
		b.next++
	}
	b.running[c] = r.URL.Path
	if strings.HasPrefix(r.URL.Path, "/api/") {
		b.passed = append(b.passed, fmt.Sprintf("to %d: %s %s", i, r.Method, r.URL.Path))
	}
	var refusal http.HandlerFunc
	if len(b.refusals) > 0 && strings.HasPrefix(r.URL.Path, "/api/") {
		refusal, b.refusals = b.refusals[0], b.refusals[1:]
	}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.running, c)
	}()
	if refusal != nil {
		refusal(w, r)
		return
	}
	b.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), targetKey{}, b.instances[i])))
}
