package telemetry

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"parley/store"
)

// StoreOptions describe the store that is observed.
type StoreOptions struct {
	System string // "redis" or "memory"
	// Operation returns the command that a method of the store sends and, if that
	// runs a script, the script's name. Nil when nothing leaves the process.
	Operation func(method string) (command, script string)
	Address   string // host of the server, "" for none or many
	Port      int    // its port, 0 if unknown
	Namespace string // index of the database, "" if unknown
}

// Store decorates a store: one span and one measurement for each call. It names
// every method and embeds nothing, so a new method breaks the build instead
// of going unobserved.
func (t *Telemetry) Store(s store.Store, o StoreOptions) store.Store {
	if t.off {
		return s
	}
	d := &observedStore{t: t, next: s, counts: o.Operation != nil}
	for i, m := range storeMethods {
		d.calls[i] = t.storeMethod(m, o)
	}
	if sharded, ok := s.(store.Sharded); ok {
		return &observedShards{d, sharded}
	}
	return d
}

// The methods of a store that are observed, as indexes of observedStore.calls.
const (
	callBegin = iota
	callComplete
	callFail
	callRenew
	callConversation
	callList
	callSetStatus
	callDelete
	callPing
	callPublish
	callFollow
	callStop
	callShards
)

var storeMethods = [...]string{
	callBegin: "BeginTurn", callComplete: "CompleteTurn", callFail: "FailTurn", callRenew: "RenewLease",
	callConversation: "Conversation", callList: "List", callSetStatus: "SetStatus", callDelete: "Delete", callPing: "Ping",
	callPublish: "Publish", callFollow: "Follow", callStop: "Stop",
	callShards: "Shards",
}

// storeMethod is what is known about a call before it is made.
type storeMethod struct {
	start *spanStart // with all attributes, because samplers see no later ones
	key   storeSet
	done  set                  // of a call without an error
	attrs []attribute.KeyValue // of the spans of its attempts
}

func (t *Telemetry) storeMethod(method string, o StoreOptions) storeMethod {
	name := method
	m := storeMethod{key: storeSet{system: o.System, operation: method, method: method, address: o.Address, port: o.Port}}
	kind := trace.SpanKindInternal
	if o.Operation != nil {
		kind = trace.SpanKindClient
		m.key.operation, m.key.script = o.Operation(method)
		name = m.key.operation
		if m.key.script != "" {
			name += " " + m.key.script
		}
	}
	attrs := text(m.key.attributes(), keyNamespace, o.Namespace)
	m.start = newSpanStart(name, kind, attrs)
	for _, a := range attrs {
		if a.Key != keyOperation && a.Key != keyProcedure { // an attempt may be of another command
			m.attrs = append(m.attrs, a)
		}
	}
	m.attrs = slices.Clip(m.attrs)
	m.done = t.storeSets.of(m.key, storeSet.attributes)
	return m
}

// storeSet are the attributes of a call's duration.
type storeSet struct {
	system, operation, script, method string
	address                           string
	port                              int
	errorType, outcome, code          string
}

func (s storeSet) attributes() []attribute.KeyValue {
	list := []attribute.KeyValue{keySystem.String(s.system), keyOperation.String(s.operation), keyStoreOperation.String(s.method)}
	list = text(text(list, keyProcedure, s.script), keyServerAddress, s.address)
	if s.address != "" && s.port != 0 {
		list = append(list, keyServerPort.Int(s.port))
	}
	return text(text(text(list, keyErrorType, s.errorType), keyOutcome, s.outcome), keyDBStatus, s.code)
}

type observedStore struct {
	t     *Telemetry
	next  store.Store
	calls [len(storeMethods)]storeMethod
	// counts is true when the store's client reports round trips.
	counts bool
}

var _ store.Store = (*observedStore)(nil)

// storeCall is a call in progress.
type storeCall struct {
	t      *Telemetry
	method *storeMethod
	began  time.Time
	span   trace.Span
	also   trace.Span // in the trace of another request that waits for the call; or nil
}

// attemptCounter is the context of a call, and numbers its round trips.
type attemptCounter struct {
	context.Context
	span   trace.Span
	method *storeMethod
	n      atomic.Int64
}

type attemptCounterKey struct{}

// Value implements context.Context.
func (a *attemptCounter) Value(key any) any {
	if key == (attemptCounterKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// observedShards observes a store.Sharded, and is one. A store that is none must not
// become one by being observed.
type observedShards struct {
	*observedStore
	sharded store.Sharded
}

var _ store.Sharded = (*observedShards)(nil)

// begin starts the span of a call. A probe outside of a request has no span, because
// each would be a trace of its own; nor has what is relayed, many times a second.
func (d *observedStore) begin(ctx context.Context, method int) (context.Context, storeCall) {
	c := storeCall{t: d.t, method: &d.calls[method], began: time.Now(), span: noop.Span{}}
	unasked := method == callPing || method == callShards || method == callPublish || method == callFollow
	if !unasked || trace.SpanContextFromContext(ctx).IsValid() {
		var span trace.Span
		ctx, span = d.t.start(ctx, c.method.start)
		c.span = span
	}
	if method == callComplete || method == callFail { // only these are ever made late
		if by := store.AwaitedBy(ctx); by != nil {
			link := trace.WithLinks(trace.Link{SpanContext: c.span.SpanContext()})
			_, span := d.t.start(by, c.method.start, link)
			c.also = span
		}
	}
	if d.counts && c.span.IsRecording() {
		ctx = &attemptCounter{Context: ctx, span: c.span, method: c.method}
	}
	return ctx, c
}

// end ends the span and records the measurement.
func (c storeCall) end(ctx context.Context, err error) {
	set := c.method.done
	if err != nil {
		key := c.method.key
		key.errorType, key.outcome, key.code = c.method.failed(c.t, c.span, err)
		if c.also != nil {
			c.method.failed(c.t, c.also, err)
		}
		set = c.t.storeSets.of(key, storeSet.attributes)
	}
	c.t.store.Record(ctx, time.Since(c.began).Seconds(), set.record...)
	c.span.End()
	if c.also != nil {
		c.also.End()
	}
}

// failed sets the result of the span of a call, or of one of its attempts, and returns
// it; code is the prefix of the server's reply, "" if there was none.
func (m *storeMethod) failed(t *Telemetry, span trace.Span, err error) (errorType, outcome, code string) {
	err = store.AsTimeout(m.key.method, err) // as the caller says of it
	class := t.class(err)
	t.markCall(span, class)
	if e, ok := errors.AsType[*store.Error](err); ok {
		if code = e.Code; code != "" {
			span.SetAttributes(keyDBStatus.String(code))
		}
		list := make([]attribute.KeyValue, 0, 3)
		if e.BreakerOpen {
			list = append(list, keyStoreBreaker.String(breakerOpen), keyBreakerOpened.String(e.OpenedAt.UTC().Format(time.RFC3339Nano)))
			list = text(list, keyReason, e.OpenedBy)
		} else {
			list = text(list, keyReason, e.Reason)
		}
		span.SetAttributes(list...)
	}
	errorType, outcome = t.callResult(class)
	return errorType, outcome, code
}

// BeginTurn implements store.Store.
func (d *observedStore) BeginTurn(ctx context.Context, b store.Begin) (held store.Turn, err error) {
	ctx, c := d.begin(ctx, callBegin)
	defer func() { c.end(ctx, err) }()
	return d.next.BeginTurn(ctx, b)
}

// CompleteTurn implements store.Store.
func (d *observedStore) CompleteTurn(ctx context.Context, t store.Turn, done store.Completion) (err error) {
	ctx, c := d.begin(ctx, callComplete)
	defer func() { c.end(ctx, err) }()
	return d.next.CompleteTurn(ctx, t, done)
}

// FailTurn implements store.Store.
func (d *observedStore) FailTurn(ctx context.Context, t store.Turn, class string) (err error) {
	ctx, c := d.begin(ctx, callFail)
	defer func() { c.end(ctx, err) }()
	return d.next.FailTurn(ctx, t, class)
}

// RenewLease implements store.Store.
func (d *observedStore) RenewLease(ctx context.Context, t store.Turn) (s store.Signals, err error) {
	ctx, c := d.begin(ctx, callRenew)
	defer func() { c.end(ctx, err) }()
	return d.next.RenewLease(ctx, t)
}

// Conversation implements store.Store.
func (d *observedStore) Conversation(ctx context.Context, o store.Owner, id string, r store.Range) (conv store.Conversation, err error) {
	ctx, c := d.begin(ctx, callConversation)
	defer func() { c.end(ctx, err) }()
	return d.next.Conversation(ctx, o, id, r)
}

// List implements store.Store.
func (d *observedStore) List(ctx context.Context, o store.Owner, p store.Page) (listing store.Listing, err error) {
	ctx, c := d.begin(ctx, callList)
	defer func() {
		if listing.Corrupt > 0 {
			c.span.SetAttributes(keyStoreCorrupt.Int(listing.Corrupt))
		}
		c.end(ctx, err)
	}()
	return d.next.List(ctx, o, p)
}

// SetStatus implements store.Store.
func (d *observedStore) SetStatus(ctx context.Context, o store.Owner, id string, s store.Status) (conv store.Conversation, err error) {
	ctx, c := d.begin(ctx, callSetStatus)
	defer func() { c.end(ctx, err) }()
	return d.next.SetStatus(ctx, o, id, s)
}

// Delete implements store.Store.
func (d *observedStore) Delete(ctx context.Context, o store.Owner, id string) (err error) {
	ctx, c := d.begin(ctx, callDelete)
	defer func() { c.end(ctx, err) }()
	return d.next.Delete(ctx, o, id)
}

// Ping implements store.Store.
func (d *observedStore) Ping(ctx context.Context) (err error) {
	ctx, c := d.begin(ctx, callPing)
	defer func() { c.end(ctx, err) }()
	return d.next.Ping(ctx)
}

// Shards implements store.Sharded. A shard that does not serve is a failure of the
// call.
func (d *observedShards) Shards(ctx context.Context) (s store.Shards) {
	ctx, c := d.begin(ctx, callShards)
	defer func() { c.end(ctx, s.Worst) }()
	return d.sharded.Shards(ctx)
}

// Publish implements store.Store.
func (d *observedStore) Publish(ctx context.Context, t store.Turn, e store.Entry) (kept bool, s store.Signals, err error) {
	ctx, c := d.begin(ctx, callPublish)
	defer func() { c.end(ctx, err) }()
	return d.next.Publish(ctx, t, e)
}

// Follow implements store.Store.
func (d *observedStore) Follow(ctx context.Context, f store.Follow) (r store.Relayed, err error) {
	ctx, c := d.begin(ctx, callFollow)
	defer func() { c.end(ctx, err) }()
	return d.next.Follow(ctx, f)
}

// Stop implements store.Store.
func (d *observedStore) Stop(ctx context.Context, o store.Owner, id string) (turn int, running bool, err error) {
	ctx, c := d.begin(ctx, callStop)
	defer func() { c.end(ctx, err) }()
	return d.next.Stop(ctx, o, id)
}

// Close implements store.Store.
func (d *observedStore) Close() error { return d.next.Close() }
