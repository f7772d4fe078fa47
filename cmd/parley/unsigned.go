package main

import (
	"errors"
	"strings"

	"parley/store"
)

// devOrigin is where the front end is while it is developed (Vite's default). The
// legacy service let its pages in unless told otherwise.
const devOrigin = "http://localhost:5173"

// devOwner takes what a token could name as tenant and user, so that it may be anybody
// whose conversations are stored.
func devOwner(c *config, v string) error {
	tenant, user, ok := strings.Cut(v, "/")
	if !ok {
		return errors.New("has no slash between tenant and user")
	}
	for _, part := range []string{tenant, user} {
		if part == "" || len(part) > 128 || strings.ContainsFunc(part, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
			return errors.New("does not name a tenant and a user")
		}
	}
	c.devOwner = store.Owner{Tenant: tenant, User: user}
	return nil
}
