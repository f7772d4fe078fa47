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
	Peer    string // address of the node that answered or failed, host:port; "" if unknown
	Took    time.Duration
	Err     error // as the store would return it; nil if the server answered as asked
}

// StoreRoundTrip is called by the store's client for every round trip, with the
// context of the call. A round trip that succeeded only adds the node's address to
// the span of the call. One that failed gets a span of its own: a second attempt
// may succeed, and then the span of the call shows no error.
func (t *Telemetry) StoreRoundTrip(ctx context.Context, r RoundTrip) {
	call, ok := ctx.Value(attemptCounterKey{}).(*attemptCounter)
	if !ok {
		return
	}
	n := call.n.Add(1)
	lent := t.lists.lend()
	call.span.SetAttributes(peer(lent[:0], r.Peer)...)
	t.lists.takeBack(lent)
	if r.Err == nil {
		return
	}
	name := r.Command
	if r.Script != "" {
		name += " " + r.Script
	}
	now := time.Now()
	list := append(call.method.attrs, keyOperation.String(r.Command), keyStoreAttempt.Int64(n))
	list = peer(text(list, keyProcedure, r.Script), r.Peer)
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(now.Add(-r.Took)), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(list...))
	call.method.failed(t, span, r.Err)
	span.End(trace.WithTimestamp(now))
}

// StoreDialed is called after an attempt to open a connection to the store's
// server. It makes no span: the client dials in the background, so the span would
// belong to no request.
func (t *Telemetry) StoreDialed(ctx context.Context, took time.Duration, err error) {
	errorType, _ := t.callResult(t.class(err)) // a caller that no longer waits is no failure
	t.dials.Record(ctx, took.Seconds(), t.dialSets.of(errorType, dialAttributes).record...)
}

func dialAttributes(class string) []attribute.KeyValue {
	return text([]attribute.KeyValue{keyPool.String(poolName)}, keyErrorType, class)
}

// poolName is the same in every process. With an address in it, every node that
// ever existed would be a series.
const poolName = "store"

// peer appends the address of a node, if it is known.
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

// clientKind is a variable so that no call has to allocate it.
var clientKind = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}
