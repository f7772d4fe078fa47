package telemetry

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"parley/server/copilot"
)

// Transport decorates the transport of the agent's client: one span and one
// measurement for each request, and the W3C trace context in its headers. The span
// and the measurement last until the end of the body, because most of an answer's
// time, and most of its failures, come after the headers.
func (t *Telemetry) Transport(next http.RoundTripper) http.RoundTripper {
	return &transport{t: t, next: next}
}

type transport struct {
	t    *Telemetry
	next http.RoundTripper
}

// CloseIdleConnections implements what http.Client looks for in a transport.
func (tr *transport) CloseIdleConnections() {
	(&http.Client{Transport: tr.next}).CloseIdleConnections()
}

// attempt is one request to the agent.
type attempt struct {
	t             *Telemetry
	ctx           context.Context
	call          *agentCall // the call that it belongs to; nil if unknown
	span          trace.Span
	began         time.Time
	key           attemptSet
	ended         atomic.Bool
	io.ReadCloser // the body of the answer
}

// RoundTrip implements http.RoundTripper.
func (tr *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	t := tr.t
	if t.off {
		return tr.next.RoundTrip(t.inject(req.Context(), req))
	}
	a := &attempt{t: t, began: time.Now(), key: attemptSet{method: req.Method, address: req.URL.Hostname(), port: portOf(req.URL)}}
	lent := t.lists.lend()
	start := requestAttributes(lent[:0], req)
	if c, ok := req.Context().Value(agentCallKey{}).(*agentCall); ok {
		a.call = c
		if resends := c.requests.Add(1) - 1; resends > 0 {
			start = append(start, keyResend.Int64(resends))
		}
	}
	a.ctx, a.span = t.tracer.Start(req.Context(), req.Method, clientKind[0], trace.WithAttributes(start...)) //nolint:spancheck // end ends it
	t.lists.takeBack(lent)
	resp, err := tr.next.RoundTrip(t.inject(a.ctx, req))
	if err != nil {
		a.end(a.broken(err))
		return nil, err
	}
	a.key.status, a.key.protocol = resp.StatusCode, protocol(resp.ProtoMajor, resp.ProtoMinor)
	a.call.gotHeaders(a.ctx, resp.StatusCode)
	a.ReadCloser, resp.Body = resp.Body, a
	return resp, nil
}

// inject puts the trace context into a copy of a request: an http.RoundTripper must
// not change the caller's.
func (t *Telemetry) inject(ctx context.Context, req *http.Request) *http.Request {
	if t.silent || !trace.SpanContextFromContext(ctx).IsValid() {
		return req
	}
	sent := req.WithContext(ctx)
	sent.Header = make(http.Header, len(req.Header)+2) // traceparent and tracestate
	maps.Copy(sent.Header, req.Header)                 // the values are not changed
	t.propagator.Inject(ctx, carrier(sent.Header))
	return sent
}

// end ends the span and records the measurement, once.
func (a *attempt) end(class string) {
	if a.ended.Swap(true) {
		return
	}
	if a.key.status != 0 {
		lent := a.t.lists.lend()
		a.span.SetAttributes(append(lent[:0], keyStatus.Int(a.key.status), keyProtocol.String(a.key.protocol))...)
		a.t.lists.takeBack(lent)
	}
	if a.key.status >= http.StatusBadRequest {
		// As the semantic conventions require, and whatever became of the body. The span
		// of the call has the class.
		class = strconv.Itoa(a.key.status)
		a.span.SetStatus(failedStatus, "")
	}
	a.key.class = class
	a.t.mark(a.span, class)
	a.t.attempts.Record(a.ctx, time.Since(a.began).Seconds(), a.t.attemptSets.of(a.key, attemptSet.attributes).record...)
	a.span.End()
}

// requestAttributes appends what is known of a request before it is sent. A sampler
// sees it, because the span starts with it.
func requestAttributes(list []attribute.KeyValue, req *http.Request) []attribute.KeyValue {
	return append(list, keyMethod.String(req.Method), keyServerAddress.String(req.URL.Hostname()),
		keyServerPort.Int(portOf(req.URL)), keyFullURL.String(address(req.URL)))
}

// broken returns the class of a request whose connection failed. It returns "" if
// this service ended the request itself, because then the agent did not fail. That is
// decided by the cause of the request's context, which is set once. What else is over
// when the error arrives, such as the caller's own deadline, says nothing about it.
func (a *attempt) broken(err error) string {
	kind := copilot.ErrInterrupted
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	late := ok && timeout.Timeout()
	switch cause := context.Cause(a.ctx); {
	case errors.Is(cause, context.DeadlineExceeded): // the caller's, or a limit of the client
		kind = copilot.ErrTimeout
	case cause != nil:
		return ""
	case late && overdue(a.ctx): // the network may notice before the context does
		kind = copilot.ErrTimeout
	case neverConnected(err):
		kind = copilot.ErrUnreachable
	case late:
		kind = copilot.ErrTimeout
	}
	return a.t.class(&copilot.Error{Kind: kind})
}

// overdue reports whether a context's deadline has passed.
func overdue(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// neverConnected reports whether no connection could be made. It goes by the error
// and not by httptrace, which would cost more than everything else in this file.
func neverConnected(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok
}

// Read implements io.Reader. The attempt replaces the body of the answer, and ends
// when the answer in the body is complete, or the body is read to its end, fails, or is
// closed.
func (a *attempt) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		a.end("")
	default:
		a.end(a.broken(err))
	}
	return n, err
}

// Complete implements copilot.Completer.
func (a *attempt) Complete() { a.end("") }

// Close implements io.Closer.
func (a *attempt) Close() error {
	a.end("")
	return a.ReadCloser.Close()
}

// address returns a URL without the parts that may be secret: user, query and
// fragment.
func address(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// serverOf are the host and the port of a URL; none of one that is unknown.
func serverOf(address string) []attribute.KeyValue {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil
	}
	return []attribute.KeyValue{keyServerAddress.String(u.Hostname()), keyServerPort.Int(portOf(u))}
}

func portOf(u *url.URL) int {
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err == nil {
			return n
		}
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// attemptSet are the attributes of a request's duration.
type attemptSet struct {
	method, address, protocol, class string
	port, status                     int
}

func (s attemptSet) attributes() []attribute.KeyValue {
	list := []attribute.KeyValue{keyMethod.String(s.method), keyServerAddress.String(s.address), keyServerPort.Int(s.port)}
	if s.status != 0 {
		list = append(list, keyStatus.Int(s.status))
	}
	return text(text(list, keyProtocol, s.protocol), keyErrorType, s.class)
}
