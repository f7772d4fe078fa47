package main

import (
	"sync"
	"testing"
	"time"

	"parley/contracttest/matrix"
	"parley/server"
	"parley/store"
)

// One shard that is unwell is not the others' trouble, and whoever takes over has
// what was acknowledged: every fault of a Redis of several nodes, under load.
// Without -matrix.all it is a healthy cluster and one fault.
func TestMatrixShards(t *testing.T) {
	report := &matrix.ShardsReport{Made: time.Now().UTC().Truncate(time.Second)}
	var mu sync.Mutex
	t.Run("on", func(t *testing.T) {
		for _, kind := range matrix.Deployments() {
			rows := matrix.ShardRowsOn(kind, *allRows)
			if len(rows) == 0 {
				continue
			}
			t.Run(string(kind), func(t *testing.T) {
				t.Parallel()
				d := matrix.Deploy(t, kind)
				for _, r := range rows {
					t.Run(r.ID, func(t *testing.T) {
						e := matrix.RunShards(t, target(), d, r)
						mu.Lock()
						defer mu.Unlock()
						report.Rows = append(report.Rows, e)
						for _, b := range e.Broken {
							t.Error(b)
						}
					})
				}
			})
		}
	})
	if *reportDir == "" {
		return
	}
	if err := report.WriteFiles(*reportDir); err != nil {
		t.Error(err)
	}
}

// Who tries a store without the server classes its errors as the server does.
func TestStoreClass(t *testing.T) {
	for _, kind := range []error{
		nil, store.ErrNotFound, store.ErrBusy, store.ErrUnreachable, store.ErrTimeout, store.ErrPoolExhausted, store.ErrAuth, store.ErrCredentials,
		store.ErrMisconfigured, store.ErrNotReady, store.ErrReadOnly, store.ErrFull, store.ErrProtocol, store.ErrRejected,
	} {
		if got, want := matrix.StoreClass(kind), server.Class(kind); got != want {
			t.Errorf("%v: %q, the server's is %q", kind, got, want)
		}
	}
}
