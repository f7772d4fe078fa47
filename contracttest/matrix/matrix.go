// Package matrix proves what a caller gets when Redis or the agent is unwell:
// rows are faults, columns are the routes of the service and the methods of the
// store, and every cell is a promise that is checked on a real Redis.
//
// A cell of a Redis fault promises, while the fault stands: the status and the
// failure class of its row; Retry-After if and only if a repeat may help; an
// answer within REDIS_TIMEOUT and Slack, at once where nothing has to be waited
// for, both beside what the machine is late by; that the agent was not asked when the turn could not be begun; that no
// command ran more often than the one repeat allows. And after it has gone,
// without a restart: a good answer within Recovery, everything that was
// acknowledged, and the same request again with the same idempotency key coming
// to exactly one question and one answer.
//
// A cell of a fault of the agent promises 502 or 504 and the class, a turn that
// is kept as failed, a conversation that can be used, and a repeat of the same
// text that does not double it.
package matrix

import (
	"slices"
	"strings"
	"testing"
	"time"

	"parley/contracttest/claims"
	"parley/contracttest/faultproxy"
	"parley/contracttest/redistest"
	"parley/store"
)

// Target is what the matrix is run against.
type Target struct {
	// Service starts the whole service and gives the URL below which it answers.
	// It ends with tb.
	Service func(tb testing.TB, w Settings) (base string)
	// Store opens the store alone, and closes it with tb. Nil for a service in whose
	// store one cannot look: there are no columns of its methods.
	Store func(tb testing.TB, w Settings) store.Store
	// Class names the failure class of an error of the store.
	Class func(error) string

	// Redis starts a Redis of a row's own; nil for redistest.Start.
	Redis func(tb testing.TB, flags ...string) Redis
	// Lacks is what the service does not claim; nil claims everything.
	Lacks claims.Lacking
	// Bounds are what the service is held to; the zero value stands for Parley's.
	Bounds Bounds
	// Columns chooses the columns that are tried; nil for all.
	Columns func(name string) bool
}

// Redis is a running Redis of the matrix.
type Redis interface {
	Addr() string                                      // host:port
	URL() string                                       // of the whole, with the password
	Stop(tb testing.TB)                                // as SIGSTOP does
	Continue(tb testing.TB)                            // as SIGCONT does
	Kill(tb testing.TB)                                // as SIGKILL does
	Restart(tb testing.TB)                             // after Kill; Addr may be another one
	ContainerAddr(tb testing.TB) (host, number string) // where another Redis finds it
}

// Through is the URL of a Redis with the address of a proxy in front of it: who leaves
// out the user, the password or the database has the server blamed for that.
func Through(r Redis, p *faultproxy.Proxy) string {
	return strings.Replace(r.URL(), r.Addr(), p.Addr(), 1)
}

// redis starts a Redis of its own.
func (t Target) redis(tb testing.TB, flags ...string) Redis {
	tb.Helper()
	if t.Redis != nil {
		return t.Redis(tb, flags...)
	}
	return redistest.Start(tb, flags...)
}

// tries reports whether a column is to be tried.
func (t Target) tries(name string) bool { return t.Columns == nil || t.Columns(name) }

// Settings says what a service or a store has to be connected to.
type Settings struct {
	RedisURL string
	CAFile   string // certificates to trust for rediss://; empty for plain
	Prefix   string // of all keys
	Timeout  time.Duration
	// Of a Redis of several nodes; the zero values are for one.
	Mode           string   // REDIS_MODE
	Nodes          []string // to ask first beside the one of RedisURL
	SentinelMaster string
	WaitReplicas   int
	// Of a service:
	AgentURL     string        // any token is accepted there
	AgentTimeout time.Duration // COPILOT_TIMEOUT
}

// Expect lists the failure classes that are right; "" stands for success.
type Expect []string

func (e Expect) allows(class string) bool { return slices.Contains(e, class) }

// Row is one fault of Redis and what is promised while it stands.
type Row struct {
	ID    string // of letters, digits and dashes; names the row's tests
	Fault string // one sentence

	Reads   Expect // conversation, list
	Begins  Expect // what begins a turn
	Commits Expect // what completes a turn that was begun before
	Changes Expect // status of a conversation
	Deletes Expect
	// Held is what calls on a conversation that was there before answer, deletes
	// excepted, if that
	// is something else.
	Held Expect
	// Down says that /health and /readyz are to tell of it.
	Down bool
	// Waits says that an answer may take the whole Timeout; else it comes at once.
	Waits bool
	// Cold services start into the fault.
	Cold bool
	// Forever faults are not healed: they are errors of the configuration.
	Forever bool
	// Omitted says why the row is not run; empty for every row that is.
	Omitted string
	// Plain rows make no sense over TLS.
	Plain bool
	// Needs are the claims without which the row means nothing.
	Needs []claims.Claim

	mayWrite bool // what may write waits as if it did

	flags  []string                  // of a Redis of the row's own
	own    bool                      // whether it needs one
	secure bool                      // it is about TLS
	url    func(bed *testbed) string // what the service is told, if not the proxy's address
	inject func(bed *testbed)        // brings the fault about
	heal   func(bed *testbed)        // ends it; nil to heal the proxy
	// try is for rows with a column of their own, which is named so.
	try   func(bed *testbed, t Target) []Cell
	tries string
}

// Rows are all faults of Redis.
func Rows() []Row { return slices.Concat(proxyRows(), tlsRows(), redisRows(), ownRows(), omitted()) }

// Modes are the ways to run a row: plain, over TLS, or both. A Redis that is
// itself unwell is unwell in the same way whatever stands in front of it, so
// those rows run plain only.
func (r Row) Modes() (secure []bool) {
	switch {
	case r.secure:
		return []bool{true}
	case r.Plain || r.own || r.Omitted != "":
		return []bool{false}
	}
	return []bool{false, true}
}

// omitted are the faults that are not tried, with the reason.
func omitted() []Row {
	return []Row{
		{ID: "memory", Fault: "any of these, with conversations in memory", Omitted: "not applicable: without REDIS_URL there is no Redis that could fail"},
	}
}

// timesOut says that a call under the fault may end because REDIS_TIMEOUT is over.
func (r Row) timesOut() bool {
	return slices.ContainsFunc([]Expect{r.Reads, r.Begins, r.Commits, r.Changes, r.Deletes, r.Held}, func(e Expect) bool {
		return e.allows("store_timeout")
	})
}

// held is what a call on a conversation that was there before answers.
func (r Row) held(e Expect) Expect {
	if r.Held != nil {
		return r.Held
	}
	return e
}

// looks is what is answered about a turn where none runs. That is a read, and may be one
// by a script.
func (r Row) looks() Expect {
	switch {
	case slices.Contains(r.Needs, claims.Scripts):
		return r.held(r.Changes)
	case r.mayWrite:
		return slices.Concat(r.Reads, r.Changes)
	}
	return r.held(r.Reads)
}

// all is an Expect for every kind of call.
func (r Row) all(e ...string) Row {
	r.Reads, r.Begins, r.Commits, r.Changes, r.Deletes = e, e, e, e, e
	return r
}

// writes is an Expect for everything but reads, which succeed.
func (r Row) writes(e ...string) Row {
	r.Reads, r.Begins, r.Commits, r.Changes, r.Deletes = Expect{""}, e, e, e, e
	return r
}

// retryable is what a caller is told of repeating, by class.
func retryable(class string) bool {
	return !slices.Contains([]string{"", "store_auth", "store_misconfigured", "store_protocol", "store_rejected", "store_corrupt", "upstream_rejected", "upstream_protocol"}, class)
}
