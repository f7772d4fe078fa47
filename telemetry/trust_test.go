package telemetry_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"parley/store"
	"parley/telemetry"
)

// What a caller sends along with a request.
const (
	theirTrace, theirSpan = "0123456789abcdef0123456789abcdef", "0123456789abcdef"
	theirState            = "vendor=secret"
)

// trusting sends a request of a caller that has a trace, sampled or not, through a
// Telemetry that trusts it so far. It gives the span of the request, the headers
// that the agent gets, and what the answer would name.
func trusting(t *testing.T, trust telemetry.Trust, off bool, flags string, changes ...func(*telemetry.Options)) (s sdktrace.ReadOnlySpan, sent http.Header, named string) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	o := telemetry.Options{Class: class, Classes: []telemetry.Class{{Name: "internal", SpanError: true}}, Trust: trust}
	if !off {
		// A stranger's flag must not get a request into the sample, nor out of it.
		root := sdktrace.AlwaysSample()
		if flags == "01" {
			root = sdktrace.NeverSample()
		}
		o.Tracers = sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysRecord(sdktrace.ParentBased(root))), sdktrace.WithSpanProcessor(spans))
	}
	for _, change := range changes {
		change(&o)
	}
	tel, err := telemetry.New(o)
	if err != nil {
		t.Fatal(err)
	}
	agent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent = r.Header }))
	defer agent.Close()
	h := tel.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		named = tel.Traceparent(r.Context())
		req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, agent.URL, nil)
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := tel.Transport(http.DefaultTransport).RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	r.Header.Set("Traceparent", "00-"+theirTrace+"-"+theirSpan+"-"+flags)
	r.Header.Set("Tracestate", theirState)
	h.ServeHTTP(httptest.NewRecorder(), r)
	for _, ended := range spans.Ended() {
		if ended.SpanKind() == trace.SpanKindServer {
			s = ended
		}
	}
	return s, sent, named
}

// TEL-08: a stranger's trace is linked to, or left alone. Its sampling and its tracestate
// decide nothing and go nowhere.
func TestStrangersTrace(t *testing.T) {
	for _, trust := range []telemetry.Trust{"", telemetry.TrustLink, telemetry.TrustNone} {
		for _, flags := range []string{"00", "01"} {
			s, sent, named := trusting(t, trust, false, flags)
			own := s.SpanContext().TraceID().String()
			if own == theirTrace || s.Parent().IsValid() || s.SpanContext().IsSampled() == (flags == "01") || s.SpanContext().TraceState().Len() > 0 {
				t.Errorf("%q, flags %s: span %+v of %+v", trust, flags, s.SpanContext(), s.Parent())
			}
			if tp := sent.Get("Traceparent"); !strings.Contains(tp, own) || strings.HasSuffix(tp, flags) || sent.Get("Tracestate") != "" {
				t.Errorf("%q, flags %s: the agent gets %v", trust, flags, sent)
			}
			if want := "00-" + own + "-" + s.SpanContext().SpanID().String() + "-"; !strings.HasPrefix(named, want) || len(named) != len(want)+2 || strings.HasSuffix(named, flags) {
				t.Errorf("%q, flags %s: the answer names %s", trust, flags, named)
			}
			if trust == telemetry.TrustNone {
				if len(s.Links()) != 0 {
					t.Errorf("links %+v", s.Links())
				}
				continue
			}
			if len(s.Links()) != 1 {
				t.Fatalf("links %+v", s.Links())
			}
			link := s.Links()[0].SpanContext
			if link.TraceID().String() != theirTrace || link.SpanID().String() != theirSpan || link.IsSampled() || link.TraceState().Len() > 0 || !link.IsRemote() {
				t.Errorf("link %+v", link)
			}
		}
		if _, sent, named := trusting(t, trust, true, "01"); sent.Get("Traceparent") != "" || sent.Get("Tracestate") != "" || named != "" {
			t.Errorf("%q, nothing exported: the agent gets %v, the answer names %s", trust, sent, named)
		}
	}
}

// A caller of our own decides about sampling, and its trace goes on to the agent.
func TestTrustedTrace(t *testing.T) {
	for _, flags := range []string{"00", "01"} {
		s, sent, _ := trusting(t, telemetry.TrustParent, false, flags)
		if s.SpanContext().TraceID().String() != theirTrace || s.Parent().SpanID().String() != theirSpan || s.SpanContext().IsSampled() != (flags == "01") || len(s.Links()) != 0 {
			t.Errorf("flags %s: span %+v of %+v", flags, s.SpanContext(), s.Parent())
		}
		if !strings.Contains(sent.Get("Traceparent"), theirTrace) || sent.Get("Tracestate") != theirState {
			t.Errorf("flags %s: the agent gets %v", flags, sent)
		}
		if _, sent, named := trusting(t, telemetry.TrustParent, true, flags); sent.Get("Traceparent") != named || named != "00-"+theirTrace+"-"+theirSpan+"-"+flags {
			t.Errorf("flags %s, nothing exported: the agent gets %v, the answer names %s", flags, sent, named)
		}
	}
}

// With propagation turned off, whatever is trusted and exported, no context is read from a
// caller or sent to the agent. The answer names the trace all the same.
func TestNoPropagation(t *testing.T) {
	for _, trust := range []telemetry.Trust{telemetry.TrustLink, telemetry.TrustParent, telemetry.TrustNone} {
		for _, off := range []bool{false, true} {
			s, sent, named := trusting(t, trust, off, "01", func(o *telemetry.Options) { o.NoPropagation = true })
			if sent.Get("Traceparent") != "" || sent.Get("Tracestate") != "" || off != (named == "") {
				t.Errorf("%s, off %v: the agent gets %v, the answer names %q", trust, off, sent, named)
			}
			if !off && (s.SpanContext().TraceID().String() == theirTrace || s.Parent().IsValid() || len(s.Links()) != 0) {
				t.Errorf("%s: span %+v of %+v, links %+v", trust, s.SpanContext(), s.Parent(), s.Links())
			}
		}
	}
}

// Without a trace of the caller's there is nothing to link to.
func TestNoTraceToLinkTo(t *testing.T) {
	l := newLab(t)
	h := l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, header := range []string{"", "nonsense", "00-00000000000000000000000000000000-" + theirSpan + "-01"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("Traceparent", header)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	for _, s := range l.spans.Ended() {
		if len(s.Links()) != 0 || s.Parent().IsValid() {
			t.Errorf("%+v, links %+v", s.Parent(), s.Links())
		}
	}
}

// The hash of an owner depends on the key and on both parts of the owner, and is not
// there without a key.
func TestOwnerHash(t *testing.T) {
	hash := func(key string, o store.Owner) string {
		tel, err := telemetry.New(telemetry.Options{Class: class, Classes: []telemetry.Class{{Name: "internal"}}, OwnerKey: []byte(key)})
		if err != nil {
			t.Fatal(err)
		}
		return tel.OwnerHash(o)
	}
	ab := store.Owner{Tenant: "a", User: "b"}
	if got := hash("", ab); got != "" {
		t.Errorf("without a key: %s", got)
	}
	seen := map[string]bool{}
	for _, h := range []string{hash("key", ab), hash("other", ab), hash("key", store.Owner{Tenant: "ab"}), hash("key", store.Owner{Tenant: "b", User: "a"})} {
		if len(h) != 16 || seen[h] {
			t.Errorf("hash %q", h)
		}
		seen[h] = true
	}
	if again := hash("key", ab); !seen[again] {
		t.Error("it is not the same twice")
	}
}
