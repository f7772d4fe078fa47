package provider

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// traceHandler adds the ids of the trace and the span to a record. A record that
// has a trace id already keeps it.
type traceHandler struct{ slog.Handler }

// Names of the ids, as OpenTelemetry defines them for log formats other than OTLP
// ("Trace Context in non-OTLP Log Formats").
const (
	attrTrace = "trace_id"
	attrSpan  = "span_id"
)

// Handle implements slog.Handler.
func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		named := false
		r.Attrs(func(a slog.Attr) bool {
			named = named || a.Key == attrTrace
			return !named
		})
		r = r.Clone() // other handlers share the record and must not see what is added
		if !named {
			r.AddAttrs(slog.String(attrTrace, sc.TraceID().String()))
		}
		r.AddAttrs(slog.String(attrSpan, sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}

// teeHandler writes a record as a line and exports it. Both use the level of the
// lines.
type teeHandler struct{ lines, export slog.Handler }

// Enabled implements slog.Handler.
func (b teeHandler) Enabled(ctx context.Context, l slog.Level) bool { return b.lines.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (b teeHandler) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(b.lines.Handle(ctx, r), b.export.Handle(ctx, r))
}

// WithAttrs implements slog.Handler.
func (b teeHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return teeHandler{b.lines.WithAttrs(attrs), b.export.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (b teeHandler) WithGroup(name string) slog.Handler {
	return teeHandler{b.lines.WithGroup(name), b.export.WithGroup(name)}
}

// discreet leaves out what the SDK has read in its variables: it logs what it cannot
// understand, and that may be a key. Of a line only the message, the error and what
// this package counts are kept, without anything that is known to be secret.
type discreet struct {
	slog.Handler
	secrets *strings.Replacer
}

// Handle implements slog.Handler.
func (d discreet) Handle(ctx context.Context, r slog.Record) error {
	kept := slog.NewRecord(r.Time, r.Level, d.secrets.Replace(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "error", "err":
			kept.AddAttrs(slog.String("error", d.secrets.Replace(a.Value.String())))
		case "not_shown":
			kept.AddAttrs(a)
		}
		return true
	})
	return d.Handler.Handle(ctx, kept)
}

// throttle passes one record in each period and drops the others. A collector that
// does not answer would otherwise be reported every few seconds.
type throttle struct {
	next  slog.Handler
	every time.Duration
	now   func() time.Time

	mu      sync.Mutex
	last    time.Time
	dropped int
}

// Enabled implements slog.Handler. Below a warning the SDK logs only for debugging
// itself.
func (t *throttle) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && t.next.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (t *throttle) Handle(ctx context.Context, r slog.Record) error {
	t.mu.Lock()
	now := t.now()
	if !t.last.IsZero() && now.Sub(t.last) < t.every {
		t.dropped++
		t.mu.Unlock()
		return nil
	}
	dropped := t.dropped
	t.last, t.dropped = now, 0
	t.mu.Unlock()
	if dropped > 0 {
		r.AddAttrs(slog.Int("not_shown", dropped))
	}
	return t.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler. The SDK adds no attributes.
func (t *throttle) WithAttrs([]slog.Attr) slog.Handler { return t }

// WithGroup implements slog.Handler.
func (t *throttle) WithGroup(string) slog.Handler { return t }
