package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"parley/server/copilot"
	"parley/server/copilot/emulator"
	"parley/server/copilot/entra"
	"parley/telemetry"
)

// agentClient is the agent to talk to.
type agentClient struct {
	copilot.Agent
	name  string // says which it is, without secrets
	close func()
}

// openAgent makes the client of the agent. It starts the emulator where that is
// the agent.
func openAgent(c config, with seams, tel *telemetry.Telemetry, log *slog.Logger) (agentClient, error) {
	endpoint, stop := c.endpoint, func() {}
	var tokens copilot.TokenSource
	var name string
	switch {
	case c.emulator:
		url, stopEmulator, err := startEmulator()
		if err != nil {
			return agentClient{}, err
		}
		endpoint, tokens, stop = copilot.Endpoint{DirectConnectURL: url}, copilot.StaticToken(emulatorToken), stopEmulator
		name = "emulator in this process (say /help to it)"
	case c.stubToken != "":
		tokens, name = copilot.StaticToken(c.stubToken), c.agentTitle()+", with COPILOT_STUB_TOKEN for everybody"
	default:
		s, err := newTokens(c, with, tel)
		if err != nil {
			return agentClient{}, fmt.Errorf("COPILOT_AUTHORITY: %w", err)
		}
		tokens, stop, name = s, s.Close, c.agentTitle()+", on behalf of each user"
		if c.flow() == entra.ClientCredentials {
			name = c.agentTitle() + ", as this application"
		}
	}
	client, err := copilot.NewClient(copilot.Options{
		Endpoint: endpoint, UserAgent: userAgent(),
		Transport: tel.Transport(agentTransport(with)),
		// A turn has one limit, COPILOT_TIMEOUT, and the server sets it; silence within it
		// is the agent's right.
		Timeouts: copilot.Timeouts{FirstEvent: copilot.NoLimit, Idle: copilot.NoLimit},
		OnSkip: func(ctx context.Context, n int) {
			log.LogAttrs(ctx, slog.LevelWarn, "the agent sent activities that could not be read; they were left out", slog.Int("activities", n))
		},
	})
	if err != nil {
		stop()
		return agentClient{}, fmt.Errorf("COPILOT_DIRECT_CONNECT_URL: %w", err)
	}
	var agent copilot.Agent = client
	if with.agent != nil {
		agent = with.agent(agent)
	}
	address, _ := endpoint.URL("") // NewClient has checked it
	// The tokens are outside of what is observed: to wait for one, or to get none, is no
	// call of the agent.
	return agentClient{Agent: copilot.WithTokens(tel.Agent(agent, address), tokens), name: name, close: func() {
		client.CloseIdleConnections()
		stop()
	}}, nil
}

// userAgent is what the agent is told of who asks.
func userAgent() string { return "parley/" + version() }

// agentTransport is the way to the agent.
func agentTransport(with seams) *http.Transport {
	transport := copilot.NewTransport()
	transport.DialContext = newLookups().dialing(copilot.NewDialer())
	if with.agentRoots != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: with.agentRoots, MinVersion: tls.VersionTLS12}
	}
	return transport
}

// flow is how tokens for the agent are fetched.
func (c *config) flow() entra.Flow {
	if c.copilotFlow == flowClientCredentials || c.copilotFlow == "" && !c.authRequired {
		return entra.ClientCredentials
	}
	return entra.OnBehalfOf
}

// tokenLimit bounds the time that a turn waits for its token.
const tokenLimit = 15 * time.Second

// newTokens makes what fetches tokens for the agent.
func newTokens(c config, with seams, tel *telemetry.Telemetry) (*entra.Source, error) {
	scope, err := c.endpoint.TokenScope()
	if err != nil {
		return nil, err
	}
	transport := copilot.NewTransport()
	transport.DialContext = newLookups().dialing(copilot.NewDialer())
	if with.issuers != nil {
		with.issuers(transport)
	}
	authority := strings.TrimSuffix(c.copilotAuthority, "/") + "/" + c.copilotTenant
	watched := tel.TokenIssuer(telemetry.TokenForAgent, authority, copilot.ErrToken)
	return entra.New(entra.Options{
		Authority: authority,
		ClientID:  c.copilotApp, Secret: c.copilotSecret, Scope: scope, Flow: c.flow(),
		Transport: watched.Transport(transport), Trace: entra.Trace{Fetch: watched.Fetch, Failed: watched.Failed},
		// What is left of the turn is the agent's: it must not run out of time for a slow
		// issuer, and be blamed.
		Limit: min(tokenLimit, c.copilotTimeout/2),
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
