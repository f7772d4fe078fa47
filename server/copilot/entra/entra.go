// Package entra fetches the tokens that an agent accepts from Microsoft Entra: on
// behalf of the user who is signed in, or for the service itself.
package entra

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"

	"parley/server/copilot"
)

// Flow is how a token is come by.
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

// Options are what a Source needs to know. All but the last three must be given.
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
	Now       func() time.Time // nil means time.Now
}

// When tokens are fetched.
const (
	// early is how long before its end a token is replaced, in the background
	// while it still serves; of one that lives less than twice as long, at half its
	// life. A token is checked when a turn begins, and a turn takes minutes.
	early = 5 * time.Minute
	// atLeast is what a token must have left to be used at all.
	atLeast = 30 * time.Second
	// pauseFailed is the least time between two attempts to replace a token that
	// still serves.
	pauseFailed = 30 * time.Second
	// fetchLimit bounds one fetch. Whoever waits may leave sooner.
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
	max       int
	now       func() time.Time

	life context.Context // ends with Close
	end  context.CancelFunc
	runs sync.WaitGroup

	mu      sync.Mutex
	tokens  map[owner]*list.Element // of *token
	used    *list.List              // the one used last is in front
	flights map[owner]*flight
}

var (
	_ copilot.TokenSource   = (*Source)(nil)
	_ copilot.TokenRejecter = (*Source)(nil)
)

// owner is whose token it is; zero for the service's own.
type owner struct{ tenant, user string }

// token is what is kept. It is never changed but for next.
type token struct {
	owner   owner
	secret  string
	expires time.Time
	next    time.Time // when to replace it
}

// flight is a fetch that runs, and then what it came to.
type flight struct {
	done   chan struct{}
	secret string
	err    *copilot.Error
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
		// The authority is the operator's word; asking a third party about it
		// would make every token hang on that one too.
		return confidential.New(o.Authority, o.ClientID, credential,
			confidential.WithHTTPClient(web), confidential.WithInstanceDiscovery(false))
	}
	if _, err := client(); err != nil {
		return nil, fmt.Errorf("entra: %w", err)
	}
	s := &Source{
		client: client, closeIdle: web.CloseIdleConnections, scopes: []string{o.Scope}, flow: o.Flow, max: o.MaxOwners, now: o.Now,
		tokens: map[owner]*list.Element{}, used: list.New(), flights: map[owner]*flight{},
	}
	if s.max <= 0 {
		s.max = 10_000
	}
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

// Token implements copilot.TokenSource. Its errors are *copilot.Error of kind
// ErrRejected or ErrUnreachable, or the context's own.
func (s *Source) Token(ctx context.Context, id copilot.Identity) (string, error) {
	o := owner{id.Tenant, id.User}
	if s.flow == ClientCredentials {
		o = owner{}
	} else if id.Assertion == "" {
		return "", &copilot.Error{Kind: copilot.ErrRejected, Cause: errors.New("nobody is signed in whose token could be exchanged")}
	}
	secret, f := s.look(o, id.Assertion)
	if secret != "" {
		return secret, nil
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if f.err != nil {
		return "", f.err
	}
	return f.secret, nil
}

// Reject implements copilot.TokenRejecter: the next turn asks for another token.
func (s *Source) Reject(id copilot.Identity, secret string) {
	o := owner{id.Tenant, id.User}
	if s.flow == ClientCredentials {
		o = owner{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.tokens[o]; ok && e.Value.(*token).secret == secret {
		s.drop(e)
	}
}

// look gives the owner's token, or the fetch to wait for. One that will soon be
// too old is replaced meanwhile.
func (s *Source) look(o owner, assertion string) (secret string, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	e, ok := s.tokens[o]
	if !ok {
		return "", s.start(o, assertion)
	}
	t := e.Value.(*token)
	if now.Add(atLeast).After(t.expires) {
		s.drop(e)
		return "", s.start(o, assertion)
	}
	s.used.MoveToFront(e)
	if !now.Before(t.next) {
		t.next = now.Add(pauseFailed)
		s.start(o, assertion)
	}
	return t.secret, nil
}

// start begins a fetch unless one runs for that owner. It belongs to nobody's
// turn: whoever leaves, the others wait for it. The lock is held.
func (s *Source) start(o owner, assertion string) *flight {
	if f, ok := s.flights[o]; ok {
		return f
	}
	f := &flight{done: make(chan struct{})}
	s.flights[o] = f
	s.runs.Go(func() {
		defer close(f.done)
		ctx, cancel := context.WithTimeout(s.life, fetchLimit)
		defer cancel()
		got, err := s.fetch(ctx, assertion)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.flights, o)
		if err != nil {
			f.err = failure(err)
			return
		}
		f.secret = got.AccessToken
		s.keep(o, got)
	})
	return f
}

// keep puts a token into the cache. The lock is held.
func (s *Source) keep(o owner, got confidential.AuthResult) {
	now := s.now()
	life := got.ExpiresOn.Sub(now)
	t := &token{owner: o, secret: got.AccessToken, expires: got.ExpiresOn, next: got.ExpiresOn.Add(-min(early, life/2))}
	if e, ok := s.tokens[o]; ok {
		s.drop(e)
	}
	s.tokens[o] = s.used.PushFront(t)
	if s.used.Len() > s.max {
		s.drop(s.used.Back())
	}
}

// drop takes a token out of the cache. The lock is held.
func (s *Source) drop(e *list.Element) {
	delete(s.tokens, e.Value.(*token).owner)
	s.used.Remove(e)
}
