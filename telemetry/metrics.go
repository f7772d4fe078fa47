package telemetry

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// instruments are recorded as things happen. The instruments that are read at each
// export are in observe.go.
type instruments struct {
	requests   metric.Float64Histogram
	outcomes   metric.Int64Counter
	turns      metric.Int64Counter
	dropped    metric.Int64Counter
	store      metric.Float64Histogram
	dials      metric.Float64Histogram
	agent      metric.Float64Histogram
	firstEvent metric.Float64Histogram
	headers    metric.Float64Histogram
	attempts   metric.Float64Histogram
	tokens     metric.Float64Histogram
	keys       metric.Float64Histogram

	active upDownCounter[activeSet]
	asking upDownCounter[struct{}]

	requestSets sets[requestSet]
	outcomeSets sets[outcomeSet]
	storeSets   sets[storeSet]
	agentSets   sets[agentSet]
	attemptSets sets[attemptSet]
	turnSets    sets[string]
	droppedSets sets[string]
	dialSets    sets[string]
}

// Bucket bounds in seconds. Those of HTTP and databases are the ones that the
// semantic conventions advise. An agent takes longer, and so does a request that asks
// it: without the bounds above 10 all slow turns would be in one bucket.
var (
	httpBuckets  = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 30, 60, 120}
	storeBuckets = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10}
	agentBuckets = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60, 120}
)

func (i *instruments) open(m metric.Meter) error {
	var errs []error
	histogram := func(name, what string, bounds []float64) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit(unitSeconds), metric.WithDescription(what), metric.WithExplicitBucketBoundaries(bounds...))
		errs = append(errs, err)
		return h
	}
	i.requests = histogram(metricRequests, "Time from a request to the end of its answer.", httpBuckets)
	i.store = histogram(metricStore, "Time of a call of the store, including retries and waits.", storeBuckets)
	i.dials = histogram(metricPoolCreateTime, "Time to open a connection to the store.", storeBuckets)
	i.agent = histogram(metricAgent, "Time of a call of the agent, to the end of its stream.", agentBuckets)
	i.firstEvent = histogram(metricFirstEvent, "Time from a call of the agent to the first piece of text, message or end of conversation in its answer.", agentBuckets)
	i.headers = histogram(metricHeaders, "Time from a call of the agent to the headers of its answer.", agentBuckets)
	i.attempts = histogram(metricAttempts, "Time of one HTTP request to the agent, to the end of its body.", agentBuckets)
	i.tokens = histogram(metricToken, "Time to fetch a token of this service's own from its issuer.", agentBuckets)
	i.keys = histogram(metricKeys, "Time to fetch the signing keys of the issuer of callers' tokens.", agentBuckets)
	var err error
	i.outcomes, err = m.Int64Counter(metricOutcomes, metric.WithUnit("{request}"), metric.WithDescription("Requests to the API, by route and outcome."))
	errs = append(errs, err)
	i.turns, err = m.Int64Counter(metricTurns, metric.WithUnit("{turn}"), metric.WithDescription("Requests for a turn, by outcome."))
	errs = append(errs, err)
	i.dropped, err = m.Int64Counter(metricDropped, metric.WithUnit("{turn}"), metric.WithDescription("Turns whose end was dropped without being stored, by the cause."))
	errs = append(errs, err)
	errs = append(errs,
		i.active.open(m, metricActive, "{request}", "Requests in progress.", activeSet.attributes),
		i.asking.open(m, metricAgentActive, "{call}", "Calls of the agent in progress.", func(struct{}) []attribute.KeyValue { return nil }))
	return errors.Join(errs...)
}

// countFromZero exports every series of the counters by outcome from the start, at
// zero. A rate over a series that appears with its first failure would miss it.
func (i *instruments) countFromZero(classes []Class, routes []Route) {
	for _, r := range routes {
		i.outcomes.Add(context.Background(), 0, i.outcomeSets.of(outcomeSet{r.Method, r.Pattern, outcomeOK}, outcomeSet.attributes).add...)
		for _, c := range classes {
			i.outcomes.Add(context.Background(), 0, i.outcomeSets.of(outcomeSet{r.Method, r.Pattern, c.Name}, outcomeSet.attributes).add...)
		}
	}
	i.turns.Add(context.Background(), 0, i.turnSets.of(outcomeOK, turnAttributes).add...)
	for _, c := range classes {
		i.turns.Add(context.Background(), 0, i.turnSets.of(c.Name, turnAttributes).add...)
		if c.Name != classCanceled {
			i.dropped.Add(context.Background(), 0, i.droppedSets.of(c.Name, droppedAttributes).add...)
		}
	}
}

func turnAttributes(outcome string) []attribute.KeyValue {
	return []attribute.KeyValue{keyOutcome.String(outcome)}
}

func droppedAttributes(class string) []attribute.KeyValue {
	return []attribute.KeyValue{keyErrorType.String(class)}
}

// CommitDropped counts the end of a turn that was given up without being stored.
// Class is the failure class of what kept it from being stored.
func (t *Telemetry) CommitDropped(class string) {
	t.dropped.Add(context.Background(), 1, t.droppedSets.of(class, droppedAttributes).add...)
}

// measured is the context for what is measured of a span, so that exemplars lead to it.
// Exemplars are of sampled traces only. One that is recorded without being sampled is
// exported all the same if it has a failure, which is when somebody wants to see it.
func measured(ctx context.Context, span trace.Span, errorType string) context.Context {
	sc := span.SpanContext()
	if errorType == "" || sc.IsSampled() || !span.IsRecording() {
		return ctx
	}
	return trace.ContextWithSpanContext(ctx, sc.WithTraceFlags(sc.TraceFlags().WithSampled(true)))
}

// sets caches the attribute sets of an instrument, because making one costs more
// than recording with it. K takes only values from closed lists (routes, methods,
// classes), so the cache is bounded.
type sets[K comparable] struct {
	mu    sync.RWMutex
	known map[K]set
}

// set is one attribute set in the form that instruments take. The slices are kept
// so that no call has to allocate them.
type set struct {
	record  []metric.RecordOption
	add     []metric.AddOption
	observe []metric.ObserveOption
}

// of returns the set of a key. It calls attributes for a key that is new.
func (s *sets[K]) of(key K, attributes func(K) []attribute.KeyValue) set {
	s.mu.RLock()
	known, ok := s.known[key]
	s.mu.RUnlock()
	if ok {
		return known
	}
	option := metric.WithAttributeSet(attribute.NewSet(attributes(key)...))
	known = set{[]metric.RecordOption{option}, []metric.AddOption{option}, []metric.ObserveOption{option}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[K]set{}
	}
	s.known[key] = known
	return known
}

// upDownCounter counts what is in progress, by attributes. It is read at each
// export, which is cheaper than recording each change.
type upDownCounter[K comparable] struct {
	mu    sync.RWMutex
	known map[K]*count

	attributes func(K) []attribute.KeyValue
}

type count struct {
	now atomic.Int64
	set metric.MeasurementOption
}

func (l *upDownCounter[K]) open(m metric.Meter, name, unit, what string, attributes func(K) []attribute.KeyValue) error {
	l.attributes = attributes
	_, err := m.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(what),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			l.mu.RLock()
			defer l.mu.RUnlock()
			for _, v := range l.known {
				o.Observe(v.now.Load(), v.set)
			}
			return nil
		}))
	return err
}

// of returns the value for a key.
func (l *upDownCounter[K]) of(key K) *atomic.Int64 {
	l.mu.RLock()
	v := l.known[key]
	l.mu.RUnlock()
	if v != nil {
		return &v.now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if v = l.known[key]; v == nil {
		v = &count{set: metric.WithAttributes(l.attributes(key)...)}
		if l.known == nil {
			l.known = map[K]*count{}
		}
		l.known[key] = v
	}
	return &v.now
}

// lists lends room to put attributes together in, before a span takes a copy of them.
type lists struct{ pool sync.Pool }

// attributesRoom is more attributes than any span gets at a time.
const attributesRoom = 16

// lend returns a list that takeBack must get. What does not fit is allocated.
func (l *lists) lend() *[attributesRoom]attribute.KeyValue {
	if room, ok := l.pool.Get().(*[attributesRoom]attribute.KeyValue); ok {
		return room
	}
	return new([attributesRoom]attribute.KeyValue)
}

func (l *lists) takeBack(room *[attributesRoom]attribute.KeyValue) {
	clear(room[:]) // it must not hold on to texts of this request
	l.pool.Put(room)
}

// text appends an attribute unless its value is empty: an empty route or class
// would be a series of its own.
func text(list []attribute.KeyValue, key attribute.Key, value string) []attribute.KeyValue {
	if value == "" {
		return list
	}
	return append(list, key.String(value))
}
