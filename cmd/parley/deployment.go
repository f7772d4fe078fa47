package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"parley/store"
	"parley/store/redis"
)

// deployment is what the settings say of Redis beside its URL and its certificates.
type deployment struct {
	mode                           redis.Mode
	nodes                          []string // as host:port
	sentinelMaster                 string
	sentinelUser, sentinelPassword string
	tlsServerName, passwordFile    string
	waitReplicas                   int
	entra                          entraSettings
}

// maxWaitReplicas bounds REDIS_WAIT_REPLICAS: no primary has more replicas that keep up.
const maxWaitReplicas = 16

func redisMode(c *config, v string) error {
	switch m := redis.Mode(v); m {
	case redis.ModeSingle, redis.ModeCluster, redis.ModeSentinel:
		c.deployment.mode = m
		return nil
	}
	return errors.New("is none of them")
}

// redisNodes reads addresses strictly: a node that is never reached would show only
// when the others are away.
func redisNodes(c *config, v string) error {
	if err := list(func(c *config) *[]string { return &c.deployment.nodes })(c, v); err != nil {
		return err
	}
	if len(c.deployment.nodes) > redis.MaxNodes {
		return errors.New("names too many")
	}
	seen := map[string]bool{}
	for _, node := range c.deployment.nodes {
		same, ok := nodeAddress(node)
		if !ok {
			return errors.New("has something that is not host:port")
		}
		if seen[same] {
			return errors.New("names an address twice")
		}
		seen[same] = true
	}
	return nil
}

// nodeAddress gives the one form that all spellings of an address have.
func nodeAddress(v string) (string, bool) {
	host, port, err := net.SplitHostPort(v)
	n, notPort := strconv.ParseUint(port, 10, 16)
	if err != nil || notPort != nil || n == 0 || host == "" {
		return "", false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	} else if hostAddress(&host, host) != nil {
		return "", false
	}
	return net.JoinHostPort(strings.ToLower(strings.TrimSuffix(host, ".")), strconv.FormatUint(n, 10)), true
}

// sentinelMaster takes the names that a sentinel does.
func sentinelMaster(c *config, v string) error {
	c.deployment.sentinelMaster = v
	if v != "" && !regexp.MustCompile(`^[A-Za-z0-9._-]{1,256}$`).MatchString(v) {
		return errors.New("has a character that no such name has")
	}
	return nil
}

func tlsServerName(c *config, v string) error { return hostAddress(&c.deployment.tlsServerName, v) }

// redisPlace is what a URL of Redis says beside its password.
type redisPlace struct {
	secured, user, password bool
	address                 string // as nodeAddress gives it
	port                    bool   // whether the URL names one
	database                string // "" or "0" for the first
}

// place reads c.redisURL, which checkRedisURL has let pass.
func (c *config) place() redisPlace {
	u, err := url.Parse(c.redisURL)
	if err != nil {
		return redisPlace{}
	}
	p := redisPlace{secured: u.Scheme == "rediss", port: u.Port() != "", database: strings.Trim(u.Path, "/")}
	if db := u.Query().Get("db"); db != "" {
		p.database = db
	}
	if n, err := strconv.Atoi(p.database); err == nil && n == 0 {
		p.database = ""
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	p.address, _ = nodeAddress(net.JoinHostPort(u.Hostname(), port))
	if u.User != nil {
		password, _ := u.User.Password()
		p.user, p.password = u.User.Username() != "", password != ""
	}
	return p
}

// checkDeployment finds what cannot work together, and what would be ignored.
func (c *config) checkDeployment() []error {
	var faults []error
	d := c.deployment
	bad := func(name, text string) { faults = append(faults, errors.New(name+": "+text)) }
	if !c.redisGiven {
		for _, name := range d.given() {
			bad(name, "would be ignored: conversations are kept in memory; expected REDIS_URL, or none of both")
		}
	}
	if c.redisURL == "" {
		return faults // of a URL that is none nothing can be said
	}
	p := c.place()
	switch d.mode {
	case redis.ModeSingle:
		if len(d.nodes) > 0 {
			bad("REDIS_NODES", "would be ignored: there is one Redis; expected REDIS_MODE=cluster or REDIS_MODE=sentinel")
		}
	case redis.ModeCluster:
		if p.database != "" {
			bad("REDIS_URL", "names a database, and a cluster has none but number 0; expected none with REDIS_MODE=cluster")
		}
		if c.redisLegacy {
			bad("REDIS_LEGACY", "would be ignored: legacy records have no slot of their owner; expected false with REDIS_MODE=cluster")
		}
		if !c.authRequired {
			c.warnings = append(c.warnings, "REDIS_MODE is cluster and AUTH_REQUIRED is false: everybody is one user, so one slot, and with it one primary, holds everything")
		}
	case redis.ModeSentinel:
		if d.sentinelMaster == "" {
			bad("REDIS_SENTINEL_MASTER", "is missing with REDIS_MODE=sentinel; expected the name by which the sentinels know the primary")
		}
		if d.sentinelUser != "" && d.sentinelPassword == "" {
			bad("REDIS_SENTINEL_PASSWORD", "is missing beside REDIS_SENTINEL_USER; expected both, or neither")
		}
		if !p.port {
			c.warnings = append(c.warnings, "REDIS_URL names no port: the sentinel is looked for at 6379, and most listen at 26379")
		}
	}
	if d.mode == redis.ModeSingle || d.mode == redis.ModeCluster {
		for _, s := range [][2]string{{"REDIS_SENTINEL_MASTER", d.sentinelMaster}, {"REDIS_SENTINEL_USER", d.sentinelUser}, {"REDIS_SENTINEL_PASSWORD", d.sentinelPassword}} {
			if s[1] != "" {
				bad(s[0], "would be ignored: no sentinel is asked; expected REDIS_MODE=sentinel")
			}
		}
	}
	if d.mode != redis.ModeSingle && slices.ContainsFunc(d.nodes, func(n string) bool { a, _ := nodeAddress(n); return a == p.address }) {
		bad("REDIS_NODES", "names the address of REDIS_URL again; expected others")
	}
	if d.tlsServerName != "" && !p.secured {
		bad("REDIS_TLS_SERVER_NAME", "would be ignored without TLS; expected REDIS_URL to begin with rediss://")
	}
	if d.passwordFile != "" {
		if p.password {
			bad("REDIS_PASSWORD_FILE", "is set, and REDIS_URL has a password; expected one of them")
		}
		_, err := redis.PasswordFile(d.passwordFile)(context.Background())
		if e, ok := errors.AsType[*store.Error](err); ok {
			bad("REDIS_PASSWORD_FILE", e.Reason+"; expected a file with the password and nothing else")
		}
	}
	return append(faults, c.checkEntra(p)...)
}

// given are the names of the settings that need a Redis and are set.
func (d deployment) given() []string {
	var names []string
	for _, s := range []struct {
		name string
		set  bool
	}{
		{"REDIS_MODE", d.mode != redis.ModeSingle && d.mode != ""},
		{"REDIS_NODES", len(d.nodes) > 0},
		{"REDIS_SENTINEL_MASTER", d.sentinelMaster != ""},
		{"REDIS_SENTINEL_USER", d.sentinelUser != ""},
		{"REDIS_SENTINEL_PASSWORD", d.sentinelPassword != ""},
		{"REDIS_TLS_SERVER_NAME", d.tlsServerName != ""},
		{"REDIS_PASSWORD_FILE", d.passwordFile != ""},
		{"REDIS_WAIT_REPLICAS", d.waitReplicas > 0},
		{"REDIS_ENTRA", d.entra.method != ""},
	} {
		if s.set {
			names = append(names, s.name)
		}
	}
	for _, s := range d.entra.all() {
		if s.value != s.def {
			names = append(names, s.name)
		}
	}
	return names
}
