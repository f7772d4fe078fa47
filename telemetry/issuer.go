package telemetry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"parley/server/copilot"
	"parley/store"
)

// What a token of this service's own is for.
const (
	TokenForAgent = "agent"
	TokenForRedis = "redis"
)

// alonePause is the least time between the spans of fetches that belong to no request,
// after one that failed. They are repeated for as long as an issuer is away, each in a
// trace of its own, and would bury the requests that fail for it.
const alonePause = 5 * time.Minute

// Issuer observes what is fetched from one issuer of tokens: a span and a measurement
// for each fetch, and below it a span for each HTTP request, all with the issuer's own
// address. It is safe for use from many goroutines.
type Issuer struct {
	t        *Telemetry
	span     string
	start    []trace.SpanStartOption // of a fetch
	shared   []trace.SpanStartOption // of a call that shares another's failure
	placed   bool                    // start has the address
	fetches  metric.Float64Histogram
	attrs    func(class string) []attribute.KeyValue
	sets     sets[string]
	noAnswer string // class of a request that got no answer

	mu    sync.Mutex
	quiet time.Time // fetches that belong to no request have no span before
}

// TokenIssuer observes the issuer of tokens of this service's own. Purpose is
// TokenForAgent or TokenForRedis. Address is the issuer's URL, of which only host and
// port are recorded; with "" the first request tells. Unavailable is an error of the
// class that a fetch without an answer has.
func (t *Telemetry) TokenIssuer(purpose, address string, unavailable error) *Issuer {
	i := t.issuer(spanFetchToken, address, unavailable, keyTokenFor.String(purpose))
	i.fetches = t.tokens
	i.attrs = func(class string) []attribute.KeyValue {
		return text([]attribute.KeyValue{keyTokenFor.String(purpose)}, keyErrorType, class)
	}
	return i
}

// KeyIssuer observes the issuer of callers' tokens, whose signing keys are fetched. See
// TokenIssuer.
func (t *Telemetry) KeyIssuer(address string, unavailable error) *Issuer {
	i := t.issuer(spanFetchKeys, address, unavailable)
	i.fetches = t.keys
	i.attrs = func(class string) []attribute.KeyValue { return text(nil, keyErrorType, class) }
	return i
}

func (t *Telemetry) issuer(span, address string, unavailable error, attrs ...attribute.KeyValue) *Issuer {
	server := serverOf(address)
	option := trace.WithAttributes(append(attrs, server...)...)
	return &Issuer{
		t: t, span: span, placed: len(server) > 0, noAnswer: t.class(unavailable),
		start:  []trace.SpanStartOption{clientKind[0], option},
		shared: []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindInternal), option, trace.WithAttributes(keyFetchShared.Bool(true))},
	}
}

// issuerFetch is a fetch in progress. It travels with the context of its requests.
type issuerFetch struct {
	span   trace.Span
	placed atomic.Bool // the span has the address
}

type issuerFetchKey struct{}

// Fetch is called when a fetch begins, with the context of the request that it is for,
// if there is one. The HTTP requests have to be made with the context that it returns.
// done is called at the end; its error is one that Options.Class knows, or nil.
func (i *Issuer) Fetch(ctx context.Context) (_ context.Context, done func(error)) {
	began := time.Now()
	alone := !trace.SpanContextFromContext(ctx).IsValid()
	if i.t.off || alone && i.isQuiet(began) {
		return ctx, func(err error) { i.measure(ctx, began, alone, err) }
	}
	f := &issuerFetch{}
	f.placed.Store(i.placed)
	ctx, f.span = i.t.tracer.Start(ctx, i.span, i.start...) //nolint:spancheck // done ends it
	return context.WithValue(ctx, issuerFetchKey{}, f), func(err error) {
		i.mark(f.span, err)
		i.measure(ctx, began, alone, err)
		if alone && err != nil {
			i.setQuiet(began.Add(alonePause))
		}
		f.span.End()
	}
}

func (i *Issuer) measure(ctx context.Context, began time.Time, alone bool, err error) {
	errorType, _ := i.t.callResult(i.t.class(err))
	i.fetches.Record(ctx, time.Since(began).Seconds(), i.sets.of(errorType, i.attrs).record...)
	if alone && err == nil {
		i.setQuiet(time.Time{})
	}
}

func (i *Issuer) isQuiet(now time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return now.Before(i.quiet)
}

func (i *Issuer) setQuiet(until time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.quiet = until
}

// Failed is called for a call that failed although nothing was fetched for it: it
// shared the fetch of another, or the last one had failed a short while before. The
// span leads from its trace to the issuer.
func (i *Issuer) Failed(ctx context.Context, began time.Time, err error) {
	if i.t.off || !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	options := append([]trace.SpanStartOption{trace.WithTimestamp(began)}, i.shared...)
	_, span := i.t.tracer.Start(ctx, i.span, options...)
	i.mark(span, err)
	span.End()
}

// mark sets the result of a span of a fetch.
func (i *Issuer) mark(span trace.Span, err error) {
	if e, ok := errors.AsType[*copilot.Error](err); ok {
		span.SetAttributes(text(text(nil, keyReason, e.Reason), keyTokenCode, e.Code)...)
	}
	if e, ok := errors.AsType[*store.Error](err); ok {
		span.SetAttributes(text(nil, keyReason, e.Reason)...)
	}
	i.t.markCall(span, i.t.class(err))
}

// Transport decorates the transport of the issuer's client: one span for each request
// of a fetch. No trace context is sent, because the issuer belongs to somebody else.
func (i *Issuer) Transport(next http.RoundTripper) http.RoundTripper {
	return &issuerTransport{i, next}
}

type issuerTransport struct {
	issuer *Issuer
	next   http.RoundTripper
}

// CloseIdleConnections implements what http.Client looks for in a transport.
func (tr *issuerTransport) CloseIdleConnections() {
	(&http.Client{Transport: tr.next}).CloseIdleConnections()
}

// RoundTrip implements http.RoundTripper.
func (tr *issuerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	f, ok := req.Context().Value(issuerFetchKey{}).(*issuerFetch)
	if !ok {
		return tr.next.RoundTrip(req)
	}
	i := tr.issuer
	if !f.placed.Swap(true) {
		f.span.SetAttributes(keyServerAddress.String(req.URL.Hostname()), keyServerPort.Int(portOf(req.URL)))
	}
	_, span := i.t.tracer.Start(req.Context(), req.Method, clientKind[0], trace.WithAttributes(requestAttributes(nil, req)...))
	resp, err := tr.next.RoundTrip(req)
	if err != nil {
		i.broken(req.Context(), span)
		span.End()
		return nil, err
	}
	span.SetAttributes(keyStatus.Int(resp.StatusCode), keyProtocol.String(protocol(resp.ProtoMajor, resp.ProtoMinor)))
	if resp.StatusCode >= http.StatusBadRequest {
		// As the semantic conventions require. The span of the fetch has the class.
		span.SetAttributes(keyErrorType.String(strconv.Itoa(resp.StatusCode)))
		span.SetStatus(failedStatus, "")
	}
	resp.Body = &issuerBody{ReadCloser: resp.Body, ended: func(err error) {
		if err != nil {
			i.broken(req.Context(), span)
		}
		span.End()
	}}
	return resp, nil
}

// broken marks the span of a request whose connection failed, unless this service
// ended the request itself.
func (i *Issuer) broken(ctx context.Context, span trace.Span) {
	if !errors.Is(ctx.Err(), context.Canceled) {
		i.t.mark(span, i.noAnswer)
	}
}

// issuerBody ends the span of its request when it was read to its end, fails, or is
// closed.
type issuerBody struct {
	io.ReadCloser
	once  sync.Once
	ended func(error)
}

// Read implements io.Reader.
func (b *issuerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.once.Do(func() { b.ended(nil) })
	default:
		b.once.Do(func() { b.ended(err) })
	}
	return n, err
}

// Close implements io.Closer.
func (b *issuerBody) Close() error {
	b.once.Do(func() { b.ended(nil) })
	return b.ReadCloser.Close()
}
