// Package server is the HTTP API: what may be asked is in routes.go, how a
// request is carried in adapter.go, and what every failure looks like in
// failure.go. Turns run in package turn, which knows no HTTP.
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
)

// Config is what a Server is made of. Store, Agent and Health must be given;
// everything else has a default.
type Config struct {
	Store store.Store
	Agent copilot.Agent
	// Health answers the three health routes. Whoever made it runs it.
	Health *Health
	// Auth decides who is asking. Nil only when AuthRequired is false, and then
	// everybody is the placeholder owner.
	Auth         auth.Verifier
	AuthRequired bool
	Log          *slog.Logger // nil discards

	// CORSOrigin is the one origin whose scripts may call the API; empty for
	// none. A wildcard is refused.
	CORSOrigin string
	// Loopback says that the service listens on this machine only. Without
	// authentication, requests must then name this machine, or the host of
	// CORSOrigin, in Host.
	Loopback bool
	// AllowedActions are the card actions that are let through; nil means
	// DefaultActions.
	AllowedActions []string
	// AllowedDomains are the domains that Action.OpenUrl may lead to, or below;
	// nil means DefaultDomains.
	AllowedDomains []string
	// Static is served where no route matches, with index.html for paths that
	// name no file; nil for nothing. Files and directories whose name begins
	// with a dot are never served.
	Static fs.FS

	// UpstreamTimeout bounds all that one turn asks of the agent; 0 means
	// DefaultUpstreamTimeout.
	UpstreamTimeout time.Duration
	// StoreTimeout bounds a store call that no longer hangs on the client's
	// request; 0 means DefaultStoreTimeout. It should exceed the store's own.
	StoreTimeout time.Duration
	// CommitTimeout is how long a request goes on trying to store the agent's
	// answer, and how long one attempt after it may take; 0 means
	// DefaultCommitTimeout. It should be the store's own limit for one call.
	CommitTimeout time.Duration
	// TurnWait is how long a request waits while another turn runs in its
	// conversation, before it is refused with "turn_conflict"; 0 for not at all.
	TurnWait time.Duration
	// MaxTurns is how many turns run at once before more are refused with
	// "overloaded", MaxTurnsPerOwner how many of one owner; 0 for no bound.
	MaxTurns, MaxTurnsPerOwner int
	// MaxRequests is how many requests of routes that ask who it is are worked on at
	// once before more are refused with "overloaded", MaxRequestsPerOwner how many
	// of one owner. As many again may have their token verified. 0 for no bound.
	MaxRequests, MaxRequestsPerOwner int
	// MaxBodyBytes bounds the bytes of all bodies that are read or worked on at
	// once, before more are refused with "overloaded"; 0 for no bound.
	MaxBodyBytes int

	// OnDone is called once for every request, before the handler returns, with
	// the request's own context; nil for nothing.
	OnDone func(context.Context, Done)
	// OnCommitDropped is called for every end of a turn that was given up without
	// being stored, with the class of what kept it from that; nil for nothing. It
	// must not call the Server.
	OnCommitDropped func(class string)
	// TraceID names the trace that a request belongs to, for problem bodies and
	// the log. When nil, or when it returns "", the id comes from the request's
	// traceparent header, and is random when that has none.
	TraceID func(context.Context) string

	Now   func() time.Time // nil means time.Now
	NewID func() string    // makes UUIDs; nil means version 7
}

// Defaults of Config.
const (
	DefaultUpstreamTimeout = 60 * time.Second
	DefaultStoreTimeout    = 6 * time.Second
	DefaultCommitTimeout   = 5 * time.Second
)

// DefaultActions and DefaultDomains are the allow-lists of card actions when
// nothing else is configured.
func DefaultActions() []string { return []string{"Action.Submit", "Action.OpenUrl"} }

// DefaultDomains are where Action.OpenUrl may lead by default.
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
}

// New builds a Server and reports everything that is wrong with cfg at once.
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
	})
	s.adapter = &adapter{cfg: &s.cfg, admission: newAdmission(&s.cfg), pages: pages}
	s.chat = &chatRoutes{turns: s.turns, cards: cardPolicy{cfg.AllowedActions, normalDomains(cfg.AllowedDomains)}, newID: cfg.NewID}
	s.conversations = &conversationRoutes{store: cfg.Store, now: cfg.Now}
	s.probes = &probeRoutes{state: cfg.Health, authRequired: cfg.AuthRequired}
	s.handler = s.crossOrigin(s.mux())
	return s, nil
}

// ServeHTTP implements http.Handler. Nothing between it and the mux clones the
// request, so a handler around it finds the matched route in r.Pattern.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// PendingCommits is how many turns have ended and could not yet be stored.
func (s *Server) PendingCommits() int { return s.turns.PendingCommits() }

// Shutdown refuses new turns and waits for those that run, and for what they
// left to be stored. When ctx is done first, it ends them and returns the
// context's error: each is recorded as failed with class "shutting_down", and
// what the store has not taken by then is dropped.
// Call it before the listener is closed for good and the store with it.
func (s *Server) Shutdown(ctx context.Context) error { return s.turns.Shutdown(ctx) }

// check reports what New cannot work with.
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

// fill puts the defaults in.
func (c *Config) fill() {
	if c.Auth == nil {
		c.Auth = auth.Anyone{}
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
	if c.TraceID == nil {
		c.TraceID = func(context.Context) string { return "" }
	}
	c.AllowedActions = slices.Clone(c.AllowedActions)
}
