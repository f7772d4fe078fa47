package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"parley/server"
	"parley/server/auth"
	"parley/server/copilot"
	"parley/store"
	"parley/store/fair"
	"parley/telemetry"
	"parley/telemetry/provider"
)

// seams are what a test puts around, or in place of, parts of the service. The
// zero value is the program as it runs.
type seams struct {
	store      func(store.Store) store.Store     // wraps the backend; telemetry wraps the result
	agent      func(copilot.Agent) copilot.Agent // wraps the agent's client, likewise
	api        func(http.Handler) http.Handler   // wraps the API, likewise
	verifier   auth.Verifier                     // replaces the configured one
	agentRoots *x509.CertPool                    // trusted by the agent's client; the system's if nil
	issuers    func(*http.Transport)             // changes how issuers of tokens are reached
	clock      func() time.Time                  // what this instance takes for the time; time.Now if nil
}

// service is everything that runs in this process, put together by newService and
// nowhere else.
type service struct {
	config   config
	log      *slog.Logger
	tel      *telemetry.Telemetry
	provider *provider.Provider // what tel reports to
	large    *fair.Places
	store    backend
	agent    agentClient
	auth     authenticator
	health   *server.Health
	api      *server.Server
	web      *http.Server
	conns    *connections
	admin    *http.Server // nil without ADMIN_PORT
}

// newService builds the service. It connects to nothing, but begins to fetch
// signing keys. Log lines go to logs, for which nothing waits.
func newService(ctx context.Context, c config, with seams, logs io.Writer) (_ *service, err error) {
	s := &service{config: c, large: fair.Processors()}
	defer func() {
		if err != nil {
			s.discard(ctx)
		}
	}()
	if s.tel, s.provider, err = openTelemetry(ctx, c, logs); err != nil {
		return nil, configError{err}
	}
	s.log = slog.New(s.provider.Logs)
	if s.store, err = openStore(c, with, s.large, s.tel, s.log); err != nil {
		return nil, err
	}
	if s.agent, err = openAgent(c, with, s.tel, s.log); err != nil {
		return nil, err
	}
	if s.auth, err = openAuth(ctx, c, with, s.tel, s.log); err != nil {
		return nil, err
	}
	s.health = server.NewHealth(server.HealthConfig{
		Backend: s.store.name, Ping: s.store.Ping, Starved: s.store.starved, Shards: s.store.shards, Version: version(), Now: with.clock, Log: s.log,
		Warnings: func() []string { return slices.Concat(s.auth.warnings, s.store.warnings()) },
	})
	if s.api, err = s.newAPI(with); err != nil {
		return nil, err
	}
	if err = errors.Join(s.tel.ObserveStore(s.health.StoreAlive), s.tel.ObserveShards(s.health.Shards), s.tel.ObserveCommits(s.api.PendingCommits),
		s.tel.ObserveLogs(s.provider.DroppedLines), s.tel.ObserveBuild(built().version, built().commit)); err != nil {
		return nil, err
	}
	var handler http.Handler = s.api
	if with.api != nil {
		handler = with.api(handler)
	}
	handler = s.tel.Handler(contained(handler, s.log))
	if c.admin {
		s.admin = newAdmin(s.api.AdminHandler(), s.provider.Metrics, s.log)
	} else {
		handler = withMetrics(handler, s.api, s.provider.Metrics)
	}
	s.web, s.conns = newWeb(handler, connectionLimit(c.maxConnections), s.log)
	if s.conns.limit < c.maxConnections {
		s.config.warnings = append(s.config.warnings, fmt.Sprintf("MAX_CONNECTIONS is more than half of the files that this process may open: %d connections are kept, and the other half is for the agent and Redis", s.conns.limit))
	}
	return s, s.tel.ObserveConnections(s.conns.count)
}

// newAPI makes the HTTP API from the other parts.
func (s *service) newAPI(with seams) (*server.Server, error) {
	c := s.config
	cfg := server.Config{
		Store: s.store.Store, Agent: s.agent.Agent, Health: s.health, Auth: s.auth.Verifier, AuthRequired: c.authRequired, DevOwner: c.devOwner, Log: s.log,
		CORSOrigin: c.corsOrigin, Loopback: server.IsLoopback(c.host), AllowedActions: c.allowedActions, AllowedDomains: c.allowedDomains,
		UpstreamTimeout: c.copilotTimeout, StoreTimeout: c.redisTimeout + time.Second, CommitTimeout: c.redisTimeout,
		TurnWait: c.turnWait, MaxTurns: c.maxTurns, MaxRequests: 4 * c.maxTurns, MaxAuthWaiting: auth.MaxWaiting,
		MaxBodyBytes: c.maxMemory, MaxAnswerBytes: c.maxMemory, Large: s.large, BriefHealth: c.admin, ReadyWithoutStore: c.readyWithoutStore, Now: with.clock,
		Limits: store.Limits{Turns: c.maxConversationTurns, Bytes: c.maxConversationBytes}, MaxTurnBytes: c.maxAnswerBytes,
	}
	if c.authRequired {
		// Without sign-in, everybody is one user.
		cfg.MaxTurnsPerOwner, cfg.MaxRequestsPerOwner = c.maxTurnsPerUser, c.maxRequestsPerUser
		cfg.Limits.Conversations = c.maxConversationsPerUser
	}
	var err error
	if cfg.Try, err = s.newTry(); err != nil {
		return nil, err
	}
	observeAPI(&cfg, s.tel)
	if c.staticDir != "" {
		// A root, unlike os.DirFS, does not follow links out of the directory. It
		// is needed as long as the process lives.
		root, err := os.OpenRoot(c.staticDir)
		if err != nil {
			return nil, fmt.Errorf("STATIC_DIR: %w", err)
		}
		cfg.Static = root.FS()
	}
	return server.New(cfg)
}

// serve runs the service until ctx is done, and shuts it down.
func serve(ctx context.Context, c config, with seams, stdout, stderr io.Writer) error {
	s, err := newService(ctx, c, with, stderr)
	if err != nil {
		return err
	}
	// Process-wide, so here and not in newService.
	stdlog.SetFlags(stdlog.Lshortfile)
	stdlog.SetOutput(libraryLog{s.log})
	listener, err := listen(ctx, c.host, c.port)
	if err != nil {
		s.discard(ctx)
		return fmt.Errorf("PORT: cannot listen: %w", err)
	}
	var admin net.Listener
	if s.admin != nil {
		if admin, err = listen(ctx, c.adminHost, c.adminPort); err != nil {
			s.discard(ctx)
			return errors.Join(fmt.Errorf("ADMIN_PORT: cannot listen: %w", err), listener.Close())
		}
	}
	return s.run(ctx, listener, admin, stdout)
}

func listen(ctx context.Context, host string, port int) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
}

// run answers what comes in at the listeners until ctx is done, and shuts the
// service down. admin is nil without ADMIN_PORT. It may be called once.
func (s *service) run(ctx context.Context, listener, admin net.Listener, stdout io.Writer) error {
	// What runs in the background goes on while the last turns do.
	life := context.WithoutCancel(ctx)
	stopProbes, stopWatch := background(life, s.health.Run), background(life, s.store.watch)
	stopTelling := background(life, s.conns.tell)
	start := []slog.Attr{
		slog.String("address", listener.Addr().String()), slog.String("store", s.store.name), slog.String("agent", s.agent.name),
		slog.Bool("auth_required", s.config.authRequired), slog.String("version", version()),
	}
	if s.store.mode != "" {
		start = append(start, slog.String("redis_mode", string(s.store.mode)), slog.Bool("redis_tls", s.store.secured))
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "listening", start...)
	for _, w := range slices.Concat(s.config.warnings, s.auth.warnings) {
		s.log.LogAttrs(ctx, slog.LevelWarn, w)
	}
	for _, n := range s.config.notes {
		s.log.LogAttrs(ctx, slog.LevelInfo, n)
	}
	served := make(chan error, 2)
	if admin != nil {
		s.log.LogAttrs(ctx, slog.LevelInfo, "administration", slog.String("address", admin.Addr().String()))
		go func() { served <- s.admin.Serve(admin) }()
	}
	printWithin(printTime, func() { announce(stdout, s.config, listener.Addr(), s.store.title(), s.agent.name) })

	go func() { served <- s.web.Serve(listener) }()
	var failed error
	select {
	case err := <-served:
		failed = fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.health.SetDraining()
	if failed == nil && s.config.drainDelay > 0 {
		s.log.LogAttrs(ctx, slog.LevelInfo, "draining", slog.Duration("for", s.config.drainDelay))
		select {
		case err := <-served:
			failed = fmt.Errorf("serve: %w", err)
		case <-time.After(s.config.drainDelay):
		}
	}
	if s.admin != nil {
		// At the very end: a profile of a service that does not stop shows why.
		defer func() { _ = s.admin.Close() }()
	}
	if err := s.shutdown(life, failed, stopProbes, stopWatch, stopTelling); err != nil {
		return loggedError{err}
	}
	return nil
}

// announce tells a person what is active and what to try.
func announce(w io.Writer, c config, addr net.Addr, store, agent string) {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	base := "http://" + net.JoinHostPort(host, port)
	signIn, header := "off: everybody is the same user", ""
	if c.authRequired {
		signIn, header = "on: callers show a bearer token", " -H \"Authorization: Bearer $TOKEN\""
	}
	page := ""
	if c.tryPage {
		page = "  " + base + "/try   in a browser\n"
	}
	fmt.Fprintf(w, `Parley %s is listening on %s
  store  %s
  agent  %s
  auth   %s
Try:
%s  curl -s -X POST%s %s/api/chat/start
`, version(), base, store, agent, signIn, page, header, base)
}
