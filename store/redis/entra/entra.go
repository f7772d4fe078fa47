// Package entra signs a store in to a Redis of Azure by Microsoft Entra ID: the
// password of a connection is a token that lives for an hour or a day
// (learn.microsoft.com/azure/redis/entra-for-authentication).
//
// A Source answers from memory. One goroutine fetches the next token at half of the
// life of the last, and goes on trying for ever when that fails: until its end the
// last token is as good as ever, and nobody notices.
package entra

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"parley/store"
	"parley/store/redis"
)

// Method is how this service shows Entra who it is.
type Method string

// The methods.
const (
	// ManagedIdentity asks the machine that the service runs on. No secret is
	// needed. Where to ask is in the variables that Azure sets: App Service,
	// Container Apps, Functions, Arc, Service Fabric and Azure ML have their own; any
	// other machine is asked at 169.254.169.254.
	ManagedIdentity Method = "managed-identity"
	// WorkloadIdentity shows the token that Kubernetes puts in a file (RFC 7523).
	WorkloadIdentity Method = "workload-identity"
	// ClientSecret shows a secret (RFC 6749, section 4.4).
	ClientSecret Method = "client-secret"
)

// DefaultScope is what tokens for a Redis of Azure are for, in every cloud that the
// documentation names.
const DefaultScope = "https://redis.azure.com/.default"

// Options are what a Source needs to know.
type Options struct {
	Method Method
	// Authority is the tenant that issues the tokens, as an https:// URL, such as
	// "https://login.microsoftonline.com/<tenant id>". Not with ManagedIdentity.
	Authority string
	// ClientID is the application. With ManagedIdentity it is the identity that an
	// operator has made and given to the machine; "" for the machine's own.
	ClientID string
	// Secret is the client secret, with ClientSecret only.
	Secret string
	// TokenFile is the path of the file with the token of Kubernetes, with
	// WorkloadIdentity only. It is read for every fetch.
	TokenFile string
	// ObjectID is the user name in Redis: the object id of the identity. If it is
	// empty, it is the claim oid of each token.
	ObjectID string
	Scope    string // DefaultScope if empty
	// RootCAs are trusted for Authority; the system's if nil.
	RootCAs *x509.CertPool
	// Fetch is called when a fetch begins, and may be nil. The requests are made with the
	// context that it returns, and done is called at the end with a *store.Error of kind
	// store.ErrCredentials, context.Canceled where the Source was closed, or nil. It must
	// not block.
	Fetch func(ctx context.Context) (_ context.Context, done func(error))
	// Observed decorates the transport of the requests; nil leaves it as it is.
	Observed func(http.RoundTripper) http.RoundTripper
	// Told is called when a fetch fails after one that did not, and when one succeeds
	// after that. It must not block. It may be nil.
	Told func(Event)
}

// Event is a change between fetches that succeed and fetches that fail.
type Event struct {
	// Err is the failure, a *store.Error of kind store.ErrCredentials; nil when
	// tokens come again.
	Err error
	// Left is how long the token in use is still good; 0 for none. It is good for
	// so long whether tokens come or not.
	Left time.Duration
}

// Source has a valid token whenever there was one to be had. It is safe for use from
// many goroutines.
type Source struct {
	fetch    func(context.Context) (token, error)
	begun    func(context.Context) (context.Context, func(error)) // Options.Fetch
	objectID string
	told     func(Event)

	current atomic.Pointer[token]       // nil before the first
	refused atomic.Pointer[store.Error] // why the last fetch failed; nil if it did not

	end     context.CancelFunc
	running sync.WaitGroup
}

// token is a token that was fetched.
type token struct {
	secret  string
	user    string
	expires time.Time // by the monotonic clock of this process
}

// errNone is the cause while the first token is still being fetched.
var errNone = &store.Error{Op: "token", Kind: store.ErrCredentials, Reason: "no token has come yet"}

// New makes a Source and begins to fetch. It waits for nothing; its errors are about
// settings. Whoever made it closes it.
func New(o Options) (*Source, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	fetch, err := newFetch(o)
	if err != nil {
		return nil, err
	}
	return start(o, fetch), nil
}

// start makes a Source with any way to fetch.
func start(o Options, fetch func(context.Context) (token, error)) *Source {
	s := &Source{fetch: fetch, begun: o.Fetch, objectID: o.ObjectID, told: o.Told}
	if s.begun == nil {
		s.begun = func(ctx context.Context) (context.Context, func(error)) { return ctx, func(error) {} }
	}
	if s.told == nil {
		s.told = func(Event) {}
	}
	life, end := context.WithCancel(context.Background())
	s.end = end
	s.running.Go(func() { s.run(life) })
	return s
}

// check finds what cannot be meant. No error repeats a value.
func (o *Options) check() error {
	wrong := func(what string) error { return fmt.Errorf("entra: %s", what) }
	if o.Method == ManagedIdentity {
		if o.Authority != "" || o.Secret != "" || o.TokenFile != "" {
			return wrong("a managed identity needs no authority, no secret and no token file")
		}
		return nil
	}
	u, err := url.Parse(o.Authority)
	switch {
	case o.Method != WorkloadIdentity && o.Method != ClientSecret:
		return wrong("no such method")
	case err != nil || u.Scheme != "https" || u.Host == "" || len(u.Path) < 2:
		return wrong("the authority is no https:// URL with a tenant in its path")
	case o.ClientID == "":
		return wrong("the client id is missing")
	case o.Method == ClientSecret && (o.Secret == "" || o.TokenFile != ""):
		return wrong("a client secret is needed, and nothing else")
	case o.Method == WorkloadIdentity && (o.TokenFile == "" || o.Secret != ""):
		return wrong("a token file is needed, and nothing else")
	}
	return nil
}

// Credentials is for redis.Options.Credentials. It neither waits nor asks anybody.
// Without a valid token its error is a *store.Error of kind store.ErrCredentials that
// says why the last fetch failed.
func (s *Source) Credentials(context.Context) (redis.Credentials, error) {
	if t := s.current.Load(); t != nil && time.Now().Before(t.expires) {
		return redis.Credentials{User: t.user, Password: t.secret, Expires: t.expires}, nil
	}
	if err := s.refused.Load(); err != nil {
		return redis.Credentials{}, err
	}
	return redis.Credentials{}, errNone
}

// Failure says why the last fetch failed, whether or not the token in use is still
// good; nil if it did not fail. It is a *store.Error.
func (s *Source) Failure() error {
	if err := s.refused.Load(); err != nil {
		return err
	}
	return nil
}

// Close ends what fetches. Credentials answers until the last token ends.
func (s *Source) Close() {
	s.end()
	s.running.Wait()
}

// failed is a fetch that failed.
type failed struct {
	reason string        // in fixed words, with a number at most
	wait   time.Duration // that was asked for, 0 for none
}

// Error gives the reason.
func (f *failed) Error() string { return "entra: " + f.reason }

// outage is a failed fetch as the store's error.
func outage(err error) *store.Error {
	reason := "the token source failed"
	if f, ok := errors.AsType[*failed](err); ok {
		reason = f.reason
	}
	return &store.Error{Op: "token", Kind: store.ErrCredentials, Reason: reason, Cause: err}
}
