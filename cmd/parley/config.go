package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"parley/server/auth"
	"parley/server/copilot"
	"parley/store"
	"parley/store/redis"
	"parley/telemetry"
	"parley/telemetry/provider"
)

// config is what the settings amount to.
type config struct {
	host, corsOrigin, staticDir string
	port                        int
	maxTurns, maxTurnsPerUser   int
	maxRequestsPerUser          int
	maxConnections, maxMemory   int
	shutdownTimeout, drainDelay time.Duration
	turnWait                    time.Duration
	readyWithoutStore           bool
	admin                       bool // whether there is a port for administration
	adminHost                   string
	adminPort                   int

	redisURL, redisPrefix, redisCAFile string
	redisCertFile, redisKeyFile        string
	redisLegacy                        bool
	redisGiven                         bool // whether there is a REDIS_URL, be it one that cannot be used
	deployment                         deployment
	redisCAs                           *x509.CertPool
	ttl, redisTimeout                  time.Duration
	maxConversations, maxMemoryBytes   int
	maxConversationTurns               int
	maxConversationBytes               int
	maxConversationsPerUser            int
	maxAnswerBytes                     int

	authRequired                   bool
	devOwner                       store.Owner
	azureTenantName, azureClientID string
	authIssuer, authKeysURL        string
	allowedTenants, authAudiences  []string
	authScopes, authRoles          []string

	emulator                                            bool
	endpoint                                            copilot.Endpoint
	stubToken, copilotTenant, copilotApp, copilotSecret string
	copilotFlow, copilotAuthority                       string
	copilotTimeout                                      time.Duration

	allowedActions, allowedDomains []string
	logLevel                       slog.Level
	prometheus                     bool
	ownerKey                       string
	traceTrust                     telemetry.Trust
	tryPage, tryPageGiven          bool
	traceURL                       string // of a trace, with traceIDs for its id

	warnings []string // what is likely wrong, and no fault
	notes    []string // what follows from settings that were left out
}

// value is what a setting has: the variable as it stands, or its default where that
// is unset or empty.
func (s setting) value(env environment) string {
	if v := env[s.name]; v != "" {
		return v
	}
	return s.def
}

// load reads the configuration and reports everything that is wrong with it at
// once, each fault with the name of its variable.
func load(env environment) (config, error) {
	c := config{warnings: misnamed(env)}
	var faults []error
	for _, s := range settings() {
		v := s.value(env)
		err := s.read(&c, v)
		if strings.TrimSpace(v) != v {
			// Taken away, it could turn a setting into nothing, or into its opposite;
			// left, it is in nobody's password.
			err = errors.New("has white space around it")
		}
		if err != nil {
			faults = append(faults, fault(s, v, err))
		}
	}
	faults = append(faults, c.check()...)
	faults = append(faults, provider.Check(env.get)...)
	return c, errors.Join(faults...)
}

// check finds what is wrong with settings taken together.
func (c *config) check() []error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	faults = append(faults, c.checkAuth()...)
	if !c.tryPageGiven {
		c.tryPage = c.emulator
	}
	if c.admin && c.adminPort == c.port && c.port != 0 {
		bad("ADMIN_PORT: %d is PORT; expected another", c.adminPort)
	}
	if c.adminHost == "" {
		c.adminHost = c.host
	}
	if c.redisURL != "" {
		s, err := redis.New(redis.Options{URL: c.redisURL, CertFile: c.redisCertFile, KeyFile: c.redisKeyFile})
		switch {
		case errors.Is(err, redis.ErrCertificate):
			bad("REDIS_CERT_FILE: cannot be used with REDIS_KEY_FILE; expected a PEM certificate and its key, and a REDIS_URL with rediss://")
		case errors.Is(err, redis.ErrUnverified):
			bad("REDIS_URL: skip_verify is not supported; expected REDIS_CA_FILE for a private authority")
		case err != nil:
			bad("REDIS_URL: is no such URL; expected redis://[user:password@]host:port[/db], or rediss:// for TLS")
		default:
			_ = s.Close()
		}
	}
	if err := c.readCAs(); err != nil {
		faults = append(faults, err)
	}
	if c.redisCAFile != "" && strings.HasPrefix(c.redisURL, "redis://") {
		bad("REDIS_CA_FILE: would be ignored without TLS; expected REDIS_URL to begin with rediss://")
	}
	faults = append(faults, c.checkDeployment()...)
	if c.ttl > 0 && c.copilotTimeout > 0 && c.ttl <= c.copilotTimeout {
		// A conversation would expire under the turn that runs in it.
		bad("REDIS_TTL: %v is not longer than COPILOT_TIMEOUT (%v)", c.ttl, c.copilotTimeout)
	}
	return append(faults, c.checkAgent()...)
}

// readCAs reads the certificates to trust, if there are any.
func (c *config) readCAs() error {
	if c.redisCAFile == "" {
		return nil
	}
	pem, err := os.ReadFile(c.redisCAFile)
	c.redisCAs = x509.NewCertPool()
	if err != nil || !c.redisCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("REDIS_CA_FILE: %q cannot be read; expected a file of PEM certificates", shown(c.redisCAFile))
	}
	return nil
}

// checkAuth finds out whether tokens can be verified. Without sign-in nothing is
// asked of these settings, and pages of devOrigin may call.
func (c *config) checkAuth() []error {
	if !c.authRequired {
		if c.corsOrigin == "" {
			c.corsOrigin = devOrigin
			c.notes = append(c.notes, "CORS_ORIGIN is not set and nobody signs in: pages of "+devOrigin+" may call the API")
		}
		return nil
	}
	if c.devOwner != (store.Owner{Tenant: store.DefaultTenant, User: store.DefaultUser}) {
		c.warnings = append(c.warnings, "DEV_OWNER has no effect: callers sign in")
	}
	var faults []error
	bad := func(text string) { faults = append(faults, errors.New(text)) }
	switch {
	case c.authIssuer == "" && c.authKeysURL != "":
		bad("AUTH_ISSUER: is missing, and AUTH_JWKS_URL is set; expected both, or neither")
	case c.authIssuer == "" && c.azureTenantName == "":
		bad("AZURE_TENANT_NAME: nobody is known who issues tokens; expected it, or AUTH_ISSUER, or AUTH_REQUIRED=false")
	case c.authIssuer != "" && c.azureTenantName != "":
		bad("AUTH_ISSUER: is set beside AZURE_TENANT_NAME; expected one of them")
	}
	if c.authIssuer != "" && c.authKeysURL == "" && !auth.ValidURL(c.authIssuer) {
		bad("AUTH_ISSUER: leads to no keys; expected an https:// URL (http:// on loopback only), or AUTH_JWKS_URL beside it")
	}
	if c.azureClientID == "" && len(c.authAudiences) == 0 {
		bad("AZURE_CLIENT_ID: nothing says whom tokens must be for; expected it, or AUTH_AUDIENCE")
	}
	if len(c.authScopes)+len(c.authRoles) == 0 {
		c.warnings = append(c.warnings, "AUTH_SCOPES and AUTH_ROLES are empty: every user's token for this audience comes in, whatever it was granted")
	}
	return faults
}

// checkAgent finds out whether there is an agent to talk to.
func (c *config) checkAgent() []error {
	c.warnOfHTTP()
	given := c.endpoint.DirectConnectURL != "" || c.endpoint.Environment != "" || c.endpoint.Schema != ""
	if c.emulator {
		if c.endpoint.DirectConnectURL != "" {
			return []error{errors.New("COPILOT_DIRECT_CONNECT_URL: expected to be unset when COPILOT_EMULATOR is true")}
		}
		return nil
	}
	if !given {
		return []error{errors.New("COPILOT_DIRECT_CONNECT_URL: there is no agent to talk to; expected it, or COPILOT_ENVIRONMENT_ID and COPILOT_AGENT_SCHEMA_NAME, or COPILOT_EMULATOR=true")}
	}
	var faults []error
	if _, err := c.endpoint.URL(""); err != nil {
		faults = append(faults, named(err)...)
	}
	return append(faults, c.checkToken()...)
}

// checkToken finds out whether there is a way to a token for the agent.
func (c *config) checkToken() []error {
	if c.stubToken != "" {
		return nil
	}
	var faults []error
	bad := func(name, text string) { faults = append(faults, errors.New(name+": "+text)) }
	for _, s := range [][2]string{{"COPILOT_TENANT_ID", c.copilotTenant}, {"COPILOT_APP_ID", c.copilotApp}, {"COPILOT_CLIENT_SECRET", c.copilotSecret}} {
		if s[1] == "" {
			bad(s[0], "is missing, and with it the way to a token for the agent; expected it, or COPILOT_STUB_TOKEN")
		}
	}
	switch len(faults) {
	case 0:
	case 3:
		return []error{errors.New("COPILOT_STUB_TOKEN: there is no way to a token for the agent; expected it, or COPILOT_TENANT_ID, COPILOT_APP_ID and COPILOT_CLIENT_SECRET")}
	default:
		return faults
	}
	if c.copilotFlow == flowOnBehalfOf && !c.authRequired {
		bad("COPILOT_TOKEN_FLOW", "nobody signs in whose token could be exchanged; expected client-credentials, or AUTH_REQUIRED=true")
	}
	_, wrong := c.endpoint.URL("") // which has been said
	if _, err := c.endpoint.TokenScope(); err != nil && wrong == nil {
		faults = append(faults, named(err)...)
	}
	if u, err := url.Parse(c.copilotAuthority); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		bad("COPILOT_AUTHORITY", "leads to no tokens; expected an https:// URL without user or query")
	}
	return faults
}

// named gives errors of the endpoint the names of the variables.
func named(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, named(e)...)
		}
		return all
	}
	variables := map[string]string{
		"DirectConnectURL": "COPILOT_DIRECT_CONNECT_URL", "Environment": "COPILOT_ENVIRONMENT_ID",
		"Schema": "COPILOT_AGENT_SCHEMA_NAME", "Cloud": "COPILOT_CLOUD", "Scope": "COPILOT_SCOPE",
	}
	if e, ok := errors.AsType[*copilot.SettingError](err); ok && variables[e.Setting] != "" {
		return []error{fmt.Errorf("%s: %s", variables[e.Setting], e.Problem)}
	}
	return []error{fmt.Errorf("COPILOT_DIRECT_CONNECT_URL: %w", err)}
}

// printSettings shows what is in effect, without secrets.
func printSettings(w io.Writer, env environment) {
	for _, s := range settings() {
		v := s.value(env)
		switch {
		case v == "":
			v = "(not set)"
		case s.secret:
			v = "(set, not shown)"
		default:
			v = shown(v)
		}
		fmt.Fprintf(w, "%-26s %s\n", s.name, v)
	}
}

// shown is a value that is not secret without what may be secret in any: a URL can
// carry a password, or a key in its query.
func shown(v string) string {
	if !strings.ContainsAny(v, "@?#") {
		return v
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "(set, not shown)"
	}
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return bare.String() + "…"
}

// writeUsage writes the text of --help.
func writeUsage(w io.Writer) {
	fmt.Fprint(w, `Parley is the state service behind a Copilot Studio chat front end.

usage:
  parley [flags]                        run the service
`)
	for _, c := range commands() {
		fmt.Fprintf(w, "  parley [flags] %-22s %s\n", c.usage(), c.about)
	}
	fmt.Fprint(w, `
flags:
  --env-file FILE   read settings from a file as well; the environment wins
  --help            this text
  --version         the version

exit codes:
  0   it ended as it should; of check-config --probe: all that was tried answers
  1   it failed; of check-config --probe: something does not answer, or it was interrupted
  2   the command line or the configuration is wrong

settings, as environment variables (default in brackets):
`)
	for g, in := range grouped() {
		fmt.Fprintf(w, "\n%s: %s\n", g.name, g.about)
		for _, s := range in {
			fmt.Fprintf(w, "  %s [%s]\n      %s Expected: %s.\n", s.name, s.def, s.about, s.expects)
		}
	}
}
