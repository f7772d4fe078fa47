package matrix

import (
	"cmp"
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

// Columns are the names of the columns that a target is tried with in this row.
func (r Row) Columns(t Target) []string {
	if r.try != nil {
		if !t.tries(r.tries) {
			return nil
		}
		return []string{r.tries}
	}
	var names []string
	for _, route := range routes() {
		if t.asks(route) {
			names = append(names, route.name())
		}
	}
	if t.asksHealth() {
		names = append(names, healthName)
	}
	if t.Store != nil {
		for method := range storeMethods() {
			if name := storeColumnName(method); t.tries(name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Columns are the names of the columns that a target is tried with in this row.
func (r UpstreamRow) Columns(t Target) []string {
	var names []string
	for _, p := range posts() {
		if t.asks(p) && (!r.secure || p.opens) {
			names = append(names, p.name())
		}
	}
	return names
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

// Promised says in a sentence what a cell of the row promises.
func (r Row) Promised(column string) string {
	return cmp.Or(r.Omitted, "while "+r.Fault+", "+column+" tells that it is the store's, in time, and afterwards all is there that was acknowledged")
}
