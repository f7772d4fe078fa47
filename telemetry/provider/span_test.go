package provider

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// remote is the context of a caller's span.
func remote(flags trace.TraceFlags) context.Context {
	state, _ := trace.ParseTraceState("vendor=1")
	return trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags, TraceState: state,
	}))
}

// Whatever is done with a span, it is the same as a span of the SDK, for which every
// exporter was written.
func TestSpansAreThoseOfTheSDK(t *testing.T) {
	at := time.Unix(1e9, 0)
	text := func(k, v string) attribute.KeyValue { return attribute.String(k, v) }
	link := trace.Link{SpanContext: trace.SpanContextFromContext(remote(0)), Attributes: []attribute.KeyValue{text("a", "1"), text("b", "2")}}
	for name, do := range map[string]func(trace.Tracer){
		"nothing": func(tr trace.Tracer) {
			_, s := tr.Start(context.Background(), "x")
			s.End()
		},
		"kind and attributes": func(tr trace.Tracer) {
			_, s := tr.Start(context.Background(), "x", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(text("a", "1"), attribute.Int("b", 2), attribute.Float64("c", 0.5), attribute.Bool("d", true)))
			s.End()
		},
		"attributes of several options": func(tr trace.Tracer) {
			_, s := tr.Start(context.Background(), "x", trace.WithAttributes(text("a", "1")), trace.WithAttributes(text("b", "2"), text("a", "3")))
			s.End()
		},
		"later attributes": func(tr trace.Tracer) {
			_, s := tr.Start(context.Background(), "x", trace.WithAttributes(text("a", "1"), text("b", "2")))
			s.SetAttributes(text("c", "3"), text("a", "4"))
			s.SetAttributes()
			s.SetAttributes(text("d", "5"), text("d", "6"), text("", "no key"))
			s.End()
		},
		"long texts": func(tr trace.Tracer) {
			_, s := tr.Start(context.Background(), "x", trace.WithAttributes(text("a", "éèüöä")))
			s.SetAttributes(text("b", "0123456789"), text("c", "ok"))
			s.End()
		},
		"many": func(tr trace.Tracer) {
			_, s := tr.Start(context.Background(), "x", trace.WithLinks(link, link, link))
			for _, k := range strings.Split("abcdefghabc", "") {
				s.SetAttributes(text(k, k), text("a", k))
				s.AddEvent(k, trace.WithTimestamp(at), trace.WithAttributes(text("a", "1"), text("b", "2"), text("c", "3")))
			}
			s.AddLink(trace.Link{})
			s.End()
		},
		"status": func(tr trace.Tracer) {
			for _, codes := range [][]codes.Code{{codes.Error}, {codes.Error, codes.Unset}, {codes.Ok, codes.Error}, {codes.Error, codes.Ok}} {
				_, s := tr.Start(context.Background(), "x")
				for _, c := range codes {
					s.SetStatus(c, "why")
				}
				s.End()
			}
		},
		"name": func(tr trace.Tracer) {
			_, s := tr.Start(context.Background(), "x")
			s.SetName("y")
			s.End()
		},
		"after the end": func(tr trace.Tracer) {
			_, s := tr.Start(context.Background(), "x", trace.WithTimestamp(at))
			s.End(trace.WithTimestamp(at.Add(time.Second)))
			s.SetName("y")
			s.SetStatus(codes.Error, "")
			s.SetAttributes(text("a", "1"))
			s.AddEvent("e")
			s.AddLink(link)
			s.End()
			if s.IsRecording() {
				t.Error("it records although it has ended")
			}
		},
		"children": func(tr trace.Tracer) {
			ctx, s := tr.Start(context.Background(), "x")
			_, a := tr.Start(ctx, "a")
			_, b := tr.Start(ctx, "b", trace.WithNewRoot())
			b.End()
			a.End()
			s.End()
			_, late := tr.Start(ctx, "late")
			late.End()
		},
		"of a caller": func(tr trace.Tracer) {
			for _, flags := range []trace.TraceFlags{0, trace.FlagsSampled, trace.FlagsSampled | 2} {
				ctx, s := tr.Start(remote(flags), "x", trace.WithSpanKind(trace.SpanKindServer))
				_, a := tr.Start(ctx, "a")
				a.End()
				s.End()
			}
		},
	} {
		for _, l := range []struct {
			name string
			sdktrace.SpanLimits
		}{
			{"", sdktrace.NewSpanLimits()},
			{", limited", sdktrace.SpanLimits{
				AttributeValueLengthLimit: 3, AttributeValueDepthLimit: 64, AttributeCountLimit: 3, EventCountLimit: 2, LinkCountLimit: 2, AttributePerEventCountLimit: 1, AttributePerLinkCountLimit: 1,
			}},
			{", nothing allowed", sdktrace.SpanLimits{AttributeValueLengthLimit: 0, AttributeValueDepthLimit: 64}},
			{", unlimited", sdktrace.SpanLimits{
				AttributeValueLengthLimit: -1, AttributeValueDepthLimit: -1, AttributeCountLimit: -1, EventCountLimit: -1, LinkCountLimit: -1, AttributePerEventCountLimit: -1, AttributePerLinkCountLimit: -1,
			}},
		} {
			t.Run(name+l.name, func(t *testing.T) {
				sampler := sdktrace.ParentBased(sdktrace.AlwaysSample())
				res := resource.NewSchemaless(text("r", "1"))
				sdk, own := tracetest.NewSpanRecorder(), tracetest.NewSpanRecorder()
				do(sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithSpanProcessor(sdk), sdktrace.WithResource(res), sdktrace.WithRawSpanLimits(l.SpanLimits)).
					Tracer("scope", trace.WithInstrumentationVersion("1"), trace.WithSchemaURL("https://example.com/1"), trace.WithInstrumentationAttributes(text("i", "1"))))
				do((&tracers{sampler: sampler, tail: newTailSampler(own.OnEnd, maxTraces), resource: res, limits: limits{l.SpanLimits}}).
					Tracer("scope", trace.WithInstrumentationVersion("1"), trace.WithSchemaURL("https://example.com/1"), trace.WithInstrumentationAttributes(text("i", "1"))))
				want, got := inWords(t, sdk.Ended()), inWords(t, own.Ended())
				for i, line := range got {
					if i >= len(want) || line != want[i] {
						t.Fatalf("line %d of\n%s\nis not the SDK's\n%s", i, strings.Join(got, "\n"), strings.Join(want, "\n"))
					}
				}
				if len(got) != len(want) {
					t.Errorf("%d lines, of the SDK %d", len(got), len(want))
				}
			})
		}
	}
}

// inWords writes spans without what is different each time, in the form of an exporter.
func inWords(t *testing.T, spans []sdktrace.ReadOnlySpan) []string {
	t.Helper()
	var sampled []sdktrace.ReadOnlySpan
	for _, s := range spans {
		if s.SpanContext().IsSampled() { // the others are for the tail sampler's tests
			sampled = append(sampled, s)
		}
	}
	names := map[string]string{}
	stubs := tracetest.SpanStubsFromReadOnlySpans(sampled)
	for i := range stubs {
		s := &stubs[i]
		if s.StartTime.IsZero() || s.EndTime.Before(s.StartTime) {
			t.Errorf("%q lasts from %v to %v", s.Name, s.StartTime, s.EndTime)
		}
		if s.StartTime.After(time.Unix(1e9, 0)) {
			s.StartTime, s.EndTime = time.Time{}, time.Time{}
		}
		for k := range s.Events {
			if s.Events[k].Time.After(time.Unix(1e9, 0)) {
				s.Events[k].Time = time.Time{}
			}
		}
		// The SDK does not tell how many were left out where none may be.
		if len(s.Events) == 0 {
			s.DroppedEvents = 0
		}
		if len(s.Links) == 0 {
			s.DroppedLinks = 0
		}
		names[s.SpanContext.SpanID().String()] = s.Name
		if !s.SpanContext.IsValid() || s.Parent.IsValid() && s.Parent.TraceID() != s.SpanContext.TraceID() {
			t.Errorf("%q is %v below %v", s.Name, s.SpanContext, s.Parent)
		}
	}
	text, err := json.MarshalIndent(stubs, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	// Ids are different each time, but lead to the same spans.
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		for id, name := range names {
			line = strings.Replace(line, id, "id of "+name, 1)
		}
		if strings.Contains(line, `"TraceID"`) && !strings.Contains(line, `"01000000`) {
			line = "a trace"
		}
		lines[i] = line
	}
	return lines
}

// A version of the SDK may ask spans for more. Then a method of the embedded interface
// would be called, which is nil.
func TestSpansAnswerEverything(t *testing.T) {
	_, s := (&tracers{sampler: sdktrace.AlwaysSample(), tail: newTailSampler(func(sdktrace.ReadOnlySpan) {}, 1), limits: limits{sdktrace.NewSpanLimits()}}).Tracer("t").Start(t.Context(), "x")
	s.End()
	for _, v := range []any{s, sampledSpan{s.(*span)}} {
		of := reflect.TypeFor[sdktrace.ReadOnlySpan]()
		for i := range of.NumMethod() {
			m := of.Method(i)
			if !m.IsExported() {
				continue
			}
			func() {
				defer func() {
					if recover() != nil {
						t.Errorf("%T has no %s of its own", v, m.Name)
					}
				}()
				reflect.ValueOf(v).MethodByName(m.Name).Call(nil)
			}()
		}
	}
}

// A span may be used by several goroutines at once, also while it ends.
func TestSpansAreSafe(t *testing.T) {
	for _, sampler := range []sdktrace.Sampler{sdktrace.AlwaysSample(), sdktrace.NeverSample()} {
		tracer, _, _ := behind(sampler, maxTraces)
		ctx, s := tracer.Start(t.Context(), "x")
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for i := range 20 {
					s.SetAttributes(attribute.Int("n", i))
					s.AddEvent("e")
					s.SetName("y")
					s.SetStatus(codes.Error, "")
					_ = tracetest.SpanStubFromReadOnlySpan(s.(sdktrace.ReadOnlySpan))
					_, below := tracer.Start(ctx, "below")
					below.End()
				}
				s.End()
			})
		}
		all.Wait()
	}
}

// Spans that start with one configuration share its attributes, until one of them gets
// another value.
func TestSpansShareWhatTheyStartWith(t *testing.T) {
	tracer, _, out := behind(sdktrace.AlwaysSample(), 1)
	configured := tracer.(interface {
		StartConfigured(context.Context, string, *trace.SpanConfig) (context.Context, trace.Span)
	})
	config := trace.NewSpanStartConfig(trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String("a", "1"), attribute.String("b", "2")))
	for _, v := range []string{"3", ""} {
		_, s := configured.StartConfigured(t.Context(), "x", &config)
		if v != "" {
			s.SetAttributes(attribute.String("b", v), attribute.String("c", v))
		}
		s.End()
	}
	for i, want := range [][]attribute.KeyValue{
		{attribute.String("a", "1"), attribute.String("b", "3"), attribute.String("c", "3")},
		{attribute.String("a", "1"), attribute.String("b", "2")},
	} {
		if s := out.Ended()[i]; !slices.Equal(s.Attributes(), want) || s.SpanKind() != trace.SpanKindClient || s.Name() != "x" {
			t.Errorf("span %d is %q of kind %v with %v", i, s.Name(), s.SpanKind(), s.Attributes())
		}
	}
}
