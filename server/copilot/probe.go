package copilot

import (
	"context"
	"errors"
	"mime"
	"net/http"
)

// Probe finds out whether the agent's address answers, without talking to the agent: it
// sends a GET (RFC 9110, section 9.2.1: a safe method) to where conversations are begun
// with a POST. Token is shown as in Identity; "" for none. It returns the status of the
// answer.
//
// Any answer but the following proves that the name, the way and TLS are right. It is not
// known what the platform answers to a GET, so a 404 or 405 says nothing about the agent.
// The error is an *Error with the kind that a turn would fail with: a 5xx and a 429; a
// 401 and a 403 where a token was shown; a redirect, or a web page with a good status,
// which something in between sends.
func (c *Client) Probe(ctx context.Context, token string) (status int, err error) {
	if !isToken(token) {
		return 0, &Error{Op: opProbe, Kind: ErrToken, Reason: ReasonNotUnderstood, Cause: errors.New("token cannot stand in a header")}
	}
	one := &call{client: c, op: opProbe, method: http.MethodGet, identity: Identity{Token: token}, url: c.base.url("")}
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := &attempts{call: one, parent: ctx, ctx: limited, cancel: cancel}
	resp, s, err := a.once()
	switch {
	case err == nil:
	case a.givenUp(err, 0) != nil:
		return 0, a.givenUp(err, 0)
	case s.unconnected(err):
		return 0, a.unreachable(err)
	default:
		return 0, a.failure(err, 0)
	}
	defer func() { _ = resp.Body.Close() }()
	status = resp.StatusCode
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch page := kind == "text/html"; {
	case status >= 200 && status <= 299 && !page:
	case status >= 400 && status <= 499 && status != http.StatusTooManyRequests:
		if refused := status == http.StatusUnauthorized || status == http.StatusForbidden; refused && token != "" {
			return status, a.error(ErrRejected, status, nil)
		}
	default:
		return status, a.error(kindOf(status), status, nil)
	}
	return status, nil
}

const opProbe = "probe"
