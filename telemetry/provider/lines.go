package provider

import (
	"context"
	"log/slog"
	"math"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// lineHandler writes the lines that traceHandler and slog.JSONHandler write, byte for byte.
// Those that consist of nothing but plain words and numbers, as those of nearly all
// requests do, it appends itself: that takes a third of the time. All others it leaves
// to them.
type lineHandler struct {
	slog.Handler
	queue *LineQueue
}

func newLineHandler(queue *LineQueue, level slog.Level) lineHandler {
	return lineHandler{traceHandler{slog.NewJSONHandler(queue, &slog.HandlerOptions{Level: level})}, queue}
}

// lineSize is how many bytes a line has room for before it has to grow: twice the usual.
const lineSize = 1 << 10

// Handle implements slog.Handler.
func (h lineHandler) Handle(ctx context.Context, r slog.Record) error {
	var room [lineSize]byte // on the stack: the queue copies what it takes
	line, ok := appendLine(room[:0], r, trace.SpanContextFromContext(ctx))
	if !ok {
		return h.Handler.Handle(ctx, r)
	}
	_, err := h.queue.Write(line)
	return err
}

// WithAttrs implements slog.Handler.
func (h lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler { return h.Handler.WithAttrs(attrs) }

// WithGroup implements slog.Handler.
func (h lineHandler) WithGroup(name string) slog.Handler { return h.Handler.WithGroup(name) }

// appendLine appends a record and the ids of its span, unless something in it is not
// plain.
func appendLine(b []byte, r slog.Record, sc trace.SpanContext) (_ []byte, ok bool) {
	if year := r.Time.Year(); r.Time.IsZero() || year < 0 || year > 9999 || !isPlain(r.Message) {
		return nil, false
	}
	b = r.Time.AppendFormat(append(b, `{"time":"`...), time.RFC3339Nano)
	b = append(append(b, `","level":"`...), r.Level.String()...)
	b = append(append(append(b, `","msg":"`...), r.Message...), '"')
	ok, named := true, false
	r.Attrs(func(a slog.Attr) bool {
		named = named || a.Key == attrTrace
		b, ok = appendAttr(b, a)
		return ok
	})
	if sc.IsValid() {
		if !named {
			b, _ = appendAttr(b, slog.String(attrTrace, sc.TraceID().String()))
		}
		b, _ = appendAttr(b, slog.String(attrSpan, sc.SpanID().String()))
	}
	return append(b, "}\n"...), ok
}

// appendAttr appends a name and its value, unless one of them is not plain.
func appendAttr(b []byte, a slog.Attr) (_ []byte, ok bool) {
	if a.Key == "" || !isPlain(a.Key) {
		return b, false
	}
	b = append(append(append(b, `,"`...), a.Key...), `":`...)
	switch a.Value.Kind() {
	case slog.KindString:
		s := a.Value.String()
		return append(append(append(b, '"'), s...), '"'), isPlain(s)
	case slog.KindInt64:
		return strconv.AppendInt(b, a.Value.Int64(), 10), true
	case slog.KindBool:
		return strconv.AppendBool(b, a.Value.Bool()), true
	case slog.KindFloat64:
		// Package json writes very small and very large numbers with an exponent.
		f := a.Value.Float64()
		return strconv.AppendFloat(b, f, 'f', -1, 64), f == 0 || math.Abs(f) >= 1e-6 && math.Abs(f) < 1e21
	case slog.KindAny, slog.KindDuration, slog.KindTime, slog.KindUint64, slog.KindGroup, slog.KindLogValuer: // not in the line of a request
	}
	return b, false
}

// isPlain reports whether a string stands in JSON as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
