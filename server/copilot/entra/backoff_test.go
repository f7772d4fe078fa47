package entra

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"parley/server/copilot"
)

// A fetch that fails is not repeated at every turn. The pauses grow, and are what
// the token endpoint asks for where it does.
func TestBacksOff(t *testing.T) {
	throttle := func(header string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			says(429, `{"error":"temporarily_unavailable"}`)(w, nil)
		}
	}
	unavailable := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	seconds := func(all ...int) []time.Duration {
		var pauses []time.Duration
		for _, n := range all {
			pauses = append(pauses, time.Duration(n)*time.Second)
		}
		return pauses
	}
	for name, c := range map[string]struct {
		fault  http.HandlerFunc
		reason string
		pauses []time.Duration
	}{
		"500":               {says(500, ""), copilot.ReasonIssuerFailed, seconds(1, 2, 4, 8, 16, 32, 60, 60)},
		"no consent":        {says(400, `{"error_codes":[65001]}`), copilot.ReasonClientRefused, seconds(1, 2, 4)},
		"cut":               {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, copilot.ReasonUnreachable, seconds(1, 2)},
		"503 for 20 s":      {unavailable, copilot.ReasonIssuerFailed, seconds(20, 20, 20, 20, 20, 32)},
		"throttled":         {says(429, "{}"), copilot.ReasonThrottled, seconds(1, 2, 4)},
		"throttled 30 s":    {throttle("30"), copilot.ReasonThrottled, seconds(30, 30, 30, 30, 30, 32)},
		"throttled an hour": {throttle("3600"), copilot.ReasonThrottled, seconds(600, 600)},
		"throttled oddly":   {throttle("soon"), copilot.ReasonThrottled, seconds(1, 2)},
	} {
		for _, flow := range []Flow{OnBehalfOf, ClientCredentials} {
			t.Run(fmt.Sprintf("%s/%d", name, flow), func(t *testing.T) {
				i := newIssuer(t)
				i.breaks(c.fault)
				s, pass := newSource(t, i, func(o *Options) { o.Flow = flow })
				ask := func() *copilot.Error {
					_, err := s.Token(t.Context(), user("ann"))
					e, ok := errors.AsType[*copilot.Error](err)
					if !ok || !errors.Is(e, copilot.ErrToken) || e.Reason != c.reason {
						t.Fatalf("error %v, want %v", err, c.reason)
					}
					return e
				}
				for n, pause := range c.pauses {
					if e := ask(); e.RetryAfter != pause {
						t.Errorf("fetch %d: retry after %v, want %v", n+1, e.RetryAfter, pause)
					}
					pass(pause - time.Second)
					for range 3 {
						if e := ask(); e.RetryAfter != time.Second {
							t.Errorf("fetch %d: retry after %v in the last second", n+1, e.RetryAfter)
						}
					}
					if got := len(i.forms()); got != n+1 {
						t.Fatalf("asked %d times before %v had passed %d times", got, pause, n+1)
					}
					pass(time.Second)
				}
				i.breaks(nil)
				must(t, s, user("ann"))
				i.breaks(says(500, ""))
				s.Reject(user("ann"), must(t, s, user("ann")))
				before := len(i.forms())
				_, _ = s.Token(t.Context(), user("ann"))
				pass(time.Second)
				_, _ = s.Token(t.Context(), user("ann"))
				if got := len(i.forms()) - before; got != 2 {
					t.Errorf("asked %d times: a success does not end the pauses", got)
				}
			})
		}
	}
}

// The pause is that of one sign-in: it holds up neither another owner nor the
// same one who signs in again.
func TestPausesAreApart(t *testing.T) {
	i := newIssuer(t)
	s, _ := newSource(t, i, func(o *Options) { o.MaxOwners = 2 })
	i.breaks(says(400, `{"error_codes":[50013]}`))
	for _, name := range []string{"ann", "bob", "carol"} {
		if _, err := s.Token(t.Context(), user(name)); !errors.Is(err, copilot.ErrToken) {
			t.Fatal(err)
		}
	}
	if n := len(s.failures.items); n != 2 {
		t.Errorf("%d failures are remembered", n)
	}
	i.breaks(nil)
	must(t, s, user("dave"))
	again := user("carol")
	again.Assertion = "new"
	must(t, s, again)
	if _, err := s.Token(t.Context(), user("bob")); err == nil {
		t.Error("asked at once after a failure")
	}
}

// However many wait for a fetch that fails, it is one.
func TestFailsOnce(t *testing.T) {
	i := newIssuer(t)
	i.breaks(says(500, ""))
	s, _ := newSource(t, i)
	var asking sync.WaitGroup
	for range 50 {
		asking.Go(func() {
			if _, err := s.Token(t.Context(), user("ann")); !errors.Is(err, copilot.ErrToken) {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if n := len(i.forms()); n != 1 {
		t.Errorf("asked %d times", n)
	}
}
