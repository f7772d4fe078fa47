package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"parley/server/auth"
	"parley/server/copilot"
	"parley/server/copilot/emulator"
	"parley/server/copilot/entra"
	"parley/store"
	"parley/store/memory"
	"parley/store/redis"
	"parley/telemetry"
)

// place is where conversations are kept.
type place struct {
	store.Store
	backend  string                // "memory" or "redis"
	watch    func(context.Context) // runs as long as the service does; nil for nothing
	warnings func() []string       // what an operator should know of
}

// openStore is the one place that chooses a backend: Redis when REDIS_URL is
// set, memory when it is not, and never one for the other.
func openStore(c config, tel *telemetry.Telemetry, log *slog.Logger) (place, error) {
	if c.redisURL == "" {
		s, err := observeStore(memory.New(memory.Options{TTL: c.ttl, MaxConversations: c.maxConversations}), "memory", tel)
		return place{Store: s, backend: "memory", warnings: func() []string { return nil }}, err
	}
	r, err := redis.New(redis.Options{
		URL: c.redisURL, RootCAs: c.redisCAs, CertFile: c.redisCertFile, KeyFile: c.redisKeyFile, Prefix: c.redisPrefix, TTL: c.ttl, Timeout: c.redisTimeout,
		Trace: redisTrace(tel),
	})
	if err != nil {
		return place{}, fmt.Errorf("REDIS_URL: %w", err)
	}
	s, err := observeStore(r, "redis", tel)
	watch := &redisWatch{policy: r.EvictionPolicy, roleUntold: r.RoleUntold, log: log}
	return place{Store: s, backend: "redis", watch: watch.run, warnings: watch.warnings}, err
}

// openAuth gives what decides who is asking, and what an operator should know of
// it. The keys are fetched in the background: an issuer that is away must not keep
// the service from starting.
func openAuth(ctx context.Context, c config, log *slog.Logger) (v auth.Verifier, warnings []string, end func(), err error) {
	if !c.authRequired {
		return auth.Anyone{}, []string{"authentication is off: everybody who can reach this port is the same user"}, func() {}, nil
	}
	o := auth.Options{
		Source: auth.Source{Issuer: c.authIssuer, KeysURL: c.authKeysURL}, Audiences: c.authAudiences, Tenants: c.allowedTenants,
		OnRefresh: func(err error) {
			if err != nil {
				log.LogAttrs(ctx, slog.LevelWarn, "signing keys could not be fetched; those that are known stay in use", slog.String("error", err.Error()))
			}
		},
	}
	if c.authIssuer == "" {
		o.Source = auth.CIAM(c.azureTenantName)
	}
	if len(o.Audiences) == 0 {
		o.Audiences = []string{"api://" + c.azureClientID, c.azureClientID}
	}
	if len(o.Tenants) == 0 {
		warnings = []string{"ALLOWED_TENANT_IDS is empty: nobody can come in"}
	}
	b, err := auth.NewBearer(o)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("AUTH_ISSUER: %w", err)
	}
	stop := background(ctx, func(ctx context.Context) { _ = b.Refresh(ctx) }) // OnRefresh has said why
	return b, warnings, func() {
		stop()
		b.Close()
	}, nil
}

// openAgent gives the agent to talk to, and a name for it that holds no secret.
func openAgent(c config, tel *telemetry.Telemetry) (agent copilot.Agent, name string, end func(), err error) {
	endpoint, stop := c.endpoint, func() {}
	var tokens copilot.TokenSource
	switch {
	case c.emulator:
		var url string
		if url, stop, err = startEmulator(); err != nil {
			return nil, "", nil, err
		}
		endpoint, tokens, name = copilot.Endpoint{DirectConnectURL: url}, copilot.StaticToken(emulatorToken), "emulator in this process (say /help to it)"
	case c.stubToken != "":
		tokens, name = copilot.StaticToken(c.stubToken), "Copilot Studio, with COPILOT_STUB_TOKEN for everybody"
	default:
		s, err := newTokens(c)
		if err != nil {
			return nil, "", nil, fmt.Errorf("COPILOT_AUTHORITY: %w", err)
		}
		tokens, stop, name = s, s.Close, "Copilot Studio, on behalf of each user"
		if c.flow() == entra.ClientCredentials {
			name = "Copilot Studio, as this application"
		}
	}
	client, err := copilot.NewClient(copilot.Options{
		Endpoint: endpoint, Tokens: tokens, UserAgent: "parley/" + version(),
		Transport: tel.Transport(copilot.NewTransport()),
		// A turn has one budget, COPILOT_TIMEOUT; silence within it is the agent's right.
		Timeouts: copilot.Timeouts{FirstEvent: c.copilotTimeout, Idle: c.copilotTimeout},
	})
	if err != nil {
		stop()
		return nil, "", nil, fmt.Errorf("COPILOT_DIRECT_CONNECT_URL: %w", err)
	}
	address, _ := endpoint.URL("") // NewClient has checked it
	return tel.Agent(client, address), name, func() {
		client.CloseIdleConnections()
		stop()
	}, nil
}

// flow is how tokens for the agent are fetched.
func (c *config) flow() entra.Flow {
	if c.copilotFlow == flowClientCredentials || c.copilotFlow == "" && !c.authRequired {
		return entra.ClientCredentials
	}
	return entra.OnBehalfOf
}

// newTokens makes what fetches tokens for the agent.
func newTokens(c config) (*entra.Source, error) {
	scope, err := c.endpoint.TokenScope()
	if err != nil {
		return nil, err
	}
	return entra.New(entra.Options{
		Authority: strings.TrimSuffix(c.copilotAuthority, "/") + "/" + c.copilotTenant,
		ClientID:  c.copilotApp, Secret: c.copilotSecret, Scope: scope, Flow: c.flow(),
	})
}

// emulatorToken is what the emulated agent in this process lets in.
const emulatorToken = "emulator"

// startEmulator serves an emulated agent on a port of its own, so that what is
// in between is the real protocol over a real connection.
func startEmulator() (url string, stop func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("COPILOT_EMULATOR: cannot listen: %w", err)
	}
	web := &http.Server{Handler: emulator.New(emulator.Options{Token: emulatorToken}), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = web.Serve(l) // ends with Close
	}()
	return "http://" + l.Addr().String() + "/emulator", func() {
		_ = web.Close()
		<-done
	}, nil
}
