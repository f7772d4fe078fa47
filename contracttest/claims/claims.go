// Package claims is the list of what a server that speaks this API can promise. A
// server claims what it promises; what it does not claim is not held against it, and
// a report says so by name.
package claims

import (
	"slices"
	"strings"
)

// Claim is the name of one promise: a route, as "POST /api/chat/send", or a word.
type Claim string

// The routes.
const (
	Start         Claim = "POST /api/chat/start"
	Send          Claim = "POST /api/chat/send"
	CardAction    Claim = "POST /api/chat/card-action"
	Orchestrate   Claim = "POST /api/chat/orchestrate"
	List          Claim = "GET /api/chat/conversations"
	Read          Claim = "GET /api/chat/conversations/{id}"
	Change        Claim = "PATCH /api/chat/conversations/{id}"
	Delete        Claim = "DELETE /api/chat/conversations/{id}"
	Resume        Claim = "GET /api/chat/conversations/{id}/stream"
	Stop          Claim = "POST /api/chat/conversations/{id}/stop"
	Health        Claim = "GET /health"
	Live          Claim = "GET /livez"
	Ready         Claim = "GET /readyz"
	Specification Claim = "GET /openapi.yaml"
)

// What failures look like.
const (
	Classes    Claim = "classes"     // class
	Problems   Claim = "problems"    // RFC 9457
	RetryAfter Claim = "retry-after" // RFC 9110, section 10.2.3
	Discretion Claim = "discretion"
	Schema     Claim = "schema"
)

// What a conversation keeps.
const (
	BeginsFirst Claim = "begins-first"
	Idempotency Claim = "idempotency"
	FailedTurns Claim = "failed-turns"
	Adopts      Claim = "adopts"
	Conflicts   Claim = "conflicts"
	Waits       Claim = "waits"
	Joins       Claim = "joins"
	GoesOn      Claim = "goes-on"
	Ownership   Claim = "ownership"
	Tenants     Claim = "tenants"
	TTL         Claim = "ttl"
	Restart     Claim = "restart"
	Instances   Claim = "instances"
	Memory      Claim = "memory"
	Streams     Claim = "streams"
	AgentErrors Claim = "agent-errors"
)

// What a server does about a Redis and an agent that are unwell.
const (
	BoundedStore Claim = "bounded-store"
	BoundedAgent Claim = "bounded-agent"
	AtOnce       Claim = "at-once"
	Recovers     Claim = "recovers"
	ColdStart    Claim = "cold-start"
	RedisTLS     Claim = "redis-tls"
	KeyPrefix    Claim = "key-prefix"
	KeyLayout    Claim = "key-layout"
	Once         Claim = "once"
	Scripts      Claim = "scripts"
	Breaker      Claim = "breaker"
	HealthRedis  Claim = "health-redis"
	Eviction     Claim = "eviction-warning"
	Callers      Claim = "callers"
)

// Where an operator finds the class of a failure.
const (
	Spans   Claim = "spans"
	Metrics Claim = "metrics"
	Logs    Claim = "logs"
)

// Described is a claim with what it means.
type Described struct {
	Claim
	Sentence string
	// Needs are other claims without which this one means nothing.
	Needs []Claim
}

// All lists the claims.
func All() []Described {
	return []Described{
		{Start, "it starts a conversation", nil},
		{Send, "it sends a message", []Claim{Start}},
		{CardAction, "it submits a card", []Claim{Start}},
		{Orchestrate, "it starts a conversation and sends a message in one call", nil},
		{List, "it lists a user's conversations", []Claim{Start}},
		{Read, "it reads a conversation", []Claim{Start}},
		{Change, "it changes the status of a conversation", []Claim{Start}},
		{Delete, "it deletes a conversation", []Claim{Start}},
		{Resume, "it follows a turn that runs", []Claim{Streams, Send}},
		{Stop, "it stops a turn that runs", []Claim{Send}},
		{Health, "it tells how the server is", nil},
		{Live, "it answers 200 while the process lives", nil},
		{Ready, "it tells whether to send requests here", nil},
		{Specification, "it serves the OpenAPI document", nil},

		{Classes, "every failure names its class, in the fields class and error of the body", nil},
		{Problems, "every failure is application/problem+json with the status in it", nil},
		{RetryAfter, "a failure has Retry-After if and only if a repeat may help", []Claim{Classes}},
		{Discretion, "no failure gives away an address or a key of the store", nil},
		{Schema, "every answer is what openapi.yaml says, field by field", nil},

		{BeginsFirst, "the agent is not asked for a turn that the store could not begin", []Claim{Start}},
		{Idempotency, "a request with the Idempotency-Key of one that was answered gets that answer again and asks the agent nothing", []Claim{Send}},
		{FailedTurns, "a turn that the agent failed is kept with the user's message and its class", []Claim{Read, Send}},
		{Adopts, "the same text after a turn that failed takes that turn over and is not kept twice", []Claim{Send}},
		{Conflicts, "two turns of one conversation never run at the same time: the second gets 409", []Claim{Send}},
		{Waits, "a turn waits for the one before it, as long as is set, and is answered after it", []Claim{Conflicts}},
		{Joins, "the same text while its own turn runs is the same request and gets the same answer", []Claim{Send}},
		{GoesOn, "a conversation that the agent ended goes on with the next message", []Claim{Send}},
		{Ownership, "a conversation of another owner answers as one that does not exist", []Claim{Start}},
		{Tenants, "only users of the tenants on a list come in: others get 403", []Claim{Ownership}},
		{TTL, "a conversation is gone when its time to live is over, and a write renews it", []Claim{Send}},
		{Restart, "what was answered is there after the process was killed and started again", []Claim{Send}},
		{Instances, "two instances on one Redis serve the same conversations", []Claim{Send}},
		{Memory, "it runs without Redis, with conversations in memory", []Claim{Start}},
		{Streams, "with Accept: text/event-stream an answer comes as server-sent events", []Claim{Send}},
		{AgentErrors, "an error that the agent reports in words is passed on with its code", []Claim{Send}},

		{BoundedStore, "a call of Redis ends when the time that was set is over", nil},
		{BoundedAgent, "a call of the agent ends when the time that was set is over", nil},
		{AtOnce, "an answer that has nothing to wait for comes at once", nil},
		{Recovers, "it works again by itself soon after Redis does", nil},
		{ColdStart, "it starts while Redis cannot be reached, and works when it can", nil},
		{RedisTLS, "it reaches Redis over TLS and verifies the certificate", nil},
		{KeyPrefix, "every key begins with a prefix that can be set", nil},
		{KeyLayout, "keys are laid out as in store/redis: leases end when their key is deleted", []Claim{KeyPrefix}},
		{Once, "no script runs more often for one request than its one repeat allows", []Claim{KeyPrefix, Scripts}},
		{Scripts, "it writes with scripts", nil},
		{Breaker, "while Redis is known to be away, nobody waits for it", []Claim{AtOnce, Live}},
		{HealthRedis, "/health says \"redis\": \"disconnected\" with 503 while Redis cannot be used", []Claim{Health}},
		{Callers, "what one caller takes leaves other callers theirs, by the bounds and with the metrics of Parley", []Claim{Ownership, Tenants, KeyPrefix}},
		{Eviction, "/health and /readyz warn of a Redis that evicts keys", []Claim{Health, Ready}},

		{Spans, "the server span of a failure has its class as error.type, and the trace id of the answer", []Claim{Classes}},
		{Metrics, "http.server.request.duration counts failures by class in error.type", []Claim{Classes}},
		{Logs, "the log has one JSON line of a failure with its class and trace id", []Claim{Classes}},
	}
}

// Find finds a claim by its name.
func Find(name string) (Described, bool) {
	all := All()
	i := slices.IndexFunc(all, func(d Described) bool { return string(d.Claim) == name })
	if i < 0 {
		return Described{}, false
	}
	return all[i], true
}

// Route is the claim of a route.
func Route(method, path string) Claim { return Claim(method + " " + path) }

// IsRoute reports whether the claim is one of a route.
func (c Claim) IsRoute() bool { return strings.Contains(string(c), " /") }

// Lacking is what a server does not claim. Nil claims everything.
type Lacking map[Claim]bool

// Without gives what lacks when only these are claimed.
func Without(claimed ...Claim) Lacking {
	lacks := Lacking{}
	for _, d := range All() {
		if !slices.Contains(claimed, d.Claim) {
			lacks[d.Claim] = true
		}
	}
	return lacks
}

// Has reports whether the server claims all of them.
func (l Lacking) Has(all ...Claim) bool { return len(l.Missing(all...)) == 0 }

// Missing gives those of them that the server does not claim.
func (l Lacking) Missing(all ...Claim) []Claim {
	var missing []Claim
	for _, c := range all {
		if l[c] {
			missing = append(missing, c)
		}
	}
	return missing
}
