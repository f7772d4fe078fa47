package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"parley/server/copilot"
	"parley/store/redis"
)

// config is what the settings amount to.
type config struct {
	host, corsOrigin, staticDir string
	port, maxTurns              int
	shutdownTimeout             time.Duration

	redisURL, redisPrefix, redisCAFile string
	redisCAs                           *x509.CertPool
	ttl, redisTimeout                  time.Duration
	maxConversations                   int

	authRequired                   bool
	azureTenantName, azureClientID string
	allowedTenants                 []string

	emulator                                            bool
	endpoint                                            copilot.Endpoint
	stubToken, copilotTenant, copilotApp, copilotSecret string
	copilotTimeout                                      time.Duration

	allowedActions, allowedDomains []string
	logLevel                       slog.Level
	prometheus                     bool
	ownerKey                       string
}

// value is what a setting has: the variable, or its default where that is unset
// or empty.
func (s setting) value(getenv func(string) string) string {
	if v := strings.TrimSpace(getenv(s.name)); v != "" {
		return v
	}
	return s.def
}

// load reads the configuration and reports everything that is wrong with it at
// once, each fault with the name of its variable.
func load(getenv func(string) string) (config, error) {
	var c config
	var faults []error
	for _, s := range settings() {
		v := s.value(getenv)
		if err := s.read(&c, v); err != nil {
			faults = append(faults, fault(s, v, err))
		}
	}
	faults = append(faults, c.check()...)
	return c, errors.Join(faults...)
}

// check finds what is wrong with settings taken together.
func (c *config) check() []error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.authRequired {
		bad("AUTH_REQUIRED: this version cannot verify tokens, and does not let anybody in unasked; expected false")
	}
	if c.redisURL != "" {
		s, err := redis.New(redis.Options{URL: c.redisURL})
		switch {
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
		return fmt.Errorf("REDIS_CA_FILE: %q cannot be read; expected a file of PEM certificates", c.redisCAFile)
	}
	return nil
}

// checkAgent finds out whether there is an agent to talk to.
func (c *config) checkAgent() []error {
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
	if c.stubToken == "" {
		faults = append(faults, errors.New("COPILOT_STUB_TOKEN: is missing, and this version has no other way to a token for the agent; expected a bearer token"))
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
		"Schema": "COPILOT_AGENT_SCHEMA_NAME", "Cloud": "COPILOT_CLOUD",
	}
	if e, ok := errors.AsType[*copilot.SettingError](err); ok && variables[e.Setting] != "" {
		return []error{fmt.Errorf("%s: %s", variables[e.Setting], e.Problem)}
	}
	return []error{fmt.Errorf("COPILOT_DIRECT_CONNECT_URL: %w", err)}
}

// printSettings shows what is in effect, without secrets.
func printSettings(w io.Writer, getenv func(string) string) {
	for _, s := range settings() {
		v := s.value(getenv)
		switch {
		case v == "":
			v = "(not set)"
		case s.secret:
			v = "(set, not shown)"
		}
		fmt.Fprintf(w, "%-26s %s\n", s.name, v)
	}
}

// writeExample writes .env.example.
func writeExample(w io.Writer) {
	fmt.Fprint(w, "# Settings of Parley. Every line shows a default; uncomment to change it.\n")
	group := ""
	for _, s := range settings() {
		if s.group != group {
			group = s.group
			fmt.Fprintf(w, "\n## %s\n", group)
		}
		fmt.Fprintf(w, "\n# %s\n# Expected: %s.\n#%s=%s\n", s.about, s.expects, s.name, s.def)
	}
}

// writeUsage writes the text of --help.
func writeUsage(w io.Writer) {
	fmt.Fprint(w, `Parley is the state service behind a Copilot Studio chat front end.

usage:
  parley [flags]                run the service
  parley [flags] check-config   say what is configured, or what is wrong with it

flags:
  --env-file FILE   read settings from a file as well; the environment wins
  --help            this text
  --version         the version

settings, as environment variables (default in brackets):
`)
	for _, s := range settings() {
		fmt.Fprintf(w, "  %s [%s]\n      %s Expected: %s.\n", s.name, s.def, s.about, s.expects)
	}
}
