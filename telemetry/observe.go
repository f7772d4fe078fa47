package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"parley/store"
)

// Pool is the state of the store's connection pool.
type Pool struct {
	Used, Idle, Pending int64
	Max, IdleMin        int64
	Timeouts            int64   // since the start: calls that got no connection in time
	Waits               int64   // since the start: calls that had to wait for one
	WaitSeconds         float64 // since the start: the sum of their waits
}

// ObservePool registers the metrics of the connection pool. It calls ask at each export.
func (t *Telemetry) ObservePool(ask func() Pool) error {
	var errs []error
	gauge := func(name, what string) metric.Int64ObservableUpDownCounter {
		g, err := t.meter.Int64ObservableUpDownCounter(name, metric.WithUnit("{connection}"), metric.WithDescription(what))
		errs = append(errs, err)
		return g
	}
	counter := func(name, unit, what string) metric.Int64ObservableCounter {
		c, err := t.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(what))
		errs = append(errs, err)
		return c
	}
	count := gauge(metricPoolCount, "Connections to the store, by state.")
	limit := gauge(metricPoolMax, "Connections to the store that may be open.")
	idleMin := gauge(metricPoolIdleMin, "Connections to the store that are kept although idle.")
	pending, err := t.meter.Int64ObservableUpDownCounter(metricPoolPending, metric.WithUnit("{request}"), metric.WithDescription("Calls that wait for a connection to the store."))
	errs = append(errs, err)
	timeouts := counter(metricPoolTimeouts, "{timeout}", "Calls that got no connection to the store in time.")
	waits := counter(metricPoolWaits, "{wait}", "Calls that had to wait for a connection to the store.")
	waited, err := t.meter.Float64ObservableCounter(metricPoolWaitTime, metric.WithUnit(unitSeconds), metric.WithDescription("Time spent waiting for connections to the store, of all calls together."))
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	name := metric.WithAttributes(keyPool.String(poolName))
	idle := metric.WithAttributes(keyPool.String(poolName), keyPoolState.String(stateIdle))
	used := metric.WithAttributes(keyPool.String(poolName), keyPoolState.String(stateUsed))
	_, err = t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		p := ask()
		o.ObserveInt64(count, p.Idle, idle)
		o.ObserveInt64(count, p.Used, used)
		o.ObserveInt64(limit, p.Max, name)
		o.ObserveInt64(idleMin, p.IdleMin, name)
		o.ObserveInt64(pending, p.Pending, name)
		o.ObserveInt64(timeouts, p.Timeouts, name)
		o.ObserveInt64(waits, p.Waits, name)
		o.ObserveFloat64(waited, p.WaitSeconds, name)
		return nil
	}, count, limit, idleMin, pending, timeouts, waits, waited)
	return err
}

// ObserveStore registers the metric that says whether the store answers. It calls
// up at each export.
func (t *Telemetry) ObserveStore(up func() bool) error {
	_, err := t.meter.Int64ObservableGauge(metricStoreUp, metric.WithDescription("1 while the store answers the health probe, else 0."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(oneIf(up()))
			return nil
		}))
	return err
}

// ObserveBreakers registers the metric that says which of the store's circuit
// breakers are open, one for each shard. It calls open at each export.
func (t *Telemetry) ObserveBreakers(open func() []bool) error {
	var known sets[int]
	_, err := t.meter.Int64ObservableGauge(metricBreakerOpen, metric.WithDescription("1 while the circuit breaker of a shard is open, else 0."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for shard, now := range open() {
				o.Observe(oneIf(now), known.of(shard, shardAttributes).observe...)
			}
			return nil
		}))
	return err
}

func shardAttributes(shard int) []attribute.KeyValue {
	return []attribute.KeyValue{keyStoreShard.Int(shard)}
}

// ObserveShards registers the metrics of the shards of the store, as the health probe
// found them last. It calls ask at each export.
func (t *Telemetry) ObserveShards(ask func() store.Shards) error {
	var errs []error
	gauge := func(name, unit, what string) metric.Int64ObservableGauge {
		g, err := t.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(what))
		errs = append(errs, err)
		return g
	}
	shards := gauge(metricShards, "{shard}", "Shards of the store: the primaries of a cluster, or the one Redis.")
	up := gauge(metricShardsUp, "{shard}", "Shards of the store that serve.")
	slots := gauge(metricSlots, "{slot}", "Slots of the cluster; 0 for a single Redis.")
	served := gauge(metricSlotsServed, "{slot}", "Slots of the cluster that a shard serves.")
	if err := errors.Join(errs...); err != nil {
		return err
	}
	_, err := t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := ask()
		o.ObserveInt64(shards, int64(s.Total))
		o.ObserveInt64(up, int64(s.Up))
		o.ObserveInt64(slots, int64(s.SlotsTotal))
		o.ObserveInt64(served, int64(s.SlotsServed))
		return nil
	}, shards, up, slots, served)
	return err
}

// ObserveBuild registers the metric that says what the process was built from.
func (t *Telemetry) ObserveBuild(version, commit string) error {
	set := metric.WithAttributes(keyVersion.String(version), keyCommit.String(commit))
	_, err := t.meter.Int64ObservableGauge(metricBuild, metric.WithDescription("1; the labels say what this process was built from."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(1, set)
			return nil
		}))
	return err
}

// ObserveCommits registers the metric of finished turns that wait to be stored. It
// calls pending at each export.
func (t *Telemetry) ObserveCommits(pending func() int) error {
	_, err := t.meter.Int64ObservableUpDownCounter(metricCommits, metric.WithUnit("{turn}"), metric.WithDescription("Turns whose answer waits to be stored."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(pending()))
			return nil
		}))
	return err
}

// ObserveLogs registers the metric that counts the lines of the log that were
// dropped because standard error did not take them. It calls dropped at each export.
func (t *Telemetry) ObserveLogs(dropped func() int64) error {
	_, err := t.meter.Int64ObservableCounter(metricLogsDropped, metric.WithUnit("{line}"),
		metric.WithDescription("Lines of the log that were dropped because standard error did not take them."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(dropped())
			return nil
		}))
	return err
}

// ObserveConnections registers the metrics of clients' connections: how many are
// open, and how many were refused since the start. It calls ask at each export.
func (t *Telemetry) ObserveConnections(ask func() (open, refused int64)) error {
	open, err := t.meter.Int64ObservableUpDownCounter(metricConnections, metric.WithUnit("{connection}"), metric.WithDescription("Connections of clients that are open."))
	refused, err2 := t.meter.Int64ObservableCounter(metricRefused, metric.WithUnit("{connection}"), metric.WithDescription("Connections of clients that were closed at once, because as many were open as may."))
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	_, err = t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now, before := ask()
		o.ObserveInt64(open, now)
		o.ObserveInt64(refused, before)
		return nil
	}, open, refused)
	return err
}

// ObserveSigningKeys registers the metric of the age of the signing keys. It calls age
// at each export; without keys there is no measurement.
func (t *Telemetry) ObserveSigningKeys(age func() (_ time.Duration, known bool)) error {
	_, err := t.meter.Float64ObservableGauge(metricKeysAge, metric.WithUnit(unitSeconds),
		metric.WithDescription("Time since the signing keys of the issuer of callers' tokens were fetched."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			if d, known := age(); known {
				o.Observe(d.Seconds())
			}
			return nil
		}))
	return err
}

func oneIf(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
