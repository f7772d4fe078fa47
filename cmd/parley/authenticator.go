package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"parley/server/auth"
	"parley/telemetry"
)

// authenticator decides who is asking.
type authenticator struct {
	auth.Verifier
	warnings []string // conditions that an operator should know of
	close    func()
}

// openAuth makes the authenticator. The keys are fetched in the background: an
// issuer that is away must not keep the service from starting.
func openAuth(ctx context.Context, c config, with seams, tel *telemetry.Telemetry, log *slog.Logger) (authenticator, error) {
	if with.verifier != nil {
		return authenticator{Verifier: with.verifier, close: func() {}}, nil
	}
	if !c.authRequired {
		return authenticator{
			Verifier: auth.Anyone{}, close: func() {},
			warnings: []string{"authentication is off: everybody who can reach this port is the same user"},
		}, nil
	}
	o, transport := authOptions(c, with)
	o.OnRefresh = func(err error) {
		if err != nil {
			log.LogAttrs(ctx, slog.LevelWarn, "signing keys could not be fetched; those that are known stay in use", slog.String("error", err.Error()))
		}
	}
	watched := tel.KeyIssuer(o.Source.Address(), auth.ErrUnavailable)
	o.Transport, o.Trace = watched.Transport(transport), auth.Trace{Fetch: watched.Fetch, Failed: watched.Failed}
	var warnings []string
	if len(o.Tenants) == 0 {
		warnings = []string{"ALLOWED_TENANT_IDS is empty: nobody can come in"}
	}
	b, err := auth.NewBearer(o)
	if err != nil {
		return authenticator{}, fmt.Errorf("AUTH_ISSUER: %w", err)
	}
	if err := tel.ObserveSigningKeys(b.KeysAge); err != nil {
		b.Close()
		return authenticator{}, err
	}
	stop := background(ctx, func(ctx context.Context) { _ = b.Refresh(ctx) }) // OnRefresh has said why
	return authenticator{Verifier: b, warnings: warnings, close: func() {
		stop()
		b.Close()
	}}, nil
}

// authOptions are what the settings say of the issuer of callers' tokens, and the way to
// it.
func authOptions(c config, with seams) (auth.Options, http.RoundTripper) {
	transport := auth.NewTransport()
	transport.DialContext = newLookups().dialing(&net.Dialer{})
	if with.issuers != nil {
		with.issuers(transport)
	}
	o := auth.Options{
		Source: auth.Source{Issuer: c.authIssuer, KeysURL: c.authKeysURL}, Audiences: c.authAudiences, Tenants: c.allowedTenants,
		Scopes: c.authScopes, Roles: c.authRoles,
	}
	if c.authIssuer == "" {
		o.Source = auth.CIAM(c.azureTenantName)
	}
	if len(o.Audiences) == 0 {
		o.Audiences = []string{"api://" + c.azureClientID, c.azureClientID}
	}
	return o, transport
}
