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

// failure is the error of a token that could not be fetched: always ErrToken, for the
// agent was not asked and the caller's sign-in is good. It carries no text of the token
// endpoint, which may name users. Wait is how long the token endpoint wants to be left
// alone, 0 if it does not say.
func failure(err error, flow Flow, now time.Time) (failed *copilot.Error, wait time.Duration) {
	failed = &copilot.Error{Kind: copilot.ErrToken, Reason: copilot.ReasonNotUnderstood}
	if e, ok := errors.AsType[msal.CallErr](err); ok {
		wait = copilot.RetryAfter(e.Resp.Header.Get("Retry-After"), now, maxRetryAfter)
		answer := refusal(e.Resp.Body)
		failed.Code, failed.Reason = answer.code(), answer.reason(e.Resp.StatusCode, flow)
		failed.Cause = fmt.Errorf("token endpoint answered with status %d", e.Resp.StatusCode)
		return failed, wait
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		failed.Reason, failed.Cause = copilot.Unanswered(e.Err), fmt.Errorf("token endpoint: %w", e.Err)
		return failed, 0
	}
	if _, ok := errors.AsType[msal.InvalidJsonErr](err); ok {
		failed.Cause = errors.New("token endpoint answered with something that is not JSON")
		return failed, 0
	}
	failed.Cause = fmt.Errorf("token endpoint: %T", err)
	return failed, 0
}

// refused is the body of an answer that is no token (RFC 6749, section 5.2), with
// Microsoft's numbers.
type refused struct {
	Error string   `json:"error"`
	Codes []uint32 `json:"error_codes"`
}

func refusal(body io.Reader) (answer refused) {
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return refused{}
	}
	return answer
}

// code is the number that Microsoft documents for a refusal, "AADSTS65001".
func (r refused) code() string {
	if len(r.Codes) == 0 {
		return ""
	}
	return fmt.Sprintf("AADSTS%d", r.Codes[0])
}

// reason says whose fault a refusal is.
func (r refused) reason(status int, flow Flow) string {
	switch {
	case status == http.StatusTooManyRequests:
		return copilot.ReasonThrottled
	case status >= 500, status == http.StatusRequestTimeout, r.Error == "temporarily_unavailable", r.Error == "server_error":
		return copilot.ReasonIssuerFailed
	case status < 400, r.Error == "" && len(r.Codes) == 0: // a redirect, or a page of something in between
		return copilot.ReasonNotUnderstood
	}
	switch r.Error {
	case "invalid_grant", "interaction_required", "consent_required", "login_required":
		if flow == OnBehalfOf {
			return copilot.ReasonUserRefused
		}
	}
	return copilot.ReasonClientRefused
}
