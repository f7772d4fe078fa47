// Package server is the HTTP API. routes.go lists the routes, adapter.go handles
// every request, failure.go is the table of failures. Package turn runs turns and
// knows no HTTP. README.md says why it is built like this.
package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"parley/server/auth"
	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
	"parley/store/fair"
)

// Config configures a Server. Store, Agent and Health are required; everything else
// has a default.
type Config struct {
	Store store.Store
	Agent copilot.Agent
	// Health answers the health routes. The caller runs its probes (Health.Run).
	Health *Health
	// Auth verifies callers. It may be nil only when AuthRequired is false; then every
	// caller is the placeholder owner.
	Auth         auth.Verifier
	AuthRequired bool
	// DevOwner is the placeholder owner: of all that happens when nobody signs in. An
	// empty part means that of store.DefaultTenant and store.DefaultUser.
	DevOwner store.Owner
	Log      *slog.Logger // nil discards

	// CORSOrigin is the one origin whose scripts may call the API; empty for none.
	// A wildcard is an error.
	CORSOrigin string
	// Loopback says that the service listens on this machine only. Without
	// authentication, requests must then name this machine, or the host of
	// CORSOrigin, in Host.
	Loopback bool
	// AllowedActions are the card actions that may be submitted; nil means
	// DefaultActions.
	AllowedActions []string
	// AllowedDomains are the domains that Action.OpenUrl may open, with their
	// subdomains; nil means DefaultDomains.
	AllowedDomains []string
	// Static is served where no route matches, with index.html for paths that name
	// no file; nil for none. Names that begin with a dot are never served.
	Static fs.FS
	// Try is a page to try the service with; nil for none.
	Try *Try

	// UpstreamTimeout bounds the agent's part of one turn; 0 means
	// DefaultUpstreamTimeout.
	UpstreamTimeout time.Duration
	// StoreTimeout bounds a store call that outlives the client's request; 0 means
	// DefaultStoreTimeout. It should exceed the store's own limit.
	StoreTimeout time.Duration
	// CommitTimeout is how long a request tries to store the agent's answer, and the
	// limit of one later attempt; 0 means DefaultCommitTimeout. It should be the
	// store's own limit for one call.
	CommitTimeout time.Duration
	// TurnWait is how long a request waits while another turn runs in its
	// conversation, before it is refused with "turn_conflict"; 0 for not at all.
	TurnWait time.Duration
	// MaxTurns bounds the turns that run at once, MaxTurnsPerOwner those of one owner;
	// more are refused with class overloaded. 0 for no bound.
	MaxTurns, MaxTurnsPerOwner int
	// Limits bound what one owner keeps; more is refused with class conversation_full
	// or quota_exceeded. The zero value bounds nothing.
	Limits store.Limits
	// MaxTurnBytes bounds what the agent says in one turn, in the form in which it is
	// stored; 0 for no bound. More is a failure of class upstream_protocol.
	MaxTurnBytes int
	// MaxRequests bounds the authenticated requests that are handled at once,
	// MaxRequestsPerOwner those of one owner; more are refused with class overloaded.
	// As many again may have their token verified. 0 for no bound.
	MaxRequests, MaxRequestsPerOwner int
	// MaxAuthWaiting is how many calls of Auth may wait for something outside of
	// this process. Their requests have places of their own, so that they never take
	// those of callers whose token can be verified at once.
	MaxAuthWaiting int
	// MaxBodyBytes bounds the bytes of all bodies that are in memory at once; more are
	// refused with class overloaded. 0 for no bound.
	MaxBodyBytes int
	// MaxAnswerBytes bounds the bytes of all answers that are written at once; one that
	// gets no room within two seconds is refused with "overloaded". 0 for no bound. It
	// must exceed the largest answer.
	MaxAnswerBytes int
	// Large bounds how many large pages are decoded and encoded at once; the Store should
	// have the same. Nil bounds nothing.
	Large *fair.Places
	// BriefHealth has /health say no more than status and redis. The whole is at
	// AdminHandler.
	BriefHealth bool
	// ReadyWithoutStore has /readyz want traffic also while the store does not answer.
	ReadyWithoutStore bool

	// OnDone is called once for every request, before the handler returns, with the
	// request's context; may be nil.
	OnDone func(context.Context, Done)
	// OnCommitDropped is called for every result of a turn that is dropped without
	// being stored, with the failure class that kept it from being stored; may be nil.
	// It must not call the Server.
	OnCommitDropped func(class string)
	// Traceparent gives the span that answers a request as a traceparent of the W3C
	// trace context, version 00. Every answer carries it in that header, and problem
	// bodies and the log carry its trace id. When nil, or when it returns "", random
	// ids are made.
	Traceparent func(context.Context) string
	// OwnerHash is how an owner appears in the log and in Done: a keyed hash. When
	// nil, or when it returns "", owners do not appear.
	OwnerHash func(store.Owner) string

	Now   func() time.Time // nil means time.Now
	NewID func() string    // makes UUIDs; nil means version 7
}

// Defaults of Config.
const (
	DefaultUpstreamTimeout = 60 * time.Second
	DefaultStoreTimeout    = 6 * time.Second
	DefaultCommitTimeout   = 5 * time.Second
)

// DefaultActions are the card actions that are allowed by default.
func DefaultActions() []string { return []string{"Action.Submit", "Action.OpenUrl"} }

// DefaultDomains are the domains that Action.OpenUrl may open by default.
func DefaultDomains() []string { return []string{"copilot.microsoft.com", "microsoft.com"} }

// Server is the HTTP API. It is safe for use from many goroutines.
type Server struct {
	cfg           Config
	handler       http.Handler
	turns         *turn.Runner
	adapter       *adapter
	chat          *chatRoutes
	conversations *conversationRoutes
	probes        *probeRoutes
	try           *tryRoutes // nil without the page
	admin         http.Handler
}

// New makes a Server. Its error names everything that is wrong with cfg.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.fill()
	pages, err := newPages(cfg)
	if err != nil {
		return nil, fmt.Errorf("server: CORSOrigin: %w", err)
	}
	s := &Server{cfg: cfg}
	s.turns = turn.New(turn.Config{
		Store: cfg.Store, Agent: cfg.Agent, Log: cfg.Log, Now: cfg.Now, NewID: cfg.NewID,
		Class: Class, OnAgent: cfg.Health.sawUpstream, OnCommitDropped: cfg.OnCommitDropped,
		AgentTimeout: cfg.UpstreamTimeout, StoreTimeout: cfg.StoreTimeout, CommitTimeout: cfg.CommitTimeout, TurnWait: cfg.TurnWait,
		MaxTurns: cfg.MaxTurns, MaxTurnsPerOwner: cfg.MaxTurnsPerOwner,
		Limits: cfg.Limits, MaxAnswerBytes: cfg.MaxTurnBytes,
	})
	s.adapter = &adapter{cfg: &s.cfg, admission: newAdmission(&s.cfg), pages: pages}
	s.chat = &chatRoutes{turns: s.turns, cards: cardPolicy{cfg.AllowedActions, normalDomains(cfg.AllowedDomains)}, newID: cfg.NewID}
	s.conversations = &conversationRoutes{store: cfg.Store, large: cfg.Large, now: cfg.Now}
	s.probes = &probeRoutes{state: cfg.Health, authRequired: cfg.AuthRequired, brief: cfg.BriefHealth, withoutStore: cfg.ReadyWithoutStore}
	if cfg.Try != nil {
		if s.try, err = newTry(*cfg.Try, cfg.Health.cfg.Backend, cfg.AuthRequired); err != nil {
			return nil, err
		}
	}
	s.admin = s.adminMux()
	s.handler = s.crossOrigin(s.mux())
	return s, nil
}

// ServeHTTP implements http.Handler. Nothing between it and the mux copies the
// request, so a handler around it finds the matched route in r.Pattern.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// PendingCommits is the number of turns whose result waits to be stored.
func (s *Server) PendingCommits() int { return s.turns.PendingCommits() }

// Shutdown refuses new turns and waits for those that run, and for results that wait
// to be stored. When ctx is done first, it ends the turns and returns the context's
// error: each is recorded as failed with class "shutting_down", and results that the
// store has not taken by then are dropped. Call it before the listener and the store
// are closed.
func (s *Server) Shutdown(ctx context.Context) error { return s.turns.Shutdown(ctx) }

// check reports what is wrong with the configuration.
func (c *Config) check() error {
	var errs []error
	if c.Store == nil {
		errs = append(errs, errors.New("server: Store is missing"))
	}
	if c.Agent == nil {
		errs = append(errs, errors.New("server: Agent is missing"))
	}
	if c.Health == nil {
		errs = append(errs, errors.New("server: Health is missing"))
	}
	if _, anyone := c.Auth.(auth.Anyone); c.AuthRequired && (c.Auth == nil || anyone) {
		errs = append(errs, errors.New("server: authentication is required and nothing verifies it"))
	}
	if c.CORSOrigin != "" && !ValidOrigin(c.CORSOrigin) {
		errs = append(errs, fmt.Errorf("server: CORSOrigin %q is not one origin of the form scheme://host[:port]", c.CORSOrigin))
	}
	return errors.Join(errs...)
}

// fill sets the defaults.
func (c *Config) fill() {
	if c.Auth == nil {
		c.Auth = auth.Anyone{}
	}
	if c.DevOwner.Tenant == "" {
		c.DevOwner.Tenant = store.DefaultTenant
	}
	if c.DevOwner.User == "" {
		c.DevOwner.User = store.DefaultUser
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.AllowedActions == nil {
		c.AllowedActions = DefaultActions()
	}
	if c.AllowedDomains == nil {
		c.AllowedDomains = DefaultDomains()
	}
	if c.UpstreamTimeout == 0 {
		c.UpstreamTimeout = DefaultUpstreamTimeout
	}
	if c.StoreTimeout == 0 {
		c.StoreTimeout = DefaultStoreTimeout
	}
	if c.CommitTimeout == 0 {
		c.CommitTimeout = DefaultCommitTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		c.NewID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	if c.OnDone == nil {
		c.OnDone = func(context.Context, Done) {}
	}
	if c.OnCommitDropped == nil {
		c.OnCommitDropped = func(string) {}
	}
	if c.Traceparent == nil {
		c.Traceparent = func(context.Context) string { return "" }
	}
	if c.OwnerHash == nil {
		c.OwnerHash = func(store.Owner) string { return "" }
	}
	c.AllowedActions = slices.Clone(c.AllowedActions)
}
