package copilot

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// apiVersion is the only version of the protocol that has been published.
const apiVersion = "2022-03-01-preview"

// Endpoint says where an agent lives: either its complete URL, or the names
// from which the URL is derived.
type Endpoint struct {
	// DirectConnectURL is the agent's connection string. It wins over
	// everything below but Scope.
	DirectConnectURL string

	Environment string // environment id, e.g. a GUID or "Default-" and a GUID
	Schema      string // schema name of the agent
	Cloud       string // name of the cloud, empty for "Prod"; case does not matter
	CustomCloud string // host of the cloud "Other"
	AgentType   string // "Published" or "Prebuilt", empty for "Published"

	// Scope is what a token for the agent must be asked for. Empty derives it
	// from the cloud.
	Scope string

	// AllowHTTP are the hosts that DirectConnectURL may name with plain http, beside
	// this machine's own: names or addresses, without a port, one of which must be the
	// URL's. What is said and the token go there in the clear.
	AllowHTTP []string
}

// A SettingError says which field of an Endpoint is wrong and why.
type SettingError struct {
	Setting string // name of the field
	Problem string
}

// Error implements error.
func (e *SettingError) Error() string { return fmt.Sprintf("copilot: %s %s", e.Setting, e.Problem) }

func bad(setting, problem string) error { return &SettingError{Setting: setting, Problem: problem} }

// URL gives the address to which a conversation's turns are sent, or that
// starts a conversation when the id is empty. Its errors are *SettingError,
// joined when there are several.
func (e Endpoint) URL(conversationID string) (string, error) {
	b, err := e.base()
	if err != nil {
		return "", err
	}
	if conversationID != "" && !isSegment(conversationID) {
		return "", errors.New("copilot: conversation id cannot stand in a URL")
	}
	return b.url(conversationID), nil
}

// TokenScope gives the OAuth scope of tokens that the agent accepts.
func (e Endpoint) TokenScope() (string, error) {
	switch {
	case e.Scope != "":
		return e.Scope, nil
	case e.DirectConnectURL != "":
		u, err := e.parseDirect()
		if err != nil {
			return "", err
		}
		host := strings.ToLower(u.Hostname())
		for _, c := range clouds() {
			if host == c.host || strings.HasSuffix(host, ".environment."+c.host) {
				return scopeOf(c.host), nil
			}
		}
		return "", bad("Scope", "must be set: the host of DirectConnectURL belongs to no known cloud")
	}
	c, err := e.cloud()
	if err != nil {
		return "", err
	}
	return scopeOf(c.host), nil
}

func scopeOf(host string) string { return "https://" + host + "/.default" }

// base is everything of an agent's URLs but the conversation.
type base struct {
	conversations string // scheme, host and path up to "conversations"
	query         string
}

func (b base) url(conversationID string) string {
	if conversationID == "" {
		return b.conversations + "?" + b.query
	}
	return b.conversations + "/" + url.PathEscape(conversationID) + "?" + b.query
}

func (e Endpoint) base() (base, error) {
	if strings.TrimSpace(e.DirectConnectURL) != "" {
		return e.direct()
	}
	c, cloudErr := e.cloud()
	host, envErr := "", error(nil)
	if cloudErr == nil {
		host, envErr = environmentHost(e.Environment, c)
	}
	schema := strings.TrimSpace(e.Schema)
	var schemaErr error
	switch {
	case schema == "":
		schemaErr = bad("Schema", "is missing (or set DirectConnectURL)")
	case !isSegment(schema):
		schemaErr = bad("Schema", "cannot stand in a URL")
	}
	kind, kindErr := "dataverse-backed", error(nil)
	switch strings.ToLower(strings.TrimSpace(e.AgentType)) {
	case "", "published":
	case "prebuilt":
		kind = "prebuilt"
	default:
		kindErr = bad("AgentType", "must be Published or Prebuilt")
	}
	if err := errors.Join(cloudErr, envErr, schemaErr, kindErr); err != nil {
		return base{}, err
	}
	return base{
		conversations: "https://" + host + agentPath(kind, schema),
		query:         "api-version=" + apiVersion,
	}, nil
}

func agentPath(kind, schema string) string {
	return "/copilotstudio/" + kind + "/authenticated/bots/" + url.PathEscape(schema) + "/conversations"
}

// environmentHost puts the environment's id in front of the cloud's host, its
// last digits as a label of their own.
func environmentHost(environment string, c cloud) (string, error) {
	id := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(environment), "-", ""))
	switch {
	case id == "":
		return "", bad("Environment", "is missing (or set DirectConnectURL)")
	case len(id) <= c.tail || len(id)-c.tail > 63:
		return "", bad("Environment", "has the wrong length for an environment id")
	case strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") != "":
		return "", bad("Environment", "may only have letters, digits and hyphens")
	}
	cut := len(id) - c.tail
	return id[:cut] + "." + id[cut:] + ".environment." + c.host, nil
}

// direct takes a connection string apart. Whatever follows the last segment
// "conversations" is cut off, and the caller's own api-version is kept: agents
// of another runtime need it.
func (e Endpoint) direct() (base, error) {
	u, err := e.parseDirect()
	if err != nil {
		return base{}, err
	}
	segments := strings.Split(strings.TrimRight(u.EscapedPath(), "/"), "/")
	for i := len(segments) - 1; i >= 0; i-- {
		if segments[i] == "conversations" {
			segments = segments[:i]
			break
		}
	}
	path := strings.TrimRight(strings.Join(segments, "/"), "/") + "/conversations"
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return base{}, bad("DirectConnectURL", "has a query that cannot be read")
	}
	query := u.RawQuery
	if q.Get("api-version") == "" {
		q.Set("api-version", apiVersion)
		query = q.Encode()
	}
	return base{conversations: u.Scheme + "://" + u.Host + path, query: query}, nil
}

// parseDirect does not repeat the URL in its errors: a connection string may
// carry more than an address.
func (e Endpoint) parseDirect() (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(e.DirectConnectURL))
	switch {
	case err != nil:
		return nil, bad("DirectConnectURL", "is not a URL")
	case u.User != nil:
		return nil, bad("DirectConnectURL", "must not have a user name or password")
	case u.Hostname() == "":
		return nil, bad("DirectConnectURL", "must be an absolute URL")
	case u.Scheme == "https":
	case u.Scheme == "http" && (isLoopback(u.Hostname()) || e.allowsHTTP(u.Hostname())):
	default:
		return nil, bad("DirectConnectURL", "must begin with https:// (plain http only on this machine, or to a host that is allowed it)")
	}
	return u, nil
}

// PlainHost is the host to which the agent's client speaks plain http. It is empty where
// that is https, and where URL has an error.
func (e Endpoint) PlainHost() string {
	u, err := e.parseDirect()
	if err != nil || u.Scheme != "http" {
		return ""
	}
	return u.Hostname()
}

func (e Endpoint) allowsHTTP(host string) bool {
	return slices.ContainsFunc(e.AllowHTTP, func(allowed string) bool { return hostForm(allowed) == hostForm(host) })
}

// hostForm is the one form of all spellings of a host: an address by what it means, a name
// without regard to the case of A to Z and to a dot at its end. Other letters stay as they
// are, so that none is taken for one that only looks like it.
func hostForm(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	small := func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}
	return strings.TrimSuffix(strings.Map(small, host), ".")
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// isSegment reports whether s, once escaped, stays the one path segment that it
// is: dot segments would be resolved away on the road.
func isSegment(s string) bool {
	return s != "" && s != "." && s != ".." && strings.IndexFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == 0xfffd
	}) < 0
}
