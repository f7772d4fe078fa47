package server

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// pages keeps out what pages of other sites have a user's browser ask, where no
// token has to be shown: the browser is on the user's machine or network, and so
// reaches what the page's author cannot.
type pages struct {
	off   bool // callers show tokens, which no page of another site has
	cross *http.CrossOriginProtection
	hosts bool   // requests must name this machine
	known string // another name that they may give, the host of Config.CORSOrigin
}

func newPages(cfg Config) (*pages, error) {
	p := &pages{off: cfg.AuthRequired, cross: http.NewCrossOriginProtection(), hosts: cfg.Loopback}
	if cfg.CORSOrigin == "" {
		return p, nil
	}
	u, err := url.Parse(cfg.CORSOrigin)
	if err != nil {
		return nil, err
	}
	p.known = u.Hostname()
	return p, p.cross.AddTrustedOrigin(cfg.CORSOrigin)
}

// check reports a request that a page of another site is behind. Clients that are
// no browsers send neither Origin nor Sec-Fetch-Site, and pass.
func (p *pages) check(r *http.Request) error {
	if p.off {
		return nil
	}
	if p.cross.Check(r) != nil {
		return &requestError{kind: errForbidden, reason: reasonOrigin, detail: "Pages of other sites may not ask for this. CORS_ORIGIN names the one that may."}
	}
	// A page whose own name its author has come to mean this machine (DNS
	// rebinding) is of the same origin to the browser; the name gives it away.
	if p.hosts && !p.ours(r.Host) {
		return &requestError{kind: errForbidden, reason: reasonHost, detail: "The Host header does not name this machine."}
	}
	return nil
}

// ours reports whether a Host names this machine, or is known. Only clients that
// are no browsers leave it out.
func (p *pages) ours(host string) bool {
	if h, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	return host == "" || p.known != "" && host == p.known || IsLoopback(host)
}

// IsLoopback reports whether a host name or address, without brackets, means the
// machine itself wherever it is looked up (RFC 6761, section 6.3).
func IsLoopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
