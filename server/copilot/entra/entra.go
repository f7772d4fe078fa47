// Package entra fetches the tokens that an agent accepts from Microsoft Entra: on
// behalf of the user who is signed in, or for the service itself.
package entra

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"golang.org/x/sync/singleflight"

	"parley/server/copilot"
)

// Flow is the OAuth 2.0 grant that tokens are fetched with.
type Flow int

// The flows.
const (
	// OnBehalfOf exchanges the caller's own token (Microsoft identity platform,
	// "OAuth 2.0 On-Behalf-Of flow"): the agent sees the user.
	OnBehalfOf Flow = iota
	// ClientCredentials asks as the application (RFC 6749, section 4.4): the agent
	// sees the service, whoever the caller is.
	ClientCredentials
)

// Options are what a Source needs to know. Transport and what follows may be left out.
type Options struct {
	// Authority is the tenant that issues the tokens, such as
	// "https://login.microsoftonline.com/<tenant id>".
	Authority string
	ClientID  string // the application
	Secret    string // its client secret
	Scope     string // what the tokens are for; see copilot.Endpoint.TokenScope
	Flow      Flow

	// Transport carries the requests; nil means copilot.NewTransport(). Redirects
	// are not followed: they would take the secret elsewhere.
	Transport http.RoundTripper
	// MaxOwners is how many owners' tokens are kept; the one that was not used for
	// longest goes first. 0 means 10 000.
	MaxOwners int
	// Limit bounds one fetch, and so how long a turn waits for its token; 0 means 15 s.
	Limit time.Duration
	Now   func() time.Time // nil means time.Now
	Trace Trace
}

// When tokens are fetched.
const (
	// early is how long before it expires a token is replaced. The old one is used
	// until the new one is there. A token that lives less than twice as long is
	// replaced at half its life. The agent checks a token when a turn begins.
	early = 5 * time.Minute
	// atLeast is what a token must have left to be used at all.
	atLeast = 30 * time.Second
	// pauseFailed is the least time between two attempts to replace a token that
	// still serves.
	pauseFailed = 30 * time.Second
	// After a failed fetch its error is given for firstPause, without asking. It
	// doubles with each failure up to maxPause. What the token endpoint says in
	// Retry-After is kept to, up to maxRetryAfter.
	firstPause    = time.Second
	maxPause      = time.Minute
	maxRetryAfter = 10 * time.Minute
	// fetchLimit bounds one fetch unless the options say otherwise. A caller may give up
	// sooner.
	fetchLimit = 15 * time.Second
	// maxAnswer bounds what is read of one answer, in bytes.
	maxAnswer = 1 << 20
)

// Source is a copilot.TokenSource that caches a token for each owner. It is safe
// for use from many goroutines.
type Source struct {
	client    func() (confidential.Client, error)
	closeIdle func()
	scopes    []string
	flow      Flow
	limit     time.Duration
	now       func() time.Time
	trace     Trace

	life context.Context // ends with Close
	end  context.CancelFunc
	runs sync.WaitGroup

	fetches singleflight.Group // by assertion and owner

	mu       sync.Mutex
	tokens   lru[owner, *token]
	failures lru[request, *pausing]
}

var (
	_ copilot.TokenSource   = (*Source)(nil)
	_ copilot.TokenRejecter = (*Source)(nil)
)

// owner is whose token it is; zero for the service's own.
type owner struct{ tenant, user string }

// request is what is sent for a token. Another sign-in of the same owner is
// another request: it does not wait for the end of the first one's pause.
type request struct {
	owner
	assertion string
}

// token is what is kept. It is never changed but for next.
type token struct {
	secret  string
	expires time.Time
	next    time.Time // when to replace it
}

// pausing is a fetch that failed.
type pausing struct {
	err   *copilot.Error
	pause time.Duration // without what the token endpoint asked for
	until time.Time
}

// New makes a Source. It does no I/O; its errors are about settings. Whoever made
// it closes it.
func New(o Options) (*Source, error) {
	u, err := url.Parse(o.Authority)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || len(u.Path) < 2:
		return nil, errors.New("entra: Authority is no https:// URL with a tenant in its path")
	case o.ClientID == "" || o.Secret == "" || o.Scope == "":
		return nil, errors.New("entra: ClientID, Secret or Scope is missing")
	}
	credential, err := confidential.NewCredFromSecret(o.Secret)
	if err != nil {
		return nil, errors.New("entra: Secret cannot be used")
	}
	if o.Transport == nil {
		o.Transport = copilot.NewTransport()
	}
	web := &http.Client{
		Transport:     bounded{o.Transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	client := func() (confidential.Client, error) {
		// The operator has set the authority. Instance discovery would ask another
		// host about it, and no token could be had while that host is down.
		return confidential.New(o.Authority, o.ClientID, credential,
			confidential.WithHTTPClient(web), confidential.WithInstanceDiscovery(false))
	}
	if _, err := client(); err != nil {
		return nil, fmt.Errorf("entra: %w", err)
	}
	s := &Source{
		client: client, closeIdle: web.CloseIdleConnections, scopes: []string{o.Scope}, flow: o.Flow,
		limit: cmp.Or(o.Limit, fetchLimit), now: o.Now, trace: o.Trace.orNothing(),
	}
	if o.MaxOwners <= 0 {
		o.MaxOwners = 10_000
	}
	s.tokens, s.failures = newLRU[owner, *token](o.MaxOwners), newLRU[request, *pausing](o.MaxOwners)
	if s.now == nil {
		s.now = time.Now
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Close ends what still runs; Token must not be called any more.
func (s *Source) Close() {
	s.end()
	s.runs.Wait()
	s.closeIdle()
}

// Token implements copilot.TokenSource. Its errors are the context's own, or
// *copilot.Error of kind ErrToken. After a failure the same error is given again for
// a while, without asking: 1 s, doubled up to a minute, or as long as the token
// endpoint wants. RetryAfter is what is left of it.
func (s *Source) Token(ctx context.Context, id copilot.Identity) (string, error) {
	began := time.Now()
	r := request{owner{id.Tenant, id.User}, id.Assertion}
	if s.flow == ClientCredentials {
		r = request{}
	} else if id.Assertion == "" {
		err := &copilot.Error{Kind: copilot.ErrToken, Reason: copilot.ReasonClientRefused, Cause: errors.New("nobody is signed in whose token could be exchanged")}
		s.trace.Failed(ctx, began, err)
		return "", err
	}
	secret, failed := s.cached(ctx, r)
	switch {
	case failed != nil:
		s.trace.Failed(ctx, began, failed)
		return "", failed
	case secret != "":
		return secret, nil
	}
	select {
	case got := <-s.start(ctx, r, ""):
		if got.err == nil {
			return got.secret, nil
		}
		if !got.own {
			s.trace.Failed(ctx, began, got.err)
		}
		return "", got.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Reject implements copilot.TokenRejecter: the next turn asks for another token.
func (s *Source) Reject(id copilot.Identity, secret string) {
	o := owner{id.Tenant, id.User}
	if s.flow == ClientCredentials {
		o = owner{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.tokens.get(o); ok && t.secret == secret {
		s.tokens.remove(o)
	}
}

// cached gives the owner's token, or the error that fetching it still has; both
// are zero when it has to be fetched. A token that will soon be too old is
// replaced meanwhile.
func (s *Source) cached(ctx context.Context, r request) (string, *copilot.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if t, ok := s.tokens.get(r.owner); ok && !now.Add(atLeast).After(t.expires) {
		if !now.Before(t.next) {
			t.next = now.Add(pauseFailed)
			s.start(ctx, r, t.secret)
		}
		return t.secret, nil
	}
	s.tokens.remove(r.owner)
	return "", s.failed(r)
}

// failed is the error of the last fetch for a request, nil when it is time to ask
// again. The lock is held.
func (s *Source) failed(r request) *copilot.Error {
	now := s.now()
	f, ok := s.failures.get(r)
	if !ok || !now.Before(f.until) {
		return nil
	}
	own := *f.err
	own.RetryAfter = max(f.until.Sub(now).Round(time.Second), time.Second)
	return &own
}

// fetched is what a fetch came to.
type fetched struct {
	secret string
	err    *copilot.Error
	own    bool // it was fetched for this call
}

// start fetches a token in place of an old one, or waits for the fetch that runs
// for the same request. It belongs to nobody's turn: whoever leaves, the others
// wait for it. Of ctx only the values are used.
func (s *Source) start(ctx context.Context, r request, old string) <-chan fetched {
	done := make(chan fetched, 1)
	s.runs.Go(func() {
		key, mine := fmt.Sprintf("%q %q %s", r.tenant, r.user, r.assertion), false
		result, _, _ := s.fetches.Do(key, func() (any, error) {
			mine = true
			return s.renew(ctx, r, old), nil
		})
		got := result.(fetched)
		got.own = got.own && mine
		done <- got
	})
	return done
}

// renew fetches a token and caches it, or the failure, unless a fetch that has
// just ended did.
func (s *Source) renew(values context.Context, r request, old string) fetched {
	s.mu.Lock()
	t, ok := s.tokens.get(r.owner)
	failed := s.failed(r)
	s.mu.Unlock()
	switch {
	case ok && t.secret != old:
		return fetched{secret: t.secret}
	case failed != nil:
		return fetched{err: failed}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(values), s.limit)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	ctx, done := s.trace.Fetch(ctx)
	got, err := s.fetch(ctx, r.assertion)
	result := s.keep(r, got, err)
	switch {
	case result.err == nil:
		done(nil)
	case s.life.Err() != nil:
		done(context.Canceled)
	default:
		done(result.err)
	}
	return result
}

// keep caches what a fetch came to.
func (s *Source) keep(r request, got confidential.AuthResult, err error) fetched {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if err == nil {
		s.failures.remove(r)
		life := got.ExpiresOn.Sub(now)
		s.tokens.put(r.owner, &token{secret: got.AccessToken, expires: got.ExpiresOn, next: got.ExpiresOn.Add(-min(early, life/2))})
		return fetched{secret: got.AccessToken, own: true}
	}
	f := &pausing{pause: firstPause}
	if before, ok := s.failures.get(r); ok {
		f.pause = min(2*before.pause, maxPause)
	}
	var wait time.Duration
	f.err, wait = failure(err, s.flow, now)
	f.err.RetryAfter = max(f.pause, wait)
	f.until = now.Add(f.err.RetryAfter)
	s.failures.put(r, f)
	return fetched{err: f.err, own: true}
}
