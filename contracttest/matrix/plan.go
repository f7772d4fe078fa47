package matrix

import (
	"maps"
	"slices"

	"parley/contracttest/claims"
)

// rowClaims are what a row needs by the way in which it is brought about.
func (r Row) rowClaims(secure bool) []claims.Claim {
	needs := slices.Clone(r.Needs)
	if secure {
		needs = append(needs, claims.RedisTLS)
	}
	if r.Cold {
		needs = append(needs, claims.ColdStart)
	}
	return needs
}

// Unclaimed gives the claims that a target lacks and the row needs.
func (r Row) Unclaimed(t Target, secure bool) []claims.Claim {
	return t.Lacks.Missing(r.rowClaims(secure)...)
}

// OwnRedis reports whether the row needs a Redis that may be stopped, filled or
// killed.
func (r Row) OwnRedis() bool { return r.own }

// Plan are the cells that a target is tried with in this row, with what is expected
// and nothing that came.
func (r Row) Plan(t Target, secure bool) []Cell {
	var cells []Cell
	add := func(column, sends string, e Expect) {
		cells = append(cells, Cell{Row: r.ID, Fault: r.Fault, Column: column, Secure: secure, Expected: t.seen(e), Sent: sends})
	}
	if r.try != nil {
		if t.tries(r.tries) {
			add(r.tries, r.tries, r.Reads)
		}
		return cells
	}
	for _, route := range routes() {
		if c := (&routeColumn{route: route}); t.asks(route) {
			add(c.name(), c.sends(), c.expect(r))
		}
	}
	if c := (&healthColumn{}); t.asksHealth() {
		add(c.name(), c.sends(), c.expect(r))
	}
	for _, method := range slices.Sorted(maps.Keys(storeMethods())) {
		if c := (&storeColumn{method: method}); t.Store != nil && t.tries(c.name()) {
			add(c.name(), c.sends(), c.expect(r))
		}
	}
	return cells
}

// Plan are the cells that a target is tried with in this row, likewise.
func (r UpstreamRow) Plan(t Target) []Cell {
	var cells []Cell
	for _, p := range posts() {
		if c := (&routeColumn{route: p}); t.asks(p) && (!r.secure || p.opens) {
			cells = append(cells, Cell{Row: r.ID, Fault: r.Fault, Column: c.name(), Expected: t.seen(Expect{r.Class}), Sent: c.sends()})
		}
	}
	return cells
}

// Needs are the claims without which the row means nothing.
func (r UpstreamRow) Needs() []claims.Claim {
	switch {
	case r.AgentError != "":
		return of(claims.AgentErrors)
	case r.Class == "upstream_timeout":
		return of(claims.BoundedAgent)
	}
	return nil
}

// Name is the row's id, with the way in which Redis is reached.
func (r Row) Name(secure bool) string {
	if secure {
		return r.ID + "-tls"
	}
	return r.ID
}

// Tested are the claims that a row finds to be broken, in a server that has them.
func (r Row) Tested(secure bool) []claims.Claim {
	tested := append(r.rowClaims(secure), claims.Classes, claims.Problems, claims.RetryAfter, claims.Discretion, claims.BeginsFirst)
	if r.Waits {
		tested = append(tested, claims.BoundedStore)
	} else {
		tested = append(tested, claims.AtOnce)
	}
	if !r.Forever {
		tested = append(tested, claims.Recovers)
	}
	if r.Down {
		tested = append(tested, claims.HealthRedis)
	}
	if r.try == nil {
		tested = append(tested, claims.Once)
	}
	return tested
}

// Tested are the claims that a row finds to be broken, likewise.
func (r UpstreamRow) Tested() []claims.Claim {
	tested := append(r.Needs(), claims.Classes, claims.Problems, claims.RetryAfter, claims.Discretion)
	if r.Class != "" {
		tested = append(tested, claims.FailedTurns, claims.Adopts)
	}
	return tested
}
