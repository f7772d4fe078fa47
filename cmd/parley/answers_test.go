package main

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// unreadPages has a user ask for so many pages of about 1 MiB at once, and read none.
// When each has a status, it gives how many bytes wait to be read and how many pages were
// refused; end lets go of what waits.
func unreadPages(t *testing.T, base, user string, pages int) (waiting int64, refused int, end func()) {
	t.Helper()
	id := callAs(t, user, base+"/api/chat/start", m{}).ConversationID
	text := strings.Repeat("x", 64<<10)
	for range 10 {
		if a := callAs(t, user, base+"/api/chat/send", m{"conversationId": id, "text": text}); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Class)
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	c := overHTTP2(t, nil)
	c.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 1 << 10, MaxReceiveBufferPerConnection: 64 << 10}
	type page struct {
		status int
		size   int64
	}
	got := make(chan page, pages)
	var open sync.WaitGroup
	for range pages {
		open.Go(func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/chat/conversations/"+id, nil)
			if err != nil {
				got <- page{}
				return
			}
			r.Header.Set("Authorization", "Bearer "+user)
			resp, err := c.Do(r)
			if err != nil {
				got <- page{}
				return
			}
			defer func() { _ = resp.Body.Close() }()
			got <- page{resp.StatusCode, resp.ContentLength}
			if resp.StatusCode == http.StatusOK {
				<-ctx.Done()
			}
		})
	}
	for range pages {
		switch p := <-got; p.status {
		case http.StatusOK:
			waiting += p.size
		case http.StatusTooManyRequests:
			refused++
		default:
			t.Errorf("a page: status %d", p.status)
		}
	}
	return waiting, refused, func() { leave(); open.Wait() }
}

// Answers that nobody reads take no more than MAX_MEMORY_IN_FLIGHT: what has no room is
// refused. Another user gets answers meanwhile, and what was taken comes back.
func TestAnswersThatNobodyReads(t *testing.T) {
	_, settings := agent(t)
	for _, c := range []struct {
		name   string
		memory int64
		full   bool
	}{
		{"one user at the default", 64 << 20, false},
		{"more than there is room for", 8 << 20, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			base := startWith(t, seams{verifier: byName{}}, append(settings, "AUTH_REQUIRED", "true",
				"AUTH_ISSUER", "https://issuer.example", "AZURE_CLIENT_ID", "client", "MAX_MEMORY_IN_FLIGHT", strconv.FormatInt(c.memory, 10))...)
			waiting, refused, end := unreadPages(t, base, "greedy", 16)
			if waiting > c.memory || waiting < 4<<20 || (refused > 0) != c.full {
				t.Errorf("%d bytes wait to be read, and %d pages are refused", waiting, refused)
			}
			for range 20 {
				if a := callAs(t, "modest", base+"/api/chat/start", m{}); a.Status != http.StatusOK {
					t.Errorf("another user: %d %s", a.Status, a.Class)
				}
			}
			end()
			waitFor(t, func() bool { return callAs(t, "greedy", base+"/api/chat/start", m{}).Status == http.StatusOK })
			if _, refused, end = unreadPages(t, base, "greedy", 4); refused > 0 {
				t.Errorf("afterwards %d of 4 pages are refused", refused)
			}
			end()
		})
	}
}
