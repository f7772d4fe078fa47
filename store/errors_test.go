package store_test

import (
	"errors"
	"testing"

	"parley/store"
)

// What may pass is told from a refusal for good, and an error that nobody
// foresaw is one.
func TestTransient(t *testing.T) {
	for _, c := range []struct {
		kind error
		code string
		want bool
	}{
		{store.ErrUnreachable, "", true},
		{store.ErrUnreachable, "ERR", true}, // too many clients
		{store.ErrTimeout, "", true},
		{store.ErrPoolExhausted, "", true},
		{store.ErrNotReady, "LOADING", true},
		{store.ErrReadOnly, "READONLY", true},
		{store.ErrFull, "OOM", true},
		{store.ErrAuth, "WRONGPASS", true},
		{store.ErrAuth, "NOAUTH", true},
		{store.ErrAuth, "NOPERM", false},
		{store.ErrCredentials, "", true},
		{store.ErrMisconfigured, "MOVED", false},
		{store.ErrMisconfigured, "", false},
		{store.ErrProtocol, "", false},
		{store.ErrRejected, "ERR", false},
		{store.ErrRejected, "", false},
		{store.ErrCorrupt, "WRONGTYPE", false},
		{errors.New("foreign"), "", false},
		{nil, "", false},
	} {
		if got := (&store.Error{Kind: c.kind, Code: c.code}).Transient(); got != c.want {
			t.Errorf("%v %s: %v, want %v", c.kind, c.code, got, c.want)
		}
	}
}
