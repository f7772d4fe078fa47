package entra

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"parley/server/copilot"
)

// Whatever keeps a token from coming, the agent has nothing to do with it. The reason
// says who can mend it, and nothing of what the token endpoint says.
func TestFailures(t *testing.T) {
	const refusal = `{"error":"invalid_grant","error_description":"AADSTS65001: The user 'ann@contoso.example' has not consented.","error_codes":[65001]}`
	forUser := func(flow Flow) string {
		if flow == OnBehalfOf {
			return copilot.ReasonUserRefused
		}
		return copilot.ReasonClientRefused // there is no user
	}
	always := func(reason string) func(Flow) string { return func(Flow) string { return reason } }
	for name, c := range map[string]struct {
		fault  http.HandlerFunc
		reason func(Flow) string
		code   string
	}{
		"no consent":    {says(400, refusal), forUser, "AADSTS65001"},
		"second factor": {says(400, `{"error":"interaction_required","error_codes":[50076],"claims":"{}"}`), forUser, "AADSTS50076"},
		"no code":       {says(400, `{"error":"invalid_grant"}`), forUser, ""},
		"odd code":      {says(400, `{"error":"invalid_grant","error_codes":["ann@contoso.example"]}`), always(copilot.ReasonNotUnderstood), ""},
		"wrong secret":  {says(401, `{"error":"invalid_client","error_codes":[7000215]}`), always(copilot.ReasonClientRefused), "AADSTS7000215"},
		"wrong scope":   {says(400, `{"error":"invalid_scope","error_codes":[70011]}`), always(copilot.ReasonClientRefused), "AADSTS70011"},
		"a number only": {says(400, `{"error_codes":[90002]}`), always(copilot.ReasonClientRefused), "AADSTS90002"},
		"for a while":   {says(400, `{"error":"temporarily_unavailable","error_codes":[90006]}`), always(copilot.ReasonIssuerFailed), "AADSTS90006"},
		"throttled":     {says(429, `{"error":"temporarily_unavailable","error_codes":[90033]}`), always(copilot.ReasonThrottled), "AADSTS90033"},
		"HTML":          {says(403, `<html>ann@contoso.example`), always(copilot.ReasonNotUnderstood), ""},
		"no such page":  {says(404, ``), always(copilot.ReasonNotUnderstood), ""},
		"408":           {says(408, ``), always(copilot.ReasonIssuerFailed), ""},
		"500":           {says(500, ""), always(copilot.ReasonIssuerFailed), ""},
		"503 in HTML":   {says(503, "<html>ann@contoso.example"), always(copilot.ReasonIssuerFailed), ""},
		"garbage":       {says(200, "<html>ann@contoso.example"), always(copilot.ReasonNotUnderstood), ""},
		"endless":       {says(200, strings.Repeat(" ", maxAnswer)+"{}"), always(copilot.ReasonNotUnderstood), ""},
		"no token":      {says(200, "{}"), always(copilot.ReasonNotUnderstood), ""},
		"cut":           {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, always(copilot.ReasonUnreachable), ""},
		"silent":        {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, always(copilot.ReasonTimeout), ""},
		"sent elsewhere": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://evil.example")
			w.WriteHeader(307)
		}, always(copilot.ReasonNotUnderstood), ""},
	} {
		for _, flow := range []Flow{OnBehalfOf, ClientCredentials} {
			t.Run(fmt.Sprintf("%s/%d", name, flow), func(t *testing.T) {
				i := newIssuer(t)
				i.breaks(c.fault)
				s, pass := newSource(t, i, func(o *Options) {
					o.Flow = flow
					if name == "silent" {
						o.Limit = 100 * time.Millisecond
					}
				})
				e := refusedToken(t, s)
				if e.Code != c.code || e.Reason != c.reason(flow) {
					t.Fatalf("%v (%+v)", e, e)
				}
				i.breaks(nil)
				pass(time.Second)
				must(t, s, user("ann"))
			})
		}
	}
}

// refusedToken is the error of a source that has no token. It tells no secrets.
func refusedToken(t *testing.T, s *Source) *copilot.Error {
	t.Helper()
	_, err := s.Token(t.Context(), user("ann"))
	e, ok := errors.AsType[*copilot.Error](err)
	if !ok || !errors.Is(e, copilot.ErrToken) || e.Cause == nil || e.RetryAfter != time.Second {
		t.Fatalf("%v (%+v)", err, e)
	}
	if text := fmt.Sprint(err, e.Cause); strings.Contains(text, "contoso") || strings.Contains(text, "jwt-of") || strings.Contains(text, secret) {
		t.Errorf("the error tells too much: %s", text)
	}
	return e
}

// What kept a connection from coming about is the reason. No name server is asked.
func TestNoConnection(t *testing.T) {
	fails := func(err error) http.RoundTripper {
		return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, err }}
	}
	gone := newIssuer(t)
	gone.Close()
	for name, c := range map[string]struct {
		transport http.RoundTripper
		reason    string
	}{
		"refused":           {&http.Transport{}, copilot.ReasonUnreachable},
		"no such name":      {fails(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}), copilot.ReasonName},
		"no name server":    {fails(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "i/o timeout", IsTimeout: true}}), copilot.ReasonName},
		"packets vanish":    {fails(&net.OpError{Op: "dial", Err: syscall.ETIMEDOUT}), copilot.ReasonTimeout},
		"no more files":     {fails(&net.OpError{Op: "dial", Err: syscall.EMFILE}), copilot.ReasonUnreachable},
		"handshake refused": {fails(tls.AlertError(40)), copilot.ReasonTLS},
	} {
		s, _ := newSource(t, gone, func(o *Options) { o.Transport = c.transport })
		e := refusedToken(t, s)
		if e.Reason != c.reason {
			t.Errorf("%s: %v", name, e)
		}
		if name == "no more files" && !errors.Is(e.Cause, syscall.EMFILE) {
			t.Errorf("%s: the cause is lost: %v", name, e.Cause)
		}
	}
	s, _ := newSource(t, newIssuer(t), func(o *Options) { o.Transport = nil })
	if e := refusedToken(t, s); e.Reason != copilot.ReasonTLS {
		t.Errorf("untrusted: %v", e)
	}
}

// told is what a Trace hears.
type told struct {
	mu                     sync.Mutex
	fetched, ended, failed []string
}

func (h *told) hear(of *[]string, what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*of = append(*of, what)
}

func (h *told) trace() Trace {
	word := func(err error) string {
		if e, ok := errors.AsType[*copilot.Error](err); ok {
			return e.Reason
		}
		return fmt.Sprint(err)
	}
	return Trace{
		Fetch: func(ctx context.Context) (context.Context, func(error)) {
			h.hear(&h.fetched, fmt.Sprint(ctx.Value(caller{})))
			return ctx, func(err error) { h.hear(&h.ended, word(err)) }
		},
		Failed: func(ctx context.Context, _ time.Time, err error) {
			h.hear(&h.failed, fmt.Sprint(ctx.Value(caller{}), " ", word(err)))
		},
	}
}

type caller struct{}

// Every fetch is told once, with the context of the call that began it, and every call
// that fails without one. A token from memory is not told.
func TestTrace(t *testing.T) {
	i := newIssuer(t)
	var h told
	s, pass := newSource(t, i, func(o *Options) { o.Trace = h.trace() })
	ask := func(who string) {
		_, _ = s.Token(context.WithValue(t.Context(), caller{}, who), user("ann"))
		settled(t, s)
	}
	ask("first")
	ask("second") // from memory
	i.breaks(says(500, ""))
	pass(56 * time.Minute)
	ask("third") // serves, and is replaced meanwhile
	pass(4 * time.Minute)
	ask("fourth")
	ask("fifth") // of the last failure
	for what, c := range map[string]struct{ got, want []string }{
		"fetched": {h.fetched, []string{"first", "third", "fourth"}},
		"ended":   {h.ended, []string{"<nil>", copilot.ReasonIssuerFailed, copilot.ReasonIssuerFailed}},
		"failed":  {h.failed, []string{"fifth " + copilot.ReasonIssuerFailed}},
	} {
		if fmt.Sprint(c.got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %q, want %q", what, c.got, c.want)
		}
	}
}

// Who waits for the fetch of another is told to have failed with it.
func TestTraceOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		var h told
		s, err := New(Options{
			Authority: "https://issuer.example/tenant", ClientID: app, Secret: secret, Scope: scope, Trace: h.trace(),
			Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				<-answer
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, who := range []string{"first", "second", "third"} {
			go func() { _, _ = s.Token(context.WithValue(t.Context(), caller{}, who), user("ann")) }()
			synctest.Wait()
		}
		close(answer)
		synctest.Wait()
		s.Close()
		slices.Sort(h.failed)
		if fmt.Sprint(h.fetched, h.ended, h.failed) != "[first] [unreachable] [second unreachable third unreachable]" {
			t.Errorf("fetched %q, ended %q, failed %q", h.fetched, h.ended, h.failed)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The end of the source is nobody's failure.
func TestTraceOfTheEnd(t *testing.T) {
	i := newIssuer(t)
	asked := make(chan struct{}, 1)
	i.breaks(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	var h told
	s, _ := newSource(t, i, func(o *Options) { o.Trace = h.trace() })
	ctx, leave := context.WithCancel(t.Context())
	go func() { _, _ = s.Token(ctx, user("ann")) }()
	<-asked
	leave()
	s.Close()
	if fmt.Sprint(h.ended) != "[context canceled]" || len(h.failed) != 0 {
		t.Errorf("ended %q, failed %q", h.ended, h.failed)
	}
}
