package server

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"parley/server/auth"
	"parley/server/auth/authtest"
)

// While the issuer hangs, tokens with names of keys that nobody knows are answered
// as such, however many come, and take nothing from a user whose key is known.
func TestUnknownKeysWhileTheIssuerHangs(t *testing.T) {
	key := authtest.NewEC(t, "key")
	issuer := authtest.NewIssuer(t, key)
	var mu sync.Mutex
	now := time.Now()
	b, err := auth.NewBearer(auth.Options{
		Source: auth.Source{Issuer: issuer.URL()}, Audiences: []string{"api://" + authtest.ClientID},
		Tenants: []string{authtest.Tenant}, Transport: issuer.Transport(),
		Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	w := newHarness(t, nil, func(c *Config) {
		c.AuthRequired, c.Auth, c.MaxRequests, c.MaxAuthWaiting = true, b, 4, auth.MaxWaiting
	})
	good := "Bearer " + key.Token(issuer.Claims())
	if rec := w.doAs(get("/api/chat/conversations"), good); rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	hung, goOn := make(chan struct{}, 10), make(chan struct{})
	gaveUp := make(chan struct{}, 10)
	issuer.Break(func(_ http.ResponseWriter, r *http.Request) {
		hung <- struct{}{}
		select {
		case <-goOn:
		case <-r.Context().Done():
			gaveUp <- struct{}{}
		}
	})
	mu.Lock()
	now = now.Add(time.Minute) // a fetch may begin again
	mu.Unlock()

	unknown := "Bearer " + authtest.NewEC(t, "made-up").Token(issuer.Claims())
	code := func(header string) int { // without the check of the answer, which takes long
		rec := httptest.NewRecorder()
		w.server.ServeHTTP(rec, get("/api/chat/conversations").with("Authorization", header).request(t.Context()))
		return rec.Code
	}
	const strangers = 1000
	codes := make(chan int, strangers)
	for range strangers {
		go func() { codes <- code(unknown) }()
	}
	<-hung
	answered := func(n int) {
		for range n {
			// Some of them may come when all others are just being looked at.
			if code := <-codes; code != http.StatusServiceUnavailable && code != http.StatusTooManyRequests {
				t.Errorf("a token with an unknown key gets %d", code)
			}
		}
	}
	answered(strangers - auth.MaxWaiting)
	if len(gaveUp) > 0 {
		t.Error("more wait for the issuer than may")
	}
	for range 100 {
		if rec := w.doAs(get("/api/chat/conversations"), good); rec.Code != 200 {
			t.Errorf("a user with a known key gets %d %s", rec.Code, rec.Body)
			break
		}
	}
	close(goOn)
	answered(auth.MaxWaiting)
}
