package provider

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// twoLines writes a record through a lineHandler and through what it stands for.
func twoLines(ctx context.Context, t *testing.T, r slog.Record) (got, want string) {
	t.Helper()
	var ours, theirs bytes.Buffer
	queue := NewLineQueue(&ours)
	err := errors.Join(newLineHandler(queue, slog.LevelInfo).Handle(ctx, r), queue.Close(t.Context()),
		traceHandler{slog.NewJSONHandler(&theirs, nil)}.Handle(ctx, r))
	if err != nil {
		t.Fatal(err)
	}
	return ours.String(), theirs.String()
}

// spanContext is the context of a span.
func spanContext(t *testing.T) context.Context {
	t.Helper()
	return trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 0xab}, SpanID: trace.SpanID{2, 0xcd}}))
}

// Lines are those of slog.JSONHandler, whoever appends them.
func TestLines(t *testing.T) {
	at := time.Date(2026, 11, 26, 11, 0, 0, 120_000_000, time.UTC)
	for name, c := range map[string]struct {
		attrs []slog.Attr
		plain bool
	}{
		"nothing":           {nil, true},
		"a request":         {[]slog.Attr{slog.String("method", "POST"), slog.String("class", ""), slog.Int("status", 200), slog.Float64("duration_ms", 12.345), slog.Bool("joined", true)}, true},
		"a trace":           {[]slog.Attr{slog.String("trace_id", "already there")}, true},
		"whole numbers":     {[]slog.Attr{slog.Float64("a", 0), slog.Float64("b", 3), slog.Float64("c", -2.5e9), slog.Int64("d", math.MinInt64)}, true},
		"limits of numbers": {[]slog.Attr{slog.Float64("a", 1e-6), slog.Float64("b", math.Nextafter(1e21, 0)), slog.Float64("c", -1e-6)}, true},
		"small":             {[]slog.Attr{slog.Float64("a", 9.9e-7)}, false},
		"large":             {[]slog.Attr{slog.Float64("a", -1e21)}, false},
		"not a number":      {[]slog.Attr{slog.Float64("a", math.NaN()), slog.Float64("b", math.Inf(-1))}, false},
		"quotes":            {[]slog.Attr{slog.String("a", `"\`), slog.String("b", "plain")}, false},
		"controls":          {[]slog.Attr{slog.String("a", "\x00\n\x7f")}, false},
		"other scripts":     {[]slog.Attr{slog.String("a", "日本語 \u2028 \xff")}, false},
		"a quoted name":     {[]slog.Attr{slog.String(`"`, "a")}, false},
		"no name":           {[]slog.Attr{slog.String("", "a")}, false},
		"an empty one":      {[]slog.Attr{{}, slog.Int("a", 1)}, false},
		"other kinds":       {[]slog.Attr{slog.Duration("a", time.Second), slog.Time("b", at), slog.Any("c", map[string]int{"d": 1}), slog.Uint64("e", 1)}, false},
		"a group":           {[]slog.Attr{slog.Group("a", slog.Int("b", 1))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, level := range []slog.Level{slog.LevelInfo, slog.LevelError, slog.LevelWarn + 1} {
				for _, ctx := range []context.Context{t.Context(), spanContext(t)} {
					r := slog.NewRecord(at, level, "request", 0)
					r.AddAttrs(c.attrs...)
					if got, want := twoLines(ctx, t, r); got != want {
						t.Errorf("%s, want %s", got, want)
					}
					if _, plain := appendLine(nil, r, trace.SpanContextFromContext(ctx)); plain != c.plain {
						t.Errorf("appended: %t", plain)
					}
				}
			}
		})
	}
}

// What a handler was given with WithAttrs and WithGroup is in its lines.
func TestLinesWithMore(t *testing.T) {
	var log bytes.Buffer
	queue := NewLineQueue(&log)
	h := newLineHandler(queue, slog.LevelInfo)
	for _, h := range []slog.Handler{h.WithAttrs([]slog.Attr{slog.Int("given", 1)}), h.WithGroup("group")} {
		r := slog.NewRecord(time.Time{}, slog.LevelInfo, "m", 0)
		r.AddAttrs(slog.Int("own", 2))
		if err := h.Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := queue.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	const want = `{"level":"INFO","msg":"m","given":1,"own":2}` + "\n" + `{"level":"INFO","msg":"m","group":{"own":2}}` + "\n"
	if log.String() != want {
		t.Errorf("%s", &log)
	}
}

// FuzzLines has any words, numbers and times in a line.
func FuzzLines(f *testing.F) {
	f.Add("request", "class", "", int64(200), 12.345, int64(0), 0)
	f.Add("a \"message\"", "日本", "\xff", int64(-1), 1e-7, int64(1e15), 3)
	f.Fuzz(func(t *testing.T, msg, key, text string, n int64, f float64, at int64, level int) {
		r := slog.NewRecord(time.Unix(at, n&0xffffffff).UTC(), slog.Level(level), msg, 0)
		r.AddAttrs(slog.String(key, text), slog.Int64(key, n), slog.Float64("f", f), slog.Bool(text, n > 0))
		if got, want := twoLines(spanContext(t), t, r); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// BenchmarkLine writes the line of a request, beside slog.JSONHandler.
func BenchmarkLine(b *testing.B) {
	queue := NewLineQueue(io.Discard)
	b.Cleanup(func() { _ = queue.Close(context.Background()) })
	ours := newLineHandler(queue, slog.LevelInfo)
	for name, h := range map[string]slog.Handler{"ours": ours, "slog": ours.Handler} {
		b.Run(name, func(b *testing.B) {
			r := slog.NewRecord(time.Now(), slog.LevelInfo, "request", 0)
			r.AddAttrs(slog.String("method", "POST"), slog.String("route", "/api/chat/send"), slog.Int("status", 200), slog.String("class", ""), slog.String("stage", ""),
				slog.Float64("duration_ms", 12.345), slog.String("request_id", "0123456789abcdef0123456789abcdef"), slog.String("trace_id", "0123456789abcdef0123456789abcdef"),
				slog.String("conversation_id", "b0a1c2d3-0000-4000-8000-000000000001"), slog.String("owner_hash", "0123456789abcdef"))
			b.ReportAllocs()
			for b.Loop() {
				_ = h.Handle(b.Context(), r)
			}
		})
	}
}
