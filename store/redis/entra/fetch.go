package entra

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	msal "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/managedidentity"
)

const (
	// maxAnswer bounds what is read of one answer, and of the token file, in bytes.
	maxAnswer = 1 << 20
	// maxCode bounds a refusal's number.
	maxCode = 9_999_999
)

// newFetch returns what fetches a token by the method of the options.
func newFetch(o Options) (func(context.Context) (token, error), error) {
	if o.Scope == "" {
		o.Scope = DefaultScope
	}
	if o.Method == ManagedIdentity {
		return newManaged(o)
	}
	return newConfidential(o)
}

// newManaged asks the machine. The library keeps the tokens of the whole process,
// and would give the same one until five minutes before its end. It does not look
// there when the claims that a token must have are named; an empty set of them asks
// for nothing.
func newManaged(o Options) (func(context.Context) (token, error), error) {
	id := managedidentity.SystemAssigned()
	if o.ClientID != "" {
		id = managedidentity.UserAssignedClientID(o.ClientID)
	}
	// The machine is asked itself, never through a proxy.
	client, err := managedidentity.New(id, managedidentity.WithHTTPClient(newWeb(nil, o)), managedidentity.WithRetryPolicyDisabled())
	if err != nil {
		return nil, fmt.Errorf("entra: %w", err)
	}
	return func(ctx context.Context) (token, error) {
		got, err := client.AcquireToken(ctx, o.Scope, managedidentity.WithClaims("{}"))
		return token{secret: got.AccessToken, expires: got.ExpiresOn}, failure(err)
	}, nil
}

// newConfidential asks a tenant. It makes a new client for each token: one client
// would give the same token until five minutes before its end. A new one costs one
// more request, for the tenant's endpoints.
func newConfidential(o Options) (func(context.Context) (token, error), error) {
	credential := confidential.NewCredFromAssertionCallback(func(context.Context, confidential.AssertionRequestOptions) (string, error) {
		return readToken(o.TokenFile)
	})
	if o.Method == ClientSecret {
		var err error
		if credential, err = confidential.NewCredFromSecret(o.Secret); err != nil {
			return nil, errors.New("entra: the client secret cannot be used")
		}
	}
	client := func() (confidential.Client, error) {
		// The operator has set the authority. Instance discovery would ask another
		// host about it, and no token could be had while that host is down.
		return confidential.New(o.Authority, o.ClientID, credential,
			confidential.WithHTTPClient(newWeb(http.ProxyFromEnvironment, o)), confidential.WithInstanceDiscovery(false))
	}
	if _, err := client(); err != nil {
		return nil, errors.New("entra: the authority or the client id cannot be used")
	}
	return func(ctx context.Context) (token, error) {
		c, err := client()
		if err != nil {
			return token{}, failure(err)
		}
		got, err := c.AcquireTokenByCredential(ctx, []string{o.Scope})
		return token{secret: got.AccessToken, expires: got.ExpiresOn}, failure(err)
	}, nil
}

// web is the HTTP client of the library. It cuts answers that are too long, which
// the library reads whole. It implements managedidentity.ClientConfigurer, without
// which Service Fabric cannot be asked.
type web struct {
	*http.Client
	observed func(http.RoundTripper) http.RoundTripper // nil for none
}

// newWeb follows no redirects, which would take the secret elsewhere, and keeps no
// connections, which would be hours old when they are needed again.
func newWeb(proxy func(*http.Request) (*url.URL, error), o Options) *web {
	return &web{observed: o.Observed, Client: &http.Client{
		Transport: &http.Transport{
			Proxy:               proxy,
			DialContext:         (&net.Dialer{Timeout: fetchLimit}).DialContext,
			TLSClientConfig:     &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: fetchLimit,
			DisableKeepAlives:   true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// ConfigureClient implements managedidentity.ClientConfigurer.
func (w *web) ConfigureClient(augment func(*http.Client) (*http.Client, error)) error {
	c, err := augment(w.Client)
	if err == nil {
		w.Client = c
	}
	return err
}

// Do sends one request.
func (w *web) Do(r *http.Request) (*http.Response, error) {
	c := *w.Client
	if w.observed != nil {
		// Here and not in newWeb: for Service Fabric the library makes another transport
		// out of this one, and takes none but an *http.Transport.
		c.Transport = w.observed(c.Transport)
	}
	resp, err := c.Do(r) //nolint:gosec // the library makes the request, of what the operator and the machine set
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// readToken reads the token of Kubernetes.
func readToken(path string) (string, error) {
	unreadable := &failed{reason: "the token file cannot be read"}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // to open a pipe would wait for its writer
		return "", unreadable
	}
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return "", unreadable
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxAnswer))
	text := strings.TrimSpace(string(b))
	if err != nil || text == "" {
		return "", unreadable
	}
	return text, nil
}

// failure says in words of our own why a fetch failed. What the token source says may
// name users, and the library puts it in its errors, so they are not kept.
func failure(err error) error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*failed](err); ok {
		return f
	}
	if e, ok := errors.AsType[msal.CallErr](err); ok {
		f := &failed{reason: fmt.Sprintf("the token source answers with status %d", e.Resp.StatusCode), wait: retryAfter(e.Resp.Header)}
		if code := refusal(e.Resp.Body); code != 0 {
			f.reason += fmt.Sprintf(", AADSTS%d", code)
		}
		return f
	}
	if _, ok := errors.AsType[msal.InvalidJsonErr](err); ok {
		return &failed{reason: "the token source answers with something that is not JSON"}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &failed{reason: "the certificate of the token source is not valid"}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return &failed{reason: "the token source does not answer in time"}
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return &failed{reason: "the token source cannot be reached"}
	}
	return &failed{reason: "the answer of the token source is not understood"}
}

// refusal is the number that Microsoft documents for a refusal, 65001 for
// AADSTS65001; 0 if there is none.
func refusal(body io.Reader) int {
	var answer struct {
		Codes []int `json:"error_codes"`
	}
	if err := json.NewDecoder(body).Decode(&answer); err != nil || len(answer.Codes) == 0 || answer.Codes[0] < 0 || answer.Codes[0] > maxCode {
		return 0
	}
	return answer.Codes[0]
}

// retryAfter is how long the token source wants to be left alone (RFC 9110, section
// 10.2.3), in its form that is a number of seconds; 0 if it does not say.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// objectID is the claim oid of a token (RFC 7519), "" if it has none. Nothing is
// verified: the token comes from its issuer, and is for Redis to judge.
func objectID(jwt string) string {
	_, rest, _ := strings.Cut(jwt, ".")
	payload, _, signed := strings.Cut(rest, ".")
	if !signed {
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return ""
	}
	var claims struct {
		ObjectID string `json:"oid"`
	}
	if json.Unmarshal(text, &claims) != nil {
		return ""
	}
	return claims.ObjectID
}
