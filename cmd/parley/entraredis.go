package main

import (
	"errors"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"parley/store/redis/entra"
)

// entraSettings say how the tokens of Entra ID come about that Redis takes for a
// password.
type entraSettings struct {
	method                 entra.Method // "" where Redis is shown a password, or nothing
	client, tenant, secret string
	object                 string // the user's name at Redis; "" for what the token says
	tokenFile              string
	authority, scope       string
}

// defaultTokenFile is where Azure's webhook for workload identities puts the token.
const defaultTokenFile = "/var/run/secrets/azure/tokens/azure-identity-token" //nolint:gosec // a path, no secret

// defaultAuthority issues the tokens of the public cloud.
const defaultAuthority = "https://login.microsoftonline.com"

func entraMethod(c *config, v string) error {
	switch m := entra.Method(v); m {
	case "", entra.ManagedIdentity, entra.WorkloadIdentity, entra.ClientSecret:
		c.deployment.entra.method = m
		return nil
	}
	return errors.New("is none of them")
}

// entraSetting is one of REDIS_ENTRA_*.
type entraSetting struct {
	name    string
	value   string
	def     string
	needed  []entra.Method // methods that cannot do without
	allowed []entra.Method // methods that can have it
}

func (e entraSettings) all() []entraSetting {
	application := []entra.Method{entra.WorkloadIdentity, entra.ClientSecret}
	return []entraSetting{
		{name: "REDIS_ENTRA_CLIENT_ID", value: e.client, needed: application, allowed: []entra.Method{entra.ManagedIdentity}},
		{name: "REDIS_ENTRA_TENANT_ID", value: e.tenant, needed: application},
		{name: "REDIS_ENTRA_CLIENT_SECRET", value: e.secret, needed: []entra.Method{entra.ClientSecret}},
		{name: "REDIS_ENTRA_OBJECT_ID", value: e.object, allowed: []entra.Method{entra.ManagedIdentity, entra.WorkloadIdentity, entra.ClientSecret}},
		{name: "REDIS_ENTRA_TOKEN_FILE", value: e.tokenFile, def: defaultTokenFile, needed: []entra.Method{entra.WorkloadIdentity}},
		{name: "REDIS_ENTRA_SCOPE", value: e.scope, def: entra.DefaultScope, allowed: []entra.Method{entra.ManagedIdentity, entra.WorkloadIdentity, entra.ClientSecret}},
		{name: "REDIS_ENTRA_AUTHORITY", value: e.authority, def: defaultAuthority, allowed: application},
	}
}

// checkEntra finds out whether tokens can be had, and whether Redis may be shown them.
func (c *config) checkEntra(p redisPlace) []error {
	e := c.deployment.entra
	var faults []error
	bad := func(name, text string) { faults = append(faults, errors.New(name+": "+text)) }
	for _, s := range e.all() {
		needed := slices.Contains(s.needed, e.method)
		switch set := s.value != s.def; {
		case needed && s.value == "":
			bad(s.name, "is missing with REDIS_ENTRA="+string(e.method)+"; expected it")
		case set && e.method == "":
			bad(s.name, "would be ignored: no token is asked for; expected REDIS_ENTRA")
		case set && !needed && !slices.Contains(s.allowed, e.method):
			bad(s.name, "would be ignored with REDIS_ENTRA="+string(e.method)+"; expected none")
		}
	}
	if e.method == "" {
		return faults
	}
	if !p.secured {
		bad("REDIS_ENTRA", "would show the token to whoever listens; expected REDIS_URL to begin with rediss://")
	}
	if p.password {
		bad("REDIS_ENTRA", "is set, and REDIS_URL has a password; expected one of them")
	}
	if p.user {
		bad("REDIS_ENTRA", "is set, and REDIS_URL names a user; expected REDIS_ENTRA_OBJECT_ID, or nothing for what the token says")
	}
	if c.deployment.passwordFile != "" {
		bad("REDIS_ENTRA", "is set, and REDIS_PASSWORD_FILE as well; expected one of them")
	}
	if e.method == entra.WorkloadIdentity && e.tokenFile != "" {
		if err := readable(e.tokenFile); err != nil {
			bad("REDIS_ENTRA_TOKEN_FILE", err.Error()+"; expected a file with the token of the workload's identity")
		}
	}
	if u, err := url.Parse(e.authority); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		bad("REDIS_ENTRA_AUTHORITY", "leads to no tokens; expected an https:// URL without user or query")
	}
	return faults
}

// maxSecretFile is how many bytes a file with a secret may have: 64 KiB.
const maxSecretFile = 64 << 10

// readable reports why a file cannot be what it should be. It keeps nothing of it.
func readable(path string) error {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // to open a pipe would wait for its writer
		return errors.New("cannot be read")
	}
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return errors.New("cannot be read")
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	switch {
	case err != nil:
		return errors.New("cannot be read")
	case len(data) > maxSecretFile:
		return errors.New("is too large")
	case strings.TrimSpace(string(data)) == "":
		return errors.New("is empty")
	}
	return nil
}
