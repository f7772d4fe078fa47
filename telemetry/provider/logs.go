package provider

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// withTrace adds the ids of the trace and the span to a line. A line that names
// its trace already keeps it.
type withTrace struct{ slog.Handler }

// Names of the ids in a line, as the data model of OpenTelemetry has them for
// formats other than its own.
const (
	attrTrace = "trace_id"
	attrSpan  = "span_id"
)

// Handle implements slog.Handler.
func (h withTrace) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		named := false
		r.Attrs(func(a slog.Attr) bool {
			named = named || a.Key == attrTrace
			return !named
		})
		r = r.Clone() // whoever else gets the record must not see what is added
		if !named {
			r.AddAttrs(slog.String(attrTrace, sc.TraceID().String()))
		}
		r.AddAttrs(slog.String(attrSpan, sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h withTrace) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withTrace{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h withTrace) WithGroup(name string) slog.Handler { return withTrace{h.Handler.WithGroup(name)} }

// both writes a line and sends it on. What is not severe enough for the one is
// not for the other either.
type both struct{ lines, export slog.Handler }

// Enabled implements slog.Handler.
func (b both) Enabled(ctx context.Context, l slog.Level) bool { return b.lines.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (b both) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(b.lines.Handle(ctx, r), b.export.Handle(ctx, r))
}

// WithAttrs implements slog.Handler.
func (b both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return both{b.lines.WithAttrs(attrs), b.export.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (b both) WithGroup(name string) slog.Handler {
	return both{b.lines.WithGroup(name), b.export.WithGroup(name)}
}

// throttle lets one line through in each period and drops the others: a
// collector that is away is the same news every few seconds.
type throttle struct {
	next  slog.Handler
	every time.Duration
	now   func() time.Time

	mu      sync.Mutex
	last    time.Time
	dropped int
}

// Enabled implements slog.Handler. Below a warning the SDK talks to its authors.
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

// WithAttrs implements slog.Handler. Nobody who logs here adds any.
func (t *throttle) WithAttrs([]slog.Attr) slog.Handler { return t }

// WithGroup implements slog.Handler.
func (t *throttle) WithGroup(string) slog.Handler { return t }
