package matrix

import (
	"errors"

	"parley/store"
)

// storeClasses are the failure classes of what a store says. The server's table has
// them all; a test holds these to it.
var storeClasses = []struct {
	err   error
	class string
}{
	{store.ErrUnreachable, "store_unreachable"},
	{store.ErrTimeout, "store_timeout"},
	{store.ErrPoolExhausted, "store_pool_exhausted"},
	{store.ErrAuth, "store_auth"},
	{store.ErrCredentials, "store_credentials"},
	{store.ErrMisconfigured, "store_misconfigured"},
	{store.ErrNotReady, "store_not_ready"},
	{store.ErrReadOnly, "store_readonly"},
	{store.ErrFull, "store_full"},
	{store.ErrProtocol, "store_protocol"},
	{store.ErrRejected, "store_rejected"},
	{store.ErrBusy, "turn_conflict"},
	{store.ErrNotFound, "not_found"},
}

// StoreClass is the failure class of an error of a store, for who tries a store
// without a server.
func StoreClass(err error) string {
	if err == nil {
		return ""
	}
	for _, c := range storeClasses {
		if errors.Is(err, c.err) {
			return c.class
		}
	}
	return "internal"
}
