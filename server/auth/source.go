package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/MicahParks/jwkset"
)

// tenantID stands in the issuer of a key set that serves many tenants, where
// each token has its own tenant's id (Microsoft identity platform, "Validate the
// issuer").
const tenantID = "{tenantid}"

// of puts a tenant into an issuer.
func of(issuer, tenant string) string { return strings.ReplaceAll(issuer, tenantID, tenant) }

// Source says who issues tokens and where the keys are. Its URLs are https; http
// is for this machine only.
type Source struct {
	// Issuer is what the claim iss must be, to the letter. "{tenantid}" in it
	// stands for the token's own tid, and needs KeysURL. Empty takes the issuer
	// that the document at Discovery names.
	Issuer string
	// Discovery is the document that leads to the keys (OpenID Connect Discovery
	// 1.0, section 3). Empty derives it from Issuer.
	Discovery string
	// KeysURL is the key set itself (RFC 7517, section 5); with it nothing is
	// discovered.
	KeysURL string
}

const wellKnown = "/.well-known/openid-configuration"

// CIAM is the Source of a customer tenant of Microsoft Entra. Its issuer has the
// tenant's id for a host name, which its name does not tell, so it is taken from
// the document.
func CIAM(tenantName string) Source {
	return Source{Discovery: "https://" + tenantName + ".ciamlogin.com/" + tenantName + ".onmicrosoft.com/v2.0" + wellKnown}
}

// check reports a Source that says too little.
func (s Source) check() error {
	switch {
	case s.KeysURL != "" && s.Issuer == "", s == Source{}:
		return errors.New("auth: Issuer is missing")
	case s.KeysURL != "" && !ValidURL(s.KeysURL):
		return errors.New("auth: KeysURL is no https:// URL")
	case s.KeysURL == "" && !ValidURL(s.discovery()):
		return errors.New("auth: Issuer is no https:// URL that leads to keys")
	}
	return nil
}

// Address is the URL that is asked first.
func (s Source) Address() string {
	if s.KeysURL != "" {
		return s.KeysURL
	}
	return s.discovery()
}

func (s Source) discovery() string {
	if s.Discovery != "" {
		return s.Discovery
	}
	return strings.TrimSuffix(s.Issuer, "/") + wellKnown
}

// ValidURL reports whether keys may be fetched from s: over TLS, or from this
// machine, for keys that anybody on the way could replace would let anybody in.
func ValidURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || strings.ContainsAny(s, "{} ") {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// maxDocument bounds what is read of an issuer's answer, in bytes, and maxKeys
// how many of its keys are kept.
const (
	maxDocument = 1 << 20
	maxKeys     = 100
)

// fetcher asks the issuer.
type fetcher struct {
	source Source
	client *http.Client
}

// fetch gives the issuer's keys of now.
func (f *fetcher) fetch(ctx context.Context) (*snapshot, error) {
	issuer, from := f.source.Issuer, f.source.KeysURL
	if from == "" {
		var err error
		if issuer, from, err = f.discover(ctx); err != nil {
			return nil, err
		}
	}
	body, err := f.get(ctx, from)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(body)
	if err != nil {
		return nil, err
	}
	return &snapshot{issuer: issuer, keys: keys}, nil
}

// discover finds the issuer's name and where its keys are.
func (f *fetcher) discover(ctx context.Context) (issuer, keysURL string, err error) {
	body, err := f.get(ctx, f.source.discovery())
	if err != nil {
		return "", "", err
	}
	var doc struct {
		Issuer  string `json:"issuer"`
		KeysURL string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return "", "", errors.New("auth: the discovery document is not JSON")
	}
	switch {
	case f.source.Issuer != "" && doc.Issuer != f.source.Issuer:
		return "", "", errors.New("auth: the discovery document is of another issuer")
	case !ValidURL(doc.Issuer) || !ValidURL(doc.KeysURL):
		return "", "", errors.New("auth: the discovery document names no issuer, or no keys")
	}
	return doc.Issuer, doc.KeysURL, nil
}

// get reads one document. Nothing of its text gets into an error.
func (f *fetcher) get(ctx context.Context, from string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, errors.New("auth: the address of the keys is no URL")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := f.client.Do(req)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the address may hold a key in its query
	}
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("auth: the issuer answered with status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("auth: %w", err)
	case len(body) > maxDocument:
		return nil, errors.New("auth: the issuer's answer is too large")
	}
	return body, nil
}

// parseKeys reads a key set. Keys that are not for signatures that are accepted
// here are left out, as RFC 7517, section 5 has it; a set without any other is an
// error, or one bad answer would lock everybody out.
//
// Two keys may share a name, as when an issuer reuses it in a rotation, or has one
// for each kind of signature: both are kept, and a token is tried with both.
func parseKeys(body []byte) (map[string][]key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("auth: the key set is not JSON")
	}
	keys, kept := map[string][]key{}, 0
	for _, raw := range set.Keys {
		var j struct {
			jwkset.JWKMarshal
			Issuer string `json:"issuer"` // Microsoft's: the tenant a key belongs to
		}
		if err := json.Unmarshal(raw, &j); err != nil || plain(j.KID) == "" || kept == maxKeys {
			continue
		}
		if k, ok := signingKey(j.JWKMarshal); ok {
			k.only = j.Issuer
			keys[j.KID] = append(keys[j.KID], k)
			kept++
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("auth: the key set has no key that can be used")
	}
	return keys, nil
}
