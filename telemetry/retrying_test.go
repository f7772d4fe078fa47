package telemetry_test

import (
	"context"
	"time"

	"parley/store"
	"parley/telemetry"
)

var (
	owner = store.Owner{Tenant: "t", User: "u"}
	page  = store.Page{}
)

// retrying is a store whose first round trip fails and whose second succeeds.
type retrying struct {
	store.Store
	l *lab
}

func (r retrying) List(ctx context.Context, _ store.Owner, _ store.Page) (store.Listing, error) {
	down := &store.Error{Op: "List", Kind: store.ErrUnreachable}
	r.l.StoreRoundTrip(ctx, telemetry.RoundTrip{Command: "PIPELINE", Peer: "10.0.0.1:6380", Took: time.Millisecond, Err: down})
	r.l.StoreRoundTrip(ctx, telemetry.RoundTrip{Command: "PIPELINE", Peer: "10.0.0.2:6380", Took: time.Millisecond})
	return store.Listing{}, nil
}
