// Package provider sets up the OpenTelemetry SDK. The standard OTEL_* variables
// decide which signals are exported and how. Without them nothing is created,
// exported or logged.
//
// An exporter that cannot reach its collector costs memory up to the bound of its
// queue and one log line a minute. It never delays a request.
package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// ServiceName is the service's name unless OTEL_SERVICE_NAME or
// OTEL_RESOURCE_ATTRIBUTES give another.
const ServiceName = "parley"

// Options of a Provider.
type Options struct {
	Version string // of the service
	// Prometheus makes Metrics answer scrapes.
	Prometheus bool
	// Log receives the JSON lines, through a LineQueue: nobody waits for it. Level is
	// the lowest level that is written.
	Log   io.Writer
	Level slog.Level
}

// Provider is the telemetry of one process.
type Provider struct {
	Tracers trace.TracerProvider // nil when no spans are exported
	Meters  metric.MeterProvider // nil when nothing reads metrics
	// Logs writes JSON lines with the ids of their trace. It also exports them when
	// an exporter for logs is configured.
	Logs slog.Handler
	// Metrics answers scrapes by Prometheus; nil unless asked for.
	Metrics http.Handler

	// Propagates says whether OTEL_PROPAGATORS wants trace contexts read and sent. That
	// does not depend on OTEL_SDK_DISABLED (OpenTelemetry specification).
	Propagates bool

	lines *LineQueue
	own   *slog.Logger // for errors of the SDK; never exported
	ends  []func(context.Context) error
}

// How long the log may take to be written at the end: as long as the rest of
// telemetry may, but not longer than endTime, and lastTime even when that has
// used up its own time.
const (
	endTime  = time.Second
	lastTime = 100 * time.Millisecond
)

// DroppedLines is how many lines of the log were dropped so far.
func (p *Provider) DroppedLines() int64 { return p.lines.Dropped() }

// New makes a Provider. It does not connect to anything; its errors are about
// variables that cannot mean anything.
func New(ctx context.Context, o Options) (*Provider, error) {
	if err := errors.Join(Check(os.Getenv)...); err != nil {
		return nil, err
	}
	queue := NewLineQueue(o.Log)
	lines := newLineHandler(queue, o.Level)
	p := &Provider{
		lines: queue, Logs: lines, Propagates: os.Getenv("OTEL_PROPAGATORS") != propagatesNothing,
		own: slog.New(&throttle{next: discreet{lines, secrets(os.Getenv)}, every: time.Minute, now: time.Now}),
	}
	want := wanted()
	if !want.traces && !want.metrics && !want.logs && !o.Prometheus {
		return p, nil
	}
	p.handleSDKErrors()
	res, err := newResource(ctx, o.Version)
	if err != nil {
		p.own.LogAttrs(ctx, slog.LevelWarn, "telemetry does not say everything about this process", slog.String("error", short(err)))
	}
	err = errors.Join(p.openTraces(ctx, want.traces, res), p.openMetrics(ctx, want.metrics, o.Prometheus, res), p.openLogs(ctx, want.logs, res, lines))
	if err != nil {
		p.Shutdown(ctx)
		return nil, err
	}
	return p, nil
}

// signals are the parts of telemetry that leave the process.
type signals struct{ traces, metrics, logs bool }

// wanted reads which signals are asked for: by naming an exporter, or by naming
// where a collector is. The exporters read the rest of the variables themselves.
func wanted() signals {
	if disabled(os.Getenv) {
		return signals{}
	}
	wants := func(signal string) bool {
		switch os.Getenv("OTEL_" + signal + "_EXPORTER") {
		case "none":
			return false
		case "":
			return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
		}
		return true
	}
	return signals{wants(traces), wants(metrics), wants(logs)}
}

// handleSDKErrors logs the errors of the SDK, most often that a collector does not
// answer. The SDK has one error handler for the whole process.
func (p *Provider) handleSDKErrors() {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		p.own.LogAttrs(context.Background(), slog.LevelWarn, "telemetry is not exported", slog.String("error", short(err)))
	}))
	otel.SetLogger(logr.FromSlogHandler(p.own.Handler()))
}

// short cuts a long error text, so that what a collector answered cannot fill the
// log.
func short(err error) string {
	const limit = 300
	text := err.Error()
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return text
}

func (p *Provider) openTraces(ctx context.Context, want bool, res *resource.Resource) error {
	if !want {
		return nil
	}
	sampling, err := sampler(os.Getenv)
	if err != nil {
		return err
	}
	exporter, err := newSpanExporter(ctx, os.Getenv)
	if err != nil {
		return fmt.Errorf("OTEL_TRACES_EXPORTER: %w", err)
	}
	queue := sdktrace.NewBatchSpanProcessor(exporter)
	p.Tracers = &tracers{
		sampler: sampling, tail: newTailSampler(queue.OnEnd, maxTraces), resource: res, limits: limits{sdktrace.NewSpanLimits()},
	}
	p.ends = append(p.ends, queue.Shutdown)
	return nil
}

func (p *Provider) openMetrics(ctx context.Context, want, scrape bool, res *resource.Resource) error {
	options := []sdkmetric.Option{sdkmetric.WithResource(res)}
	if want {
		exportProcess()
		reader, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return fmt.Errorf("OTEL_METRICS_EXPORTER: %w", err)
		}
		options = append(options, sdkmetric.WithReader(reader))
	}
	if scrape {
		registry := prometheus.NewRegistry()
		reader, err := promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithoutScopeInfo())
		if err = errors.Join(err, registry.Register(processCollector())); err != nil {
			return fmt.Errorf("METRICS_PROMETHEUS: %w", err)
		}
		options = append(options, sdkmetric.WithReader(reader))
		p.Metrics = newScrapes(promhttp.HandlerFor(registry, promhttp.HandlerOpts{
			EnableOpenMetrics: true, // the one format that has exemplars
		}))
	}
	if len(options) == 1 {
		return nil
	}
	meters := sdkmetric.NewMeterProvider(options...)
	p.Meters, p.ends = meters, append(p.ends, meters.Shutdown)
	return runtime.Start(runtime.WithMeterProvider(meters))
}

func (p *Provider) openLogs(ctx context.Context, want bool, res *resource.Resource, lines slog.Handler) error {
	if !want {
		return nil
	}
	exporter, err := autoexport.NewLogExporter(ctx)
	if err != nil {
		return fmt.Errorf("OTEL_LOGS_EXPORTER: %w", err)
	}
	export, end := newExportHandler(sdklog.NewBatchProcessor(exporter), res)
	p.Logs, p.ends = teeHandler{lines, export}, append(p.ends, end)
	return nil
}

// Shutdown flushes and ends everything, until ctx is done. What could not be
// exported by then is lost, and the log says so. Then the log itself is written and
// ended: that takes at most a second, and at most 100 ms when ctx is done. Lines that
// come later are dropped.
func (p *Provider) Shutdown(ctx context.Context) {
	ended := make(chan error, len(p.ends))
	for _, end := range p.ends {
		go func() { ended <- end(ctx) }() // an exporter that ignores ctx is left to the end of the process
	}
	var errs []error
	for range p.ends {
		select {
		case err := <-ended:
			errs = append(errs, err)
		case <-ctx.Done():
			select {
			case err := <-ended: // both are: it has ended
				errs = append(errs, err)
			default:
				errs = append(errs, ctx.Err())
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		p.own.LogAttrs(ctx, slog.LevelWarn, "telemetry was lost at the end", slog.String("error", short(err)))
	}
	p.endLog(ctx)
}

// endLog writes what waits in the log. Nobody is left who could be told that it
// could not be written.
func (p *Provider) endLog(ctx context.Context) {
	waiting, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	if p.lines.Close(waiting) == nil {
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
	defer cancel()
	_ = p.lines.Close(last)
}
