package telemetry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"parley/server/copilot"
)

// Transport carries requests to the agent: one span and one measurement for each
// request, and the W3C trace context in its headers. Both last until the body has
// ended, because most of an answer's time, and most of its failures, come after
// the headers.
func (t *Telemetry) Transport(next http.RoundTripper) http.RoundTripper {
	return &transport{t: t, next: next}
}

type transport struct {
	t    *Telemetry
	next http.RoundTripper
}

// CloseIdleConnections is for http.Client.
func (tr *transport) CloseIdleConnections() {
	(&http.Client{Transport: tr.next}).CloseIdleConnections()
}

// attempt is one request to the agent.
type attempt struct {
	t         *Telemetry
	ctx       context.Context
	call      *agentCall // that it belongs to; nil if unknown
	span      trace.Span
	began     time.Time
	key       attemptSet
	connected atomic.Bool
	once      sync.Once
}

// RoundTrip implements http.RoundTripper.
func (tr *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	t := tr.t
	a := &attempt{t: t, began: time.Now(), key: attemptSet{method: req.Method, address: req.URL.Hostname(), port: portOf(req.URL)}}
	ctx, span := t.tracer.Start(req.Context(), req.Method, clientKind)
	a.ctx, a.span = ctx, span
	resends := int64(0)
	if c, ok := ctx.Value(agentCallKey{}).(*agentCall); ok {
		a.call, resends = c, c.requests.Add(1)-1
	}
	if span.IsRecording() {
		list := make([]attribute.KeyValue, 0, 6)
		list = append(list, keyMethod.String(req.Method), keyServerAddress.String(a.key.address),
			keyServerPort.Int(a.key.port), keyFullURL.String(address(req.URL)))
		if resends > 0 {
			list = append(list, keyResend.Int64(resends))
		}
		span.SetAttributes(list...)
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { a.connected.Store(false) },
		GotConn: func(info httptrace.GotConnInfo) {
			a.connected.Store(true)
			if span.IsRecording() {
				span.SetAttributes(peer(nil, info.Conn.RemoteAddr().String())...)
			}
		},
	})
	sent := req.WithContext(ctx)
	sent.Header = req.Header.Clone() // the caller's is not ours to change
	t.propagator.Inject(ctx, propagation.HeaderCarrier(sent.Header))
	resp, err := tr.next.RoundTrip(sent)
	if err != nil {
		a.end(a.broken(err))
		return nil, err
	}
	a.key.status = resp.StatusCode
	span.SetAttributes(keyStatus.Int(resp.StatusCode))
	if resp.Body == nil {
		a.end("")
		return resp, nil
	}
	resp.Body = &body{ReadCloser: resp.Body, attempt: a}
	return resp, nil
}

// end closes the attempt, once.
func (a *attempt) end(class string) {
	a.once.Do(func() {
		if class == "" && a.key.status >= http.StatusBadRequest {
			// The convention's way; what it means is on the span of the call.
			class = strconv.Itoa(a.key.status)
			a.span.SetStatus(failedStatus, "")
		}
		a.key.class = class
		a.t.mark(a.span, class)
		a.t.attempts.Record(a.ctx, time.Since(a.began).Seconds(), a.t.attemptSets.of(a.key, attemptSet.attributes))
		a.span.End()
	})
}

// broken is the class of a request whose connection failed. One that this side
// ended for a reason of its own is no failure of the agent's.
func (a *attempt) broken(err error) string {
	kind := copilot.ErrInterrupted
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	switch cause := context.Cause(a.ctx); {
	case errors.Is(cause, context.DeadlineExceeded):
		kind = copilot.ErrTimeout
	case errors.Is(cause, context.Canceled), cause != nil && a.call != nil && a.call.caller.Err() != nil:
		return ""
	case cause != nil: // the client's own limits: a first event, or any, that did not come
		kind = copilot.ErrTimeout
	case !a.connected.Load():
		kind = copilot.ErrUnreachable
	case ok && timeout.Timeout():
		kind = copilot.ErrTimeout
	}
	return a.t.errorType(&copilot.Error{Kind: kind})
}

// body ends its attempt when it is read to its end, breaks or is closed.
type body struct {
	io.ReadCloser
	attempt *attempt
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.attempt.end("")
	default:
		b.attempt.end(b.attempt.broken(err))
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.attempt.end("")
	return b.ReadCloser.Close()
}

// address is a URL without what may be secret: user, query and fragment.
func address(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

func portOf(u *url.URL) int {
	if n, err := strconv.Atoi(u.Port()); err == nil {
		return n
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// attemptSet are the attributes of a request's duration.
type attemptSet struct {
	method, address, class string
	port, status           int
}

func (s attemptSet) attributes() []attribute.KeyValue {
	list := []attribute.KeyValue{keyMethod.String(s.method), keyServerAddress.String(s.address), keyServerPort.Int(s.port)}
	if s.status != 0 {
		list = append(list, keyStatus.Int(s.status))
	}
	return text(list, keyErrorType, s.class)
}
