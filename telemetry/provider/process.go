package provider

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	prombridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// processCollector tells what the operating system knows of this process: processor
// time, memory, open files, start time. It has the names that Prometheus' own client
// gives them (process_cpu_seconds_total, …), which ready-made dashboards ask for.
func processCollector() prometheus.Collector {
	return collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})
}

// exportProcess has every exporter of metrics export what processCollector tells, under
// the same names, unless OTEL_METRICS_PRODUCERS says otherwise. The only way to tell
// autoexport is one for the whole process.
var exportProcess = sync.OnceFunc(func() {
	autoexport.WithFallbackMetricProducer(func(context.Context) (sdkmetric.Producer, error) {
		registry := prometheus.NewRegistry()
		if err := registry.Register(processCollector()); err != nil {
			return nil, err
		}
		return prombridge.NewMetricProducer(prombridge.WithGatherer(registry)), nil
	})
})
