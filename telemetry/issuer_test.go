package telemetry_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"parley/server/copilot"
	"parley/store"
	"parley/telemetry"
)

// unavailable has the class store_unreachable in this package's tests.
var unavailable = &store.Error{Op: "token", Kind: store.ErrUnreachable}

// inRequest is a context with the span of a request.
func inRequest(t *testing.T) (context.Context, trace.SpanContext) {
	t.Helper()
	ctx, span := sdktrace.NewTracerProvider().Tracer("test").Start(t.Context(), "request")
	t.Cleanup(func() { span.End() })
	return ctx, span.SpanContext()
}

// get sends one request of a fetch and reads its answer.
func get(ctx context.Context, t *testing.T, i *telemetry.Issuer, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := i.Transport(http.DefaultTransport).RoundTrip(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// A fetch has a span, and each of its requests one below it, with the issuer's address
// and without what is secret. The issuer is told nothing of the trace.
func TestFetch(t *testing.T) {
	var header http.Header
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Clone()
		switch r.URL.Path {
		case "/refused":
			w.WriteHeader(http.StatusBadRequest)
		case "/cut":
			_, _ = w.Write([]byte("half"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	defer web.Close()
	for path, c := range map[string]struct {
		known     bool // the address, from the start
		errorType string
	}{"/token": {true, ""}, "/unknown": {false, ""}, "/refused": {true, "400"}, "/cut": {true, "store_unreachable"}} {
		l := newLab(t)
		ctx, parent := inRequest(t)
		address := ""
		if c.known {
			address = web.URL
		}
		i := l.TokenIssuer(telemetry.TokenForAgent, address, unavailable)
		ctx, done := i.Fetch(ctx)
		get(ctx, t, i, web.URL+path+"?secret=1")
		var failed error
		if c.errorType != "" {
			failed = unavailable
		}
		done(failed)
		spans := l.spans.Ended()
		if len(spans) != 2 {
			t.Fatalf("%s: %d spans", path, len(spans))
		}
		request, fetch := spans[0], spans[1]
		if fetch.Name() != "fetch_token" || fetch.SpanKind() != trace.SpanKindClient || fetch.Parent().SpanID() != parent.SpanID() ||
			attr(fetch, "server.address").AsString() != "127.0.0.1" || attr(fetch, "server.port").AsInt64() == 0 || attr(fetch, "parley.token.for").AsString() != "agent" ||
			(fetch.Status().Code == codes.Error) != (failed != nil) {
			t.Errorf("%s: %s %v", path, fetch.Name(), fetch.Attributes())
		}
		if request.Name() != "GET" || request.Parent().SpanID() != fetch.SpanContext().SpanID() || attr(request, "url.full").AsString() != web.URL+path ||
			attr(request, "network.protocol.version").AsString() != "1.1" || attr(request, "error.type").AsString() != c.errorType {
			t.Errorf("%s: %s %v", path, request.Name(), request.Attributes())
		}
		if header.Get("Traceparent") != "" {
			t.Errorf("%s: the issuer was told the trace", path)
		}
		if l.measured(t, "parley.token.duration") != 1 || l.measured(t, "http.client.request.duration") != 0 {
			t.Errorf("%s: not measured once", path)
		}
	}
}

// Who was canceled by this service did not fail, and who shares a failure leads to the
// issuer without having asked it.
func TestFetchesThatDidNotFail(t *testing.T) {
	l := newLab(t)
	ctx, _ := inRequest(t)
	i := l.KeyIssuer("https://issuer.example/keys", unavailable)
	canceled, cancel := context.WithCancel(ctx)
	canceled, done := i.Fetch(canceled)
	cancel()
	get(canceled, t, i, "http://127.0.0.1:1/keys")
	done(errLeft) // of class client_canceled
	for _, s := range l.spans.Ended() {
		if attr(s, "error.type").AsString() != "" || s.Status().Code == codes.Error {
			t.Errorf("canceled: %s %v", s.Name(), s.Attributes())
		}
	}
	l = newLab(t)
	i = l.KeyIssuer("https://issuer.example/keys", unavailable)
	i.Failed(ctx, time.Now(), unavailable)
	i.Failed(t.Context(), time.Now(), unavailable) // of no request
	s := only(t, l)
	if s.Name() != "fetch_signing_keys" || s.SpanKind() != trace.SpanKindInternal || attr(s, "error.type").AsString() != "store_unreachable" ||
		attr(s, "server.address").AsString() != "issuer.example" || attr(s, "server.port").AsInt64() != 443 || !attr(s, "parley.fetch.shared").AsBool() {
		t.Errorf("shared: %s %v", s.Name(), s.Attributes())
	}
	if l.measured(t, "parley.signing_keys.duration") != 0 {
		t.Error("what was not fetched is measured")
	}
}

// The reason and the code of the issuer's are on the span.
func TestFetchSaysWhy(t *testing.T) {
	l := newLab(t)
	_, done := l.TokenIssuer(telemetry.TokenForAgent, "https://issuer.example/t", unavailable).Fetch(t.Context())
	done(&copilot.Error{Kind: copilot.ErrToken, Reason: copilot.ReasonClientRefused, Code: "AADSTS7000215"})
	s := only(t, l)
	if attr(s, "parley.failure.reason").AsString() != "client_refused" || attr(s, "parley.token.error_code").AsString() != "AADSTS7000215" {
		t.Errorf("%v", s.Attributes())
	}
}

// Fetches that belong to no request are repeated while an issuer is away. One in five
// minutes has a span, and all are measured.
func TestFetchesOfNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		i := l.TokenIssuer(telemetry.TokenForRedis, "https://issuer.example/t", unavailable)
		fetch := func(err error) {
			ctx, done := i.Fetch(t.Context())
			get(ctx, t, i, "http://127.0.0.1:1/token") // a span only within one
			done(err)
		}
		spans := func(want int, when string) {
			t.Helper()
			n := 0
			for _, s := range l.spans.Ended() {
				if s.Name() == "fetch_token" {
					n++
				}
			}
			if n != want || len(l.spans.Ended()) != 2*want {
				t.Errorf("%s: %d spans of fetches, want %d; %d in all", when, n, want, len(l.spans.Ended()))
			}
		}
		fetch(nil)
		fetch(nil)
		spans(2, "while all is well")
		for range 600 {
			fetch(unavailable)
			time.Sleep(time.Second)
		}
		spans(4, "ten minutes later")
		fetch(nil)
		fetch(unavailable)
		spans(5+1, "mended, and broken again")
		if n := l.measured(t, "parley.token.duration"); n != 604 {
			t.Errorf("%d fetches are measured", n)
		}
	})
}
