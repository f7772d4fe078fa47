package server

import (
	"context"
	"log/slog"
	"net/http"

	"parley/server/auth"
	"parley/server/copilot"
	"parley/server/turn"
	"parley/store"
)

// Failure is one row of the table of failure classes.
type Failure struct {
	Class     string     // its name: in problem bodies, logs, spans and metrics
	Meaning   string     // for operators: what failed, and on which side
	Status    int        // of the HTTP answer; 499 is for the log
	Retryable bool       // whether the same request may succeed later
	SpanError bool       // whether spans are marked as failed
	Level     slog.Level // of the line in the log
	Title     string     // public, short
	Detail    string     // public, says what the caller can do
	Message   string     // public, one sentence that a front end can show its user

	origin origin
	is     []error // sentinels that mean this row
}

// origin keeps the rows of the store and of the agent's side apart. An error of one is
// never looked up as a failure of the other, whatever it wraps.
type origin int

const (
	ofRequest origin = iota
	ofStore
	ofAgent
)

// The classes this package names in code; all others occur in the table only.
const (
	classInvalid          = "invalid_request"
	classUnauthenticated  = "unauthenticated"
	classForbidden        = "forbidden"
	classMediaType        = "unsupported_media_type"
	classClientCanceled   = "client_canceled"
	classOverloaded       = "overloaded"
	classStoreRejected    = "store_rejected"
	classStoreTimeout     = "store_timeout"
	classToken            = "token_unavailable" //nolint:gosec // a name, no secret
	classUpstreamTimeout  = "upstream_timeout"
	classUnreachable      = "upstream_unreachable"
	classUpstreamProtocol = "upstream_protocol"
	classAgentError       = "agent_error"
	classPanic            = "panic"
	classInternal         = "internal"
)

// statusClientClosed is nginx's status for a client that disconnected. It is for
// the log; no client that waits for an answer sees it.
const statusClientClosed = 499

// Texts that several failures share, because the caller need not tell them apart.
const (
	storeTitle  = "Conversation store unavailable"
	storeRetry  = "The conversation store cannot be used right now. Repeat the request."
	storeBroken = "The conversation store cannot be used. Repeating the request will not help until it is repaired."
	agentTitle  = "Agent unavailable"
	ourFault    = "Something went wrong in this service. Quote the trace id when you report it."

	sayStoreRetry  = "Your conversations cannot be reached right now; please try again in a moment."
	saySaveRetry   = "Nothing new can be saved right now; please try again in a moment."
	sayStoreBroken = "Your conversations cannot be reached right now; please try again later."
	sayAgentRetry  = "The assistant could not answer; please try again."
	sayAgentBroken = "The assistant cannot answer right now; please try again later."
	sayFault       = "Something went wrong on our side; please try again later."
)

// failures is the table, in the order in which an error is looked up.
var failures = [...]Failure{
	{
		Class: classInvalid, Meaning: "a body, parameter or id is malformed; `field` names it",
		Status: http.StatusBadRequest, Level: slog.LevelInfo, is: []error{errInvalid, store.ErrCursor},
		Title: "Invalid request", Detail: "The request is malformed.",
		Message: "This could not be sent as it is.",
	},
	{
		Class: classUnauthenticated, Meaning: "no token, or a bad one; `reason` and `WWW-Authenticate` say which",
		Status: http.StatusUnauthorized, Level: slog.LevelInfo, is: []error{auth.ErrUnauthenticated},
		Title: "Not signed in", Detail: "A valid bearer token is required.",
		Message: "Please sign in again.",
	},
	{
		Class: classForbidden, Meaning: "the tenant, the token's scope or role, the card action, the page that asks or the `Host` is not allowed",
		Status: http.StatusForbidden, Level: slog.LevelInfo, is: []error{auth.ErrForbidden, errForbidden},
		Title: "Not allowed", Detail: "You may not do this.",
		Message: "You are not allowed to do this.",
	},
	{
		Class: "not_found", Meaning: "no such route, or no such conversation for this owner",
		Status: http.StatusNotFound, Level: slog.LevelInfo, is: []error{errNoRoute, store.ErrNotFound},
		Title: "Not found", Detail: "There is no such thing here.",
		Message: "This conversation cannot be found; please start a new one.",
	},
	{
		Class: "method_not_allowed", Meaning: "`Allow` lists what the route takes",
		Status: http.StatusMethodNotAllowed, Level: slog.LevelInfo, is: []error{errMethod},
		Title: "Method not allowed", Detail: "The Allow header lists the methods of this route.",
		Message: "This could not be sent as it is.",
	},
	{
		Class: "turn_conflict", Meaning: "another turn runs in the conversation, or took this one over",
		Status: http.StatusConflict, Retryable: true, Level: slog.LevelInfo, is: []error{store.ErrBusy, store.ErrStale},
		Title: "Another turn is running", Detail: "The conversation is busy with another turn. Repeat the request when it has ended.",
		Message: "The previous message is still being answered; please wait a moment.",
	},
	{
		Class: "conversation_closed", Meaning: "the conversation was closed by its owner",
		Status: http.StatusConflict, Level: slog.LevelInfo, is: []error{store.ErrClosed},
		Title: "Conversation closed", Detail: "The conversation has been closed. Start a new one.",
		Message: "This conversation has been closed; please start a new one.",
	},
	{
		Class: "conversation_full", Meaning: "the conversation has `MAX_CONVERSATION_TURNS` turns or `MAX_CONVERSATION_BYTES`",
		Status: http.StatusConflict, Level: slog.LevelInfo, is: []error{store.ErrConversationFull},
		Title: "Conversation full", Detail: "The conversation has as much in it as one may have. Start a new one.",
		Message: "This conversation is full; please start a new one.",
	},
	{
		Class: "payload_too_large", Meaning: "the body has more than 256 KiB",
		Status: http.StatusRequestEntityTooLarge, Level: slog.LevelInfo, is: []error{errTooLarge},
		Title: "Body too large", Detail: "A body may have at most 256 KiB.",
		Message: "This is too long to be sent.",
	},
	{
		Class: classMediaType, Meaning: "the body is not `application/json`",
		Status: http.StatusUnsupportedMediaType, Level: slog.LevelInfo, is: []error{errMediaType},
		Title: "Unsupported media type", Detail: "Bodies must be application/json in UTF-8.",
		Message: "This could not be sent as it is.",
	},
	{
		Class: "idempotency_mismatch", Meaning: "the idempotency key was used for another request",
		Status: http.StatusUnprocessableEntity, Level: slog.LevelInfo, is: []error{store.ErrMismatch},
		Title: "Idempotency key reused", Detail: "The idempotency key was used before, for another request.",
		Message: "This could not be sent again as it is.",
	},
	{
		Class: classOverloaded, Meaning: "this instance has as many turns, requests, bytes, open files or calls of Redis as it may, in all or of this user, or waits for a processor; never a fault of Redis or the agent",
		Status: http.StatusTooManyRequests, Retryable: true, Level: slog.LevelWarn, is: []error{turn.ErrOverloaded, store.ErrOverloaded},
		Title: "Too many requests", Detail: "This service has as much to do as it can take. Repeat the request.",
		Message: "There is a lot to do right now; please try again in a moment.",
	},
	{
		Class: "quota_exceeded", Meaning: "the user has `MAX_CONVERSATIONS_PER_USER` conversations",
		Status: http.StatusTooManyRequests, Level: slog.LevelInfo, is: []error{store.ErrQuota},
		Title: "Too many conversations", Detail: "You have as many conversations as you may have. Delete one, and repeat the request.",
		Message: "You have too many conversations; please delete one first.",
	},
	{
		Class: "store_unreachable", Meaning: "Redis: refused, reset, name or TLS failure or too many clients, or the circuit breaker that this opened",
		Status: http.StatusServiceUnavailable, Retryable: true, SpanError: true, Level: slog.LevelError, origin: ofStore, is: []error{store.ErrUnreachable},
		Title: storeTitle, Detail: storeRetry, Message: sayStoreRetry,
	},
	{
		Class: classStoreTimeout, Meaning: "Redis: no answer within `REDIS_TIMEOUT`, the circuit breaker that this opened, or fewer than `REDIS_WAIT_REPLICAS` replicas that have a turn",
		Status: http.StatusServiceUnavailable, Retryable: true, SpanError: true, Level: slog.LevelError, origin: ofStore, is: []error{store.ErrTimeout},
		Title: storeTitle, Detail: "The conversation store did not answer in time. Repeat the request.",
		Message: sayStoreRetry,
	},
	{
		Class: "store_pool_exhausted", Meaning: "Redis: all connections are waiting, and nothing comes on any",
		Status: http.StatusServiceUnavailable, Retryable: true, SpanError: true, Level: slog.LevelError, origin: ofStore, is: []error{store.ErrPoolExhausted},
		Title: storeTitle, Detail: storeRetry, Message: sayStoreRetry,
	},
	{
		Class: "store_auth", Meaning: "Redis refuses our user, password or permissions",
		Status: http.StatusServiceUnavailable, SpanError: true, Level: slog.LevelError, origin: ofStore, is: []error{store.ErrAuth},
		Title: storeTitle, Detail: storeBroken, Message: sayStoreBroken,
	},
	{
		Class: "store_credentials", Meaning: "there are no credentials for Redis: no token from Entra ID, or a password file that cannot be read",
		Status: http.StatusServiceUnavailable, Retryable: true, SpanError: true, Level: slog.LevelError, origin: ofStore, is: []error{store.ErrCredentials},
		Title: storeTitle, Detail: storeRetry, Message: sayStoreRetry,
	},
	{
		Class: "store_misconfigured", Meaning: "what answers is no Redis of `REDIS_MODE`: a cluster's node or a sentinel in single mode, no cluster, or an unknown `REDIS_SENTINEL_MASTER`",
		Status: http.StatusServiceUnavailable, SpanError: true, Level: slog.LevelError, origin: ofStore, is: []error{store.ErrMisconfigured},
		Title: storeTitle, Detail: storeBroken, Message: sayStoreBroken,
	},
	{
		Class: "store_not_ready", Meaning: "Redis is loading, failing over or busy with a script, or a slot of the cluster has no primary",
		Status: http.StatusServiceUnavailable, Retryable: true, SpanError: true, Level: slog.LevelError, origin: ofStore, is: []error{store.ErrNotReady},
		Title: storeTitle, Detail: storeRetry, Message: sayStoreRetry,
	},
	{
		Class: "store_readonly", Meaning: "Redis takes no writes",
		Status: http.StatusServiceUnavailable, Retryable: true, SpanError: true, Level: slog.LevelError, origin: ofStore, is: []error{store.ErrReadOnly},
		Title: storeTitle, Detail: "The conversation store saves nothing right now. Repeat the request.",
		Message: saySaveRetry,
	},
	{
		Class: "store_full", Meaning: "Redis is out of memory; reads and deletes still work",
		Status: http.StatusServiceUnavailable, Retryable: true, SpanError: true, Level: slog.LevelError, origin: ofStore, is: []error{store.ErrFull},
		Title: "Conversation store full", Detail: "The conversation store has no room for more. Reading and deleting still work. Repeat the request when there is room again.",
		Message: saySaveRetry,
	},
	{
		Class: "store_protocol", Meaning: "what answers does not speak Redis as we know it",
		Status: http.StatusServiceUnavailable, SpanError: true, Level: slog.LevelError, origin: ofStore, is: []error{store.ErrProtocol},
		Title: storeTitle, Detail: "What the conversation store answers is not understood. Repeating the request will not help until it is repaired.",
		Message: sayStoreBroken,
	},
	{
		Class: classStoreRejected, Meaning: "any other error of Redis",
		Status: http.StatusServiceUnavailable, SpanError: true, Level: slog.LevelError, origin: ofStore, is: []error{store.ErrRejected},
		Title: "Conversation store refuses", Detail: "The conversation store refused the request. Repeating it will not help until the store, or what it is asked for, is changed.",
		Message: "This cannot be saved or shown right now; please try again later.",
	},
	{
		Class: "store_lost", Meaning: "Redis lost a conversation while it was being started: an eviction, a flush or a failover",
		Status: http.StatusServiceUnavailable, Retryable: true, SpanError: true, Level: slog.LevelError, origin: ofStore, is: []error{store.ErrLost},
		Title: "Conversation lost", Detail: "The conversation was lost while it was being started. Repeat the request.",
		Message: "The conversation could not be started; please try again.",
	},
	{
		Class: "store_corrupt", Meaning: "a stored record cannot be read; it is left as it is",
		Status: http.StatusInternalServerError, SpanError: true, Level: slog.LevelError, origin: ofStore, is: []error{store.ErrCorrupt},
		Title: "Conversation unreadable", Detail: "The stored conversation cannot be read. It was left as it is.",
		Message: "This conversation cannot be opened; please start a new one.",
	},
	{
		Class: "auth_unavailable", Meaning: "the token's signing key is not known, and the issuer cannot be asked, or not yet; `Retry-After` says when",
		Status: http.StatusServiceUnavailable, Retryable: true, SpanError: true, Level: slog.LevelError, is: []error{auth.ErrUnavailable},
		Title: "Sign-in unavailable", Detail: "Tokens cannot be verified right now. Repeat the request.",
		Message: "Your sign-in cannot be checked right now; please try again in a moment.",
	},
	{
		Class: classToken, Meaning: "the issuer of our own tokens is away, slow or refuses us; the agent was not asked",
		Status: http.StatusBadGateway, Retryable: true, SpanError: true, Level: slog.LevelWarn, origin: ofAgent, is: []error{copilot.ErrToken},
		Title: "No token for the agent", Detail: "The agent was not asked, because no token for it can be had right now. Repeat the request.",
		Message: sayAgentRetry,
	},
	{
		Class: classUpstreamTimeout, Meaning: "the agent did not finish within `COPILOT_TIMEOUT`",
		Status: http.StatusGatewayTimeout, Retryable: true, SpanError: true, Level: slog.LevelWarn, origin: ofAgent, is: []error{copilot.ErrTimeout},
		Title: "Agent too slow", Detail: "The agent did not answer in time. Repeat the request.",
		Message: "The assistant took too long to answer; please try again.",
	},
	{
		Class: classUnreachable, Meaning: "the agent: refused, name or TLS failure",
		Status: http.StatusBadGateway, Retryable: true, SpanError: true, Level: slog.LevelWarn, origin: ofAgent, is: []error{copilot.ErrUnreachable},
		Title: agentTitle, Detail: "The agent cannot be reached right now. Repeat the request.",
		Message: sayAgentRetry,
	},
	{
		Class: "upstream_throttled", Meaning: "the agent answered 429; its `Retry-After` is passed on",
		Status: http.StatusBadGateway, Retryable: true, SpanError: true, Level: slog.LevelWarn, origin: ofAgent, is: []error{copilot.ErrThrottled},
		Title: "Agent throttled", Detail: "The agent takes no more requests right now. Repeat the request later.",
		Message: "The assistant is very busy right now; please try again in a minute.",
	},
	{
		Class: "upstream_rejected", Meaning: "the agent answered another 4xx: our credentials or ids are wrong",
		Status: http.StatusBadGateway, SpanError: true, Level: slog.LevelError, origin: ofAgent, is: []error{copilot.ErrRejected},
		Title: "Agent refuses", Detail: "The agent refused to be asked by this service. Repeating the request will not help until that is repaired.",
		Message: sayAgentBroken,
	},
	{
		Class: "upstream_error", Meaning: "the agent answered 5xx",
		Status: http.StatusBadGateway, Retryable: true, SpanError: true, Level: slog.LevelWarn, origin: ofAgent, is: []error{copilot.ErrServer},
		Title: "Agent failed", Detail: "The agent failed to answer. Repeat the request.",
		Message: sayAgentRetry,
	},
	{
		Class: classUpstreamProtocol, Meaning: "the agent answered something else than the protocol",
		Status: http.StatusBadGateway, SpanError: true, Level: slog.LevelError, origin: ofAgent, is: []error{copilot.ErrProtocol},
		Title: "Agent not understood", Detail: "What the agent answered is not understood. Repeating the request will not help until that is repaired.",
		Message: sayAgentBroken,
	},
	{
		Class: "upstream_interrupted", Meaning: "the agent's answer ended before its end",
		Status: http.StatusBadGateway, Retryable: true, SpanError: true, Level: slog.LevelWarn, origin: ofAgent, is: []error{copilot.ErrInterrupted},
		Title: "Answer cut short", Detail: "The agent's answer ended too early. Repeat the request.",
		Message: "The answer was cut short; please try again.",
	},
	{
		Class: classAgentError, Meaning: "the agent answered with a platform error in words; it is stored and passed on, with its code in `agentError` and its trace in `traceId`",
		Status: http.StatusOK, SpanError: true, Level: slog.LevelWarn,
		Title: "Agent reported an error", Detail: "The agent answered with an error of its own; see agentError in the message.",
		Message: "The assistant ran into a problem.",
	},
	{
		Class: "shutting_down", Meaning: "this instance is stopping",
		Status: http.StatusServiceUnavailable, Retryable: true, Level: slog.LevelInfo, is: []error{turn.ErrShuttingDown},
		Title: "Shutting down", Detail: "This instance is going away. Repeat the request.",
		Message: "The service is restarting; please try again in a moment.",
	},
	{
		Class: "instance_lost", Meaning: "the instance that ran the turn is gone, or another has taken the turn over",
		Status: http.StatusServiceUnavailable, Retryable: true, SpanError: true, Level: slog.LevelWarn, is: []error{turn.ErrAbandoned},
		Title: "Answer cut short", Detail: "The instance that had the agent answer is gone. Repeat the request.",
		Message: "The answer was cut short; please try again.",
	},
	{
		Class: classPanic, Meaning: "a fault of this service; the log has the stack",
		Status: http.StatusInternalServerError, SpanError: true, Level: slog.LevelError, is: []error{turn.ErrPanic},
		Title: "Internal error", Detail: ourFault,
		Message: sayFault,
	},
	// Next to last: an error that also wraps a cancellation is looked up by its own
	// kind first.
	{
		Class: classClientCanceled, Meaning: "the client left before anything was begun",
		Status: statusClientClosed, Level: slog.LevelInfo, is: []error{context.Canceled},
		Title: "Client left", Detail: "The client left before anything was begun.",
		Message: "The request was canceled.",
	},
	{
		Class: classInternal, Meaning: "a fault of this service that nobody foresaw",
		Status: http.StatusInternalServerError, SpanError: true, Level: slog.LevelError,
		Title: "Internal error", Detail: ourFault,
		Message: sayFault,
	},
}
