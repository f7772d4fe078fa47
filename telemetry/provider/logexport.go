package provider

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
)

// exportHandler exports records through otelslog. For each attribute of a record the SDK
// looks for the same key among all others, in maps that it makes for it: that takes longer
// than all the rest. Nearly every record has simple values with different keys, which is
// seen at a glance, and goes to an SDK that is told not to look.
type exportHandler struct {
	slog.Handler // for whatever else is in a record

	simple slog.Handler
}

// newExportHandler makes a handler that gives records to a processor, and what ends both.
func newExportHandler(to sdklog.Processor, res *resource.Resource) (slog.Handler, func(context.Context) error) {
	open := func(options ...sdklog.LoggerProviderOption) (*sdklog.LoggerProvider, slog.Handler) {
		p := sdklog.NewLoggerProvider(append(options, sdklog.WithResource(res), sdklog.WithProcessor(to))...)
		return p, otelslog.NewHandler(ServiceName, otelslog.WithLoggerProvider(p))
	}
	whole, of := open()
	_, simple := open(sdklog.WithAllowKeyDuplication())
	return exportHandler{of, simple}, whole.Shutdown // which ends the processor of both
}

// Handle implements slog.Handler.
func (h exportHandler) Handle(ctx context.Context, r slog.Record) error {
	if isSimple(r) {
		return h.simple.Handle(ctx, r)
	}
	return h.Handler.Handle(ctx, r)
}

// maxSimple is the most attributes of a simple record: keys are compared with each other.
const maxSimple = 32

// isSimple reports whether all values of a record are scalars, and no key is there twice.
func isSimple(r slog.Record) bool {
	if r.NumAttrs() > maxSimple {
		return false
	}
	var keys [maxSimple]string
	n, simple := 0, true
	r.Attrs(func(a slog.Attr) bool {
		switch a.Value.Kind() {
		case slog.KindAny, slog.KindGroup, slog.KindLogValuer:
			simple = false
		case slog.KindBool, slog.KindDuration, slog.KindFloat64, slog.KindInt64, slog.KindString, slog.KindTime, slog.KindUint64:
			for _, k := range keys[:n] {
				if k == a.Key {
					simple = false
				}
			}
			keys[n] = a.Key
			n++
		}
		return simple
	})
	return simple
}
