package telemetry

import (
	"context"
	"net"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// RoundTrip is one exchange with the store's server.
type RoundTrip struct {
	Command string // "EVALSHA"
	Script  string // name of the script, "" for plain commands
	Peer    string // address of the node that was asked, host:port; "" if unknown
	Took    time.Duration
	Err     error // as the store would return it; nil if the server answered as asked
}

// StoreRoundTrip is called by the store's client for every round trip, with the
// context of the call. One that succeeded only says where it went: the span of
// the call is enough. One that failed is a span of its own, because another try
// may have saved the call, whose own span is then not red.
func (t *Telemetry) StoreRoundTrip(ctx context.Context, r RoundTrip) {
	call, ok := ctx.Value(tripsKey{}).(*trips)
	if !ok {
		return
	}
	n := call.n.Add(1)
	call.span.SetAttributes(peer(nil, r.Peer)...)
	if r.Err == nil {
		return
	}
	name := r.Command
	if r.Script != "" {
		name += " " + r.Script
	}
	now := time.Now()
	list := []attribute.KeyValue{keySystem.String(call.system), keyOperation.String(r.Command), keyStoreAttempt.Int64(n)}
	list = peer(text(list, keyProcedure, r.Script), r.Peer)
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(now.Add(-r.Took)), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(list...))
	t.mark(span, t.errorType(r.Err))
	span.End(trace.WithTimestamp(now))
}

// StoreDialed is called when a connection to the store's server was opened, or
// could not be. It has no span: the client dials in the background, so a span
// would be a trace of nothing.
func (t *Telemetry) StoreDialed(ctx context.Context, took time.Duration, err error) {
	t.dials.Record(ctx, took.Seconds(), t.dialSets.of(t.errorType(err), dialAttributes).record...)
}

func dialAttributes(class string) []attribute.KeyValue {
	return text([]attribute.KeyValue{keyPool.String(poolName)}, keyErrorType, class)
}

// poolName is the same in every process: an address would make a series of each
// node that ever was.
const poolName = "store"

// peer says which node was reached.
func peer(list []attribute.KeyValue, address string) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return list
	}
	list = append(list, keyPeerAddress.String(host))
	if n, err := strconv.Atoi(port); err == nil {
		list = append(list, keyPeerPort.Int(n))
	}
	return list
}

// Options of spans, as slices that a call would otherwise allocate.
var (
	clientKind = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}
	serverKind = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	internal   = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindInternal)}
)
