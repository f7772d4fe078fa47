package entra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	msal "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"

	"parley/server/copilot"
)

// fetch asks for a token, with a new client each time. The library's client caches
// the token of every sign-in without a bound, and would return a token that the
// agent has refused. A new client costs one more request, for the tenant's
// endpoints.
func (s *Source) fetch(ctx context.Context, assertion string) (confidential.AuthResult, error) {
	client, err := s.client()
	switch {
	case err != nil:
		return confidential.AuthResult{}, err
	case s.flow == ClientCredentials:
		return client.AcquireTokenByCredential(ctx, s.scopes)
	}
	return client.AcquireTokenOnBehalfOf(ctx, assertion, s.scopes)
}

// bounded cuts answers that are too long; the library reads them whole.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// CloseIdleConnections is for http.Client.
func (b bounded) CloseIdleConnections() {
	(&http.Client{Transport: b.RoundTripper}).CloseIdleConnections()
}

// failure classifies a token that could not be fetched, as a failure of the agent:
// the caller's sign-in is good, this service's own request was not. An answer that
// refuses is ErrRejected, 429 is ErrThrottled, and no answer, or one that makes no
// sense, is ErrUnreachable. The error carries no text of the token endpoint, which
// may name users. Wait is how long the token endpoint wants to be left alone, 0 if
// it does not say.
func failure(err error, now time.Time) (failed *copilot.Error, wait time.Duration) {
	if e, ok := errors.AsType[msal.CallErr](err); ok {
		f := &copilot.Error{Kind: copilot.ErrRejected, Code: code(e.Resp.Body), Cause: fmt.Errorf("token endpoint answered with status %d", e.Resp.StatusCode)}
		wait = copilot.RetryAfter(e.Resp.Header.Get("Retry-After"), now, maxRetryAfter)
		switch status := e.Resp.StatusCode; {
		case status == http.StatusTooManyRequests:
			f.Kind, f.RetryAfter = copilot.ErrThrottled, wait
		case status >= 500, status < 400, status == http.StatusRequestTimeout, status == http.StatusNotFound && f.Code == "":
			f.Kind = copilot.ErrUnreachable
		}
		return f, wait
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return &copilot.Error{Kind: copilot.ErrUnreachable, Cause: fmt.Errorf("token endpoint: %w", e.Err)}, 0
	}
	if _, ok := errors.AsType[msal.InvalidJsonErr](err); ok {
		return &copilot.Error{Kind: copilot.ErrUnreachable, Cause: errors.New("token endpoint answered with something that is not JSON")}, 0
	}
	return &copilot.Error{Kind: copilot.ErrRejected, Cause: fmt.Errorf("token endpoint: %T", err)}, 0
}

// code is the number that Microsoft documents for a refusal, "AADSTS65001".
func code(body io.Reader) string {
	var answer struct {
		Codes []uint32 `json:"error_codes"`
	}
	if err := json.NewDecoder(body).Decode(&answer); err != nil || len(answer.Codes) == 0 {
		return ""
	}
	return fmt.Sprintf("AADSTS%d", answer.Codes[0])
}
