package copilot

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"time"
)

// maxRetryWait is the longest that a throttled request waits to be sent again. A
// longer wait is left to the caller.
const maxRetryWait = 5 * time.Second

// Bounds of sending a request again that the agent certainly has not got.
const (
	maxResends  = 2
	resendPause = 100 * time.Millisecond // doubled before the second
)

// attempts sends the request of a call. It is sent again only when the agent
// certainly has not taken it: the connection was never made, no byte of the
// request was accepted, or the agent answered 429.
type attempts struct {
	call   *call
	parent context.Context
	ctx    context.Context // parent, and cancelled when the agent is silent
	cancel context.CancelCauseFunc
	idle   *idleTimer // of the current attempt
	sent   *sending   // likewise; nil before the first
}

// send returns a response with status 200 or 204.
func (a *attempts) send() (*http.Response, *Error) {
	if a.parent.Err() != nil {
		return nil, a.failure(a.parent.Err(), 0)
	}
	reconnected, resends, throttled := false, 0, false
	for {
		resp, s, err := a.once()
		switch {
		case err != nil:
			if failed := a.givenUp(err, 0); failed != nil {
				return nil, failed
			}
			switch {
			case s.unconnected(err) && !reconnected:
				reconnected = true
				continue
			case s.unconnected(err):
				return nil, a.unreachable(err)
			case s.untaken() && resends < maxResends && a.pause(resendPause<<resends):
				resends++
				continue
			case s.untaken():
				return nil, a.unreachable(err)
			}
			return nil, a.failure(err, 0)
		case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusNoContent:
			return resp, nil
		}
		failed := a.refused(resp)
		if throttled || !errors.Is(failed, ErrThrottled) || !a.waitThrottled(failed.RetryAfter) {
			return nil, failed
		}
		throttled = true
	}
}

// once sends the request.
func (a *attempts) once() (*http.Response, *sending, error) {
	c, s := a.call, &sending{}
	s.body.Reset(c.body)
	a.sent, a.idle = s, newIdleTimer(c.client.opts.Timeouts, a.cancel)
	ctx := httptrace.WithClientTrace(a.ctx, s.trace())
	req, err := http.NewRequestWithContext(ctx, cmp.Or(c.method, http.MethodPost), c.url, http.NoBody)
	if err != nil {
		s.begun.Store(true) // to try again would be in vain
		return nil, s, err
	}
	if len(c.body) > 0 {
		s.into(req)
	}
	c.head(req.Header)
	a.idle.wait()
	defer a.idle.done()
	// Not an http.Client: it would follow redirects and keep cookies.
	resp, err := c.client.opts.Transport.RoundTrip(req)
	return resp, s, err
}

// head sets the headers of a request, with one allocation where http.Header.Set makes one
// for each.
func (c *call) head(h http.Header) {
	values := [...]string{"application/json", "text/event-stream", "identity", c.client.opts.UserAgent, c.requestID, "Bearer " + c.identity.Token}
	if len(c.body) > 0 {
		h["Content-Type"] = values[0:1:1]
	}
	h["Accept"] = values[1:2:2]
	h["Accept-Encoding"] = values[2:3:3] // a compressed stream would arrive in lumps
	h["User-Agent"] = values[3:4:4]
	if c.requestID != "" {
		h["X-Request-Id"] = values[4:5:5]
	}
	if c.identity.Token != "" {
		h["Authorization"] = values[5:6:6]
	}
}

// isDialError is for transports that do not report their connections.
func isDialError(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	_, ok := errors.AsType[*net.DNSError](err)
	return ok
}

// waitThrottled waits before a throttled request is sent again, unless that
// would take too long.
func (a *attempts) waitThrottled(d time.Duration) bool {
	return d > 0 && d <= maxRetryWait && a.pause(d)
}

// pause waits, and reports whether the call's deadline leaves time to go on.
func (a *attempts) pause(d time.Duration) bool {
	if deadline, ok := a.parent.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.parent.Done():
		return false
	}
}

// refused makes an error of a response that is not an answer, and closes it.
func (a *attempts) refused(resp *http.Response) *Error {
	defer func() { _ = resp.Body.Close() }()
	code, inner := codesIn(timedReader{resp.Body, a.idle})
	e := a.error(kindOf(resp.StatusCode), resp.StatusCode, nil)
	e.Code = code
	if inner != "" {
		e.Cause = errors.New("inner code " + inner)
	}
	if errors.Is(e, ErrThrottled) {
		e.RetryAfter = RetryAfter(resp.Header.Get("Retry-After"), time.Now(), time.Minute)
	}
	return e
}

// failure makes an error of what went wrong after the request was sent: a call
// that was given up, an answer that is not understood, or a broken connection.
func (a *attempts) failure(err error, status int) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		e.Op, e.Status = a.call.op, status
		return e
	}
	if failed := a.givenUp(err, status); failed != nil {
		return failed
	}
	for _, is := range []error{errEventTooLarge, errStreamTooLarge, errTooManyEvents} {
		if errors.Is(err, is) {
			return a.error(ErrProtocol, status, is)
		}
	}
	if _, ok := errors.AsType[textproto.ProtocolError](err); ok {
		return a.error(ErrProtocol, status, errors.New("malformed HTTP"))
	}
	return a.error(ErrInterrupted, status, transportCause(err))
}

// givenUp makes an error of a failure that this side caused: a timeout, a
// deadline, or a caller that left. It is nil for any other.
func (a *attempts) givenUp(err error, status int) *Error {
	cause := context.Cause(a.ctx)
	switch {
	case errors.Is(cause, errFirstEvent), errors.Is(cause, errIdle):
		return a.late(status, cause)
	case errors.Is(a.parent.Err(), context.DeadlineExceeded):
		return a.late(status, context.DeadlineExceeded)
	case a.parent.Err() != nil:
		return a.error(ErrInterrupted, status, context.Canceled)
	}
	// The network may notice a deadline a moment before the context does.
	deadline, ok := a.parent.Deadline()
	if n, timeout := errors.AsType[net.Error](err); ok && timeout && n.Timeout() && !time.Now().Before(deadline) {
		return a.late(status, context.DeadlineExceeded)
	}
	return nil
}

// late makes an error of a call whose time was over.
func (a *attempts) late(status int, cause error) *Error {
	e := a.error(ErrTimeout, status, cause)
	switch s := a.sent; {
	case status != 0:
		e.Reason = ReasonUnfinished
	case s == nil || !s.asked.Load():
	case s.connected.Load():
		e.Reason = ReasonNoHeaders
	default:
		e.Reason = ReasonNoConnection
	}
	return e
}

// unreachable makes an error of a request that the agent has not got.
func (a *attempts) unreachable(err error) *Error {
	e := a.error(ErrUnreachable, 0, transportCause(err))
	e.Reason = Unanswered(err)
	return e
}

func (a *attempts) error(kind error, status int, cause error) *Error {
	return &Error{Op: a.call.op, Kind: kind, Status: status, Cause: cause}
}

// transportCause is what may be logged of a transport's error. Errors about
// connections are kept. The text of any other may quote what the agent sent, so
// only its type is kept.
func transportCause(err error) error {
	if _, ok := errors.AsType[net.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return err
	}
	for _, is := range []error{io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, is) {
			return is
		}
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fmt.Errorf("%T", err)
}
