package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/attribute"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
)

// emitted is a processor that keeps records in words.
type emitted struct {
	list  []string
	ended int
}

func (e *emitted) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (e *emitted) ForceFlush(context.Context) error                       { return nil }
func (e *emitted) Shutdown(context.Context) error                         { e.ended++; return nil }
func (e *emitted) OnEmit(_ context.Context, r *sdklog.Record) error {
	text := fmt.Sprint(r.Timestamp().UnixNano(), r.Severity(), r.SeverityText(), r.Body().String(), r.TraceID(), r.SpanID(), r.TraceFlags(), r.Resource(), r.InstrumentationScope(), r.DroppedAttributes())
	r.WalkAttributes(func(a attribute.KeyValue) bool {
		text += fmt.Sprintf("\n%s %v %s", a.Key, a.Value.Type(), a.Value.String())
		return true
	})
	e.list = append(e.list, text)
	return nil
}

// Whatever is in a record, what is exported is what otelslog and the SDK make of it.
func TestRecordsAreExportedAsBySDK(t *testing.T) {
	many := func(n int) (list []slog.Attr) {
		for i := range n {
			list = append(list, slog.Int(fmt.Sprint("key ", i), i))
		}
		return list
	}
	at := time.Unix(1e9, 7)
	as := func(h slog.Handler) slog.Handler { return h }
	for name, c := range map[string]struct {
		on     func(slog.Handler) slog.Handler
		list   []slog.Attr
		simple bool
	}{
		"nothing":         {as, nil, true},
		"scalars":         {as, []slog.Attr{slog.String("s", "text"), slog.Int("i", 1), slog.Uint64("u", 1<<63), slog.Float64("f", .5), slog.Bool("b", true), slog.Duration("d", time.Second), slog.Time("t", at)}, true},
		"no key":          {as, []slog.Attr{slog.String("", "x"), slog.Int("i", 1), {}}, false},
		"no key at all":   {as, []slog.Attr{slog.String("", "x")}, true},
		"a key twice":     {as, []slog.Attr{slog.String("a", "1"), slog.String("b", "2"), slog.String("a", "3")}, false},
		"an error":        {as, []slog.Attr{slog.Any("error", errors.New("x")), slog.Int("i", 1)}, false},
		"a list":          {as, []slog.Attr{slog.Any("a", []string{"x", "y"})}, false},
		"groups":          {as, []slog.Attr{slog.Group("g", slog.Int("a", 1), slog.Int("a", 2)), slog.Group("", slog.Int("b", 1), slog.Int("b", 2))}, false},
		"a value later":   {as, []slog.Attr{slog.Any("l", slog.LevelVar{}), slog.Any("v", later{})}, false},
		"many":            {as, many(maxSimple), true},
		"too many":        {as, many(maxSimple + 1), false},
		"over a limit":    {as, many(200), false},
		"with attributes": {func(h slog.Handler) slog.Handler { return h.WithAttrs([]slog.Attr{slog.Int("a", 1)}) }, []slog.Attr{slog.Int("a", 2)}, true},
		"in a group":      {func(h slog.Handler) slog.Handler { return h.WithGroup("g") }, []slog.Attr{slog.Int("a", 2)}, true},
	} {
		for _, limit := range []string{"", "2"} {
			t.Run(name+limit, func(t *testing.T) {
				t.Setenv("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", limit)
				t.Setenv("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", limit)
				res := resource.NewSchemaless(attribute.String("r", "1"))
				var own, sdk emitted
				h, end := newExportHandler(&own, res)
				r := slog.NewRecord(at, slog.LevelWarn, "message", 0)
				r.AddAttrs(c.list...)
				if got := isSimple(r); got != c.simple {
					t.Errorf("simple %v", got)
				}
				theirs := otelslog.NewHandler(ServiceName, otelslog.WithLoggerProvider(sdklog.NewLoggerProvider(sdklog.WithResource(res), sdklog.WithProcessor(&sdk))))
				if err := errors.Join(c.on(h).Handle(remote(1), r), c.on(theirs).Handle(remote(1), r)); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(own.list, sdk.list) || len(own.list) != 1 {
					t.Errorf("%v, of the SDK %v", own.list, sdk.list)
				}
				if err := end(t.Context()); err != nil || own.ended != 1 {
					t.Errorf("%v, ended %d times", err, own.ended)
				}
			})
		}
	}
}

// later is a value that is only made for a handler.
type later struct{}

func (later) LogValue() slog.Value { return slog.StringValue("x") }
