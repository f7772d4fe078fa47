package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"parley/server"
	"parley/server/auth"
	"parley/server/copilot"
	"parley/server/copilot/entra"
	"parley/server/turn"
	"parley/telemetry"
)

// partsOf are the parts that a configuration names, in the order in which a request
// needs them.
func partsOf(c config, with seams) (parts []part, closeAll func(), err error) {
	var closers []func()
	closeAll = func() {
		for _, f := range closers {
			f()
		}
	}
	// Only what is counted goes through it, and nothing is.
	tel, err := telemetry.New(telemetry.Options{Class: server.Class, Classes: classes()})
	if err != nil {
		return nil, nil, err
	}
	for _, open := range []func(config, seams, *telemetry.Telemetry) ([]part, func(), error){keyParts, redisParts, agentParts} {
		more, end, err := open(c, with, tel)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		parts, closers = append(parts, more...), append(closers, end)
	}
	return parts, closeAll, nil
}

func nothing() {}

// keyParts is the issuer of callers' tokens.
func keyParts(c config, with seams, _ *telemetry.Telemetry) ([]part, func(), error) {
	p := part{name: "signing keys", stage: server.StageAuth}
	if !c.authRequired {
		p.untried = "nobody signs in (AUTH_REQUIRED is false)"
		return []part{p}, nothing, nil
	}
	o, transport := authOptions(c, with)
	o.Transport = transport
	cause := make(chan error, 1)
	o.OnRefresh = func(err error) {
		select {
		case cause <- err:
		default:
		}
	}
	b, err := auth.NewBearer(o)
	if err != nil {
		return nil, nil, fmt.Errorf("AUTH_ISSUER: %w", err)
	}
	p.place = hostPort(o.Source.Address())
	p.try = func(ctx context.Context) (string, error) {
		if err := b.Refresh(ctx); err != nil {
			select {
			case why := <-cause:
				return "", &keysError{cmp.Or(why, err)}
			default:
				return "", &keysError{err}
			}
		}
		said := "the issuer gave keys that tokens can be verified with"
		if len(o.Tenants) == 0 {
			said += "; warning: ALLOWED_TENANT_IDS is empty, so nobody can come in"
		}
		return said, nil
	}
	return []part{p}, b.Close, nil
}

// agentParts are the agent and the issuer of the tokens for it.
func agentParts(c config, with seams, tel *telemetry.Telemetry) ([]part, func(), error) {
	token, agent := part{name: "agent's token", stage: turn.StageToken}, part{name: "agent", stage: turn.StageUpstream}
	if c.emulator {
		token.untried, agent.untried = "the emulated agent takes one of its own (COPILOT_EMULATOR)", "it is emulated inside the service (COPILOT_EMULATOR)"
		return []part{token, agent}, nothing, nil
	}
	client, err := copilot.NewClient(copilot.Options{Endpoint: c.endpoint, UserAgent: userAgent(), Transport: agentTransport(with)})
	if err != nil {
		return nil, nil, fmt.Errorf("COPILOT_DIRECT_CONNECT_URL: %w", err)
	}
	end := client.CloseIdleConnections
	address, _ := c.endpoint.URL("") // NewClient has checked it
	agent.place = hostPort(address)
	if c.stubToken != "" {
		token.untried = "it is COPILOT_STUB_TOKEN for everybody"
		agent.try = func(ctx context.Context) (string, error) {
			return askAgent(ctx, client, c.stubToken, "COPILOT_STUB_TOKEN")
		}
		return []part{token, agent}, end, nil
	}
	own := c
	own.copilotFlow = flowClientCredentials
	source, err := newTokens(own, with, tel)
	if err != nil {
		return nil, nil, fmt.Errorf("COPILOT_AUTHORITY: %w", err)
	}
	token.place = hostPort(c.copilotAuthority)
	closeBoth := func() {
		source.Close()
		end()
	}
	if c.flow() == entra.OnBehalfOf {
		token.try = func(ctx context.Context) (string, error) {
			if _, err := fetchToken(ctx, source); err != nil {
				return "", err
			}
			return "the issuer takes COPILOT_APP_ID and COPILOT_CLIENT_SECRET, and gave the application itself a token; not proven: that it exchanges a user's token, which needs one who is signed in", nil
		}
		agent.try = func(ctx context.Context) (string, error) { return askAgent(ctx, client, "", "") }
		return []part{token, agent}, closeBoth, nil
	}
	token.try = func(ctx context.Context) (string, error) {
		_, err := fetchToken(ctx, source)
		return "the issuer gave a token for the application", err
	}
	agent.try = func(ctx context.Context) (string, error) {
		secret, err := fetchToken(ctx, source) // the same fetch
		if err != nil {
			return "", err
		}
		return askAgent(ctx, client, secret, "the application's token")
	}
	return []part{token, agent}, closeBoth, nil
}

// fetchToken gets a token for the application.
func fetchToken(ctx context.Context, source copilot.TokenSource) (string, error) {
	secret, err := source.Token(ctx, copilot.Identity{})
	if errors.Is(err, context.DeadlineExceeded) {
		err = &copilot.Error{Op: "probe", Kind: copilot.ErrToken, Reason: copilot.ReasonTimeout, Cause: context.DeadlineExceeded}
	}
	return secret, err
}

// askAgent asks the agent's address, and says what that proves.
func askAgent(ctx context.Context, client *copilot.Client, token, shown string) (string, error) {
	status, err := client.Probe(ctx, token)
	if err != nil {
		return "", err
	}
	said := fmt.Sprintf("the address answers a GET with status %d", status)
	if token == "" {
		said += ", asked without a token, because the agent is asked on behalf of a user"
	} else {
		said += " and does not refuse " + shown
	}
	return said + "; not proven: that the agent is there and takes turns, which only a conversation would show", nil
}
