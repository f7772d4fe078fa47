package telemetry

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// This file has every name that spans and metrics use, so a query or an alert can
// be checked against one page. Standard names are those of version 1.43.0 of the
// semantic conventions. No other file imports them.

// SchemaURL says which version of the conventions the names follow.
const SchemaURL = semconv.SchemaURL

// Scope is the instrumentation scope of every span and metric.
const Scope = "parley/telemetry"

// Standard attributes.
const (
	keyErrorType = semconv.ErrorTypeKey

	keyMethod        = semconv.HTTPRequestMethodKey
	keyRoute         = semconv.HTTPRouteKey
	keyStatus        = semconv.HTTPResponseStatusCodeKey
	keyResend        = semconv.HTTPRequestResendCountKey
	keyScheme        = semconv.URLSchemeKey
	keyPath          = semconv.URLPathKey
	keyFullURL       = semconv.URLFullKey
	keyProtocol      = semconv.NetworkProtocolVersionKey
	keyPeerAddress   = semconv.NetworkPeerAddressKey
	keyPeerPort      = semconv.NetworkPeerPortKey
	keyServerAddress = semconv.ServerAddressKey
	keyServerPort    = semconv.ServerPortKey

	keySystem    = semconv.DBSystemNameKey
	keyOperation = semconv.DBOperationNameKey
	keyProcedure = semconv.DBStoredProcedureNameKey
	keyNamespace = semconv.DBNamespaceKey
	keyDBStatus  = semconv.DBResponseStatusCodeKey
	keyPool      = semconv.DBClientConnectionPoolNameKey
	keyPoolState = semconv.DBClientConnectionStateKey
)

// Attributes of calls to an agent. These conventions are still in development
// and have left the main repository, so the names are written out here as version
// 1.41.0 had them. No alert uses them.
const (
	keyGenOperation    attribute.Key = "gen_ai.operation.name"
	keyGenProvider     attribute.Key = "gen_ai.provider.name"
	keyGenConversation attribute.Key = "gen_ai.conversation.id"
	keyGenFirstChunk   attribute.Key = "gen_ai.response.time_to_first_chunk" // seconds

	genInvokeAgent = "invoke_agent"
	genProvider    = "microsoft.copilot_studio"
)

// Attributes of our own.
const (
	// keyOutcome is ok or the failure class on a request's span. On the span of a
	// call of the store or the agent it is there only when the call came to a class
	// that is no failure of that system; a failure is the span's error.type.
	keyOutcome        attribute.Key = "parley.outcome"
	keyStage          attribute.Key = "parley.failure.stage"  // auth, begin, token, upstream or complete
	keyReason         attribute.Key = "parley.failure.reason" // on a request, one word of server.Reasons; on a failed call of the store or the agent, or fetch of a token, fixed words, and sizes in bytes
	keyConversation   attribute.Key = "parley.conversation.id"
	keyRequestID      attribute.Key = "parley.request.id" // the front end's X-Request-Id, or ours
	keyOwnerHash      attribute.Key = "parley.owner.hash" // keyed, see Options.OwnerKey
	keyReplayed       attribute.Key = "parley.replayed"
	keyRestarted      attribute.Key = "parley.conversation.restarted"
	keyAgentError     attribute.Key = "parley.agent.error_code"
	keyAgentOperation attribute.Key = "parley.agent.operation" // start or turn
	keyStoreOperation attribute.Key = "parley.store.operation" // method of the store
	keyStoreCorrupt   attribute.Key = "parley.store.corrupt_records"
	keyStoreShard     attribute.Key = "parley.store.shard"             // number of the primary, from 0, in the order of the slots
	keyStoreAttempt   attribute.Key = "parley.store.attempt"           // number of the attempt, from 1
	keyStoreBreaker   attribute.Key = "parley.store.breaker"           // open, on a call that the circuit breaker refused
	keyBreakerOpened  attribute.Key = "parley.store.breaker.opened_at" // likewise: when, as RFC 3339 in UTC
	keyStreamEvents   attribute.Key = "parley.stream.events"           // counted as in metricFirstEvent
	keyVersion        attribute.Key = "version"                        // of parley.build.info, as Prometheus' own build info has it
	keyCommit         attribute.Key = "commit"
	keyTokenFor       attribute.Key = "parley.token.for"        //nolint:gosec // agent or redis: a name, no secret
	keyTokenCode      attribute.Key = "parley.token.error_code" //nolint:gosec // the issuer's, such as AADSTS7000215: a name, no secret
	keyFetchShared    attribute.Key = "parley.fetch.shared"     // true where nothing was sent for this call: another's fetch failed
)

// failedStatus is the status of a span that failed. It never has a description,
// because that could hold text from outside.
const failedStatus = codes.Error

// outcomeOK is the outcome of a request without a failure. It is not a failure
// class, so it is never an error.type.
const outcomeOK = "ok"

// classCanceled is the class of a request whose client left. Nothing failed, so it
// is an outcome and never an error.type.
const classCanceled = "client_canceled"

// classPanic is the class of a handler that ended without calling Done.
const classPanic = "panic"

// classAgentError is the class of an answer that is itself an error message.
const classAgentError = "agent_error"

// Spans of what is fetched from an issuer of tokens.
const (
	spanFetchToken = "fetch_token"
	spanFetchKeys  = "fetch_signing_keys"
)

// Span events. Each stream has these two, however long it is.
const (
	eventFirst = "stream.first_event"
	eventEnd   = "stream.end"
)

// Standard instruments.
const (
	metricRequests       = "http.server.request.duration"
	metricActive         = "http.server.active_requests"
	metricStore          = "db.client.operation.duration"
	metricPoolCount      = "db.client.connection.count"
	metricPoolMax        = "db.client.connection.max"
	metricPoolIdleMin    = "db.client.connection.idle.min"
	metricPoolPending    = "db.client.connection.pending_requests"
	metricPoolTimeouts   = "db.client.connection.timeouts"
	metricPoolCreateTime = "db.client.connection.create_time"
	metricAttempts       = "http.client.request.duration"
)

// Instruments of our own.
const (
	metricOutcomes = "parley.requests"
	metricTurns    = "parley.turns"
	metricAgent    = "parley.agent.duration"
	// metricFirstEvent is the time until the agent answers: to the first piece of text,
	// message or end of the conversation that the agent sends. What only shows that it is
	// there is no event: headers, comments, signs of typing, status and trace activities,
	// and the echo of what the user said. keyGenFirstChunk and eventFirst are the same
	// moment.
	metricFirstEvent = "parley.agent.time_to_first_event"
	// metricHeaders is the time to the headers of the answer, a status below 300.
	metricHeaders        = "parley.agent.time_to_headers"
	metricStoreUp        = "parley.store.up"
	metricBreakerOpen    = "parley.store.breaker.open"
	metricShards         = "parley.store.shards.count"
	metricShardsUp       = "parley.store.shards.up"
	metricSlots          = "parley.store.slots.count"
	metricSlotsServed    = "parley.store.slots.served"
	metricCommits        = "parley.commits.pending"
	metricDropped        = "parley.commits.dropped"
	metricLogsDropped    = "parley.logs.dropped"
	metricPoolWaits      = "parley.store.pool.waits"
	metricPoolWaitTime   = "parley.store.pool.wait_time"
	metricBuild          = "parley.build.info"
	metricAgentActive    = "parley.agent.active_calls"
	metricToken          = "parley.token.duration" //nolint:gosec // a name, no secret
	metricKeys           = "parley.signing_keys.duration"
	metricKeysAge        = "parley.signing_keys.age"
	metricConnections    = "parley.connections.open"
	metricRefused        = "parley.connections.refused"
	unitSeconds          = "s"
	stateIdle, stateUsed = "idle", "used"
	breakerOpen          = "open"
)
