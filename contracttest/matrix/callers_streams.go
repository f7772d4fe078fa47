package matrix

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
)

// streamsEach is how many streams a connection is asked for: as many as it may have.
const streamsEach = 250

// overHTTP2 is a connection of its own that takes so little unread that the other
// end soon waits.
func overHTTP2() *http.Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{
		Protocols: &protocols, DisableCompression: true,
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 1 << 10, MaxReceiveBufferPerConnection: 64 << 10},
	}}
}

// BodiesThatNeverArrive opens 16 connections with 250 HTTP/2 streams each, that ask for a
// conversation and never send the body. They stay until ctx is done; wait returns when
// all are gone. refused is called, from any goroutine, for each that is answered 429.
func BodiesThatNeverArrive(ctx context.Context, base, token string, refused func()) (wait func()) {
	var all sync.WaitGroup
	for range 16 {
		c := overHTTP2()
		context.AfterFunc(ctx, c.CloseIdleConnections)
		for range streamsEach {
			all.Go(func() {
				body, never := io.Pipe()
				defer func() { _ = never.Close() }()
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/chat/start", body)
				if err != nil {
					return
				}
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", "Bearer "+token)
				resp, err := c.Do(r)
				if err != nil {
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusTooManyRequests {
					refused()
				}
			})
		}
	}
	return all.Wait
}

// openStreams opens 2,000 HTTP/2 streams for the paths in turn and reads none. They stay
// until ctx is done; wait returns when all are gone, and gives how many were answered 200.
func openStreams(ctx context.Context, base string, paths []string) (wait func() int) {
	var all sync.WaitGroup
	var good atomic.Int64
	for range 8 {
		c := overHTTP2()
		context.AfterFunc(ctx, c.CloseIdleConnections)
		for n := range streamsEach {
			all.Go(func() {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+paths[n%len(paths)], nil)
				if err != nil {
					return
				}
				resp, err := c.Do(r)
				if err != nil {
					return
				}
				if resp.StatusCode == http.StatusOK {
					good.Add(1)
				}
				<-ctx.Done()
				_ = resp.Body.Close()
			})
		}
	}
	return func() int {
		all.Wait()
		return int(good.Load())
	}
}

// idleConnections opens connections that ask for nothing. The service may close
// some of them; done closes the rest.
func idleConnections(ctx context.Context, base string, n int) (done func()) {
	var open []net.Conn
	if u, err := url.Parse(base); err == nil {
		for range n {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
			if err != nil {
				break
			}
			open = append(open, conn)
		}
	}
	return func() {
		for _, c := range open {
			_ = c.Close()
		}
	}
}
