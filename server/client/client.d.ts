// Made by make client from client.js and openapi.yaml; do not edit.

/** @typedef {components['schemas']['Problem']} Problem */
/** @typedef {components['schemas']['FailureClass']} FailureClass */
/** @typedef {components['schemas']['ChatAnswer']} ChatAnswer */
/** @typedef {components['schemas']['Message']} Message */
/** @typedef {components['schemas']['Delta']} Delta */
/** @typedef {components['schemas']['Conversation']} Conversation */
/** @typedef {operations['send']['requestBody']['content']['application/json']} SendRequest */
/** @typedef {operations['cardAction']['requestBody']['content']['application/json']} CardActionRequest */
/** @typedef {operations['orchestrate']['requestBody']['content']['application/json']} OrchestrateRequest */
/** @typedef {operations['orchestrate']['responses'][200]['content']['application/json']} OrchestrateAnswer */
/** @typedef {operations['listConversations']['responses'][200]['content']['application/json']} Listing */
/** @typedef {operations['stopTurn']['responses'][200]['content']['application/json']} Stopped */
/** @typedef {NonNullable<operations['listConversations']['parameters']['query']>} ListQuery */
/** @typedef {NonNullable<operations['getConversation']['parameters']['query']>} ConversationQuery */
/**
 * What came of one attempt, for whoever logs or shows it.
 * @typedef {object} Exchange
 * @property {string} method
 * @property {string} path
 * @property {number} status 0 if there was no answer.
 * @property {FailureClass | ''} class Of the failure; '' if there was none, or no problem body.
 * @property {Problem} [problem]
 * @property {string} requestId '' if there was no answer.
 * @property {string} traceId Likewise.
 * @property {string} key The idempotency key; '' for a request that has none.
 * @property {{store?: number, upstream?: number}} timing Milliseconds that the server spent waiting.
 * @property {number} duration Milliseconds until the end of the answer.
 * @property {boolean} streamed
 * @property {boolean} replayed The answer of an earlier request with the same key.
 */
/**
 * @typedef {object} ClientOptions
 * @property {string} [base] Where Parley is, such as https://chat.example; the page's own origin if left out.
 * @property {string | (() => string | undefined | Promise<string | undefined>)} [token] The bearer token. A function is asked for every attempt.
 * @property {number} [attempts] How often a request is tried before its failure is thrown; 4. A resumed stream that got further counts anew.
 * @property {number} [patience] Milliseconds that all waits between attempts may take together; 60,000. A longer Retry-After is not waited for.
 * @property {number} [silence] Milliseconds without a byte after which a stream counts as broken; 45,000. The server is never silent for longer than 15 s.
 * @property {typeof fetch} [fetch]
 * @property {(exchange: Exchange) => void} [onExchange] Called for every attempt, at its end.
 */
/**
 * @typedef {object} CallOptions
 * @property {AbortSignal} [signal] Ends the call, also while it waits; a turn that has begun goes on (see stop).
 */
/**
 * @typedef {object} TurnOptions
 * @property {AbortSignal} [signal] As in CallOptions.
 * @property {string} [key] The idempotency key; a new one if left out. The same key again gets the same answer.
 */
/**
 * With either function, the answer is streamed.
 * @typedef {object} StreamOptions
 * @property {(delta: Delta) => void} [onDelta] Gets all that is written so far of a message that is not whole yet.
 * @property {(message: Message) => void} [onMessage] Gets every whole message, once.
 */
/**
 * @typedef {object} FollowOptions
 * @property {string} [lastEventId] What was seen of the turn before; see the server's ids of events.
 */
/** A request failed. Every error but an abort, which throws the signal's reason, is one. */
export class ParleyError extends Error {
    /**
     * @param {string} message
     * @param {{status?: number, retryable?: boolean, retryAfter?: number, cause?: unknown}} about
     */
    constructor(message: string, { status, retryable, retryAfter, cause }: {
        status?: number;
        retryable?: boolean;
        retryAfter?: number;
        cause?: unknown;
    });
    /** The HTTP status; 0 if there was no answer. */
    status: number;
    /** Whether the same request may succeed later. */
    retryable: boolean;
    /** Milliseconds that the server asks to wait before; undefined if it does not say. */
    retryAfter: number | undefined;
}
/** Parley says why it failed. */
export class ProblemError extends ParleyError {
    /**
     * @param {Problem} problem
     * @param {number} [retryAfter] milliseconds
     */
    constructor(problem: Problem, retryAfter?: number);
    /** @type {Problem} */
    problem: Problem;
    /** @type {FailureClass} */
    class: FailureClass;
    traceId: string;
}
/** There was no answer of Parley: none at all, half of one, or one of something between. */
export class ConnectionError extends ParleyError {
}
/** The API of one Parley. */
export class Client {
    /** @param {ClientOptions} [options] */
    constructor({ base, token, attempts, patience, silence, fetch, onExchange }?: ClientOptions);
    /**
     * Starts a conversation; the answer is the agent's greeting.
     * @param {TurnOptions & StreamOptions} [options]
     * @returns {Promise<ChatAnswer>}
     */
    start(options?: TurnOptions & StreamOptions): Promise<ChatAnswer>;
    /**
     * Sends a message; the answer is what the agent replied.
     * @param {SendRequest} request
     * @param {TurnOptions & StreamOptions} [options]
     * @returns {Promise<ChatAnswer>}
     */
    send(request: SendRequest, options?: TurnOptions & StreamOptions): Promise<ChatAnswer>;
    /**
     * Submits a card; the answer is what the agent replied.
     * @param {CardActionRequest} request
     * @param {TurnOptions & StreamOptions} [options]
     * @returns {Promise<ChatAnswer>}
     */
    cardAction(request: CardActionRequest, options?: TurnOptions & StreamOptions): Promise<ChatAnswer>;
    /**
     * Starts a conversation with one message.
     * @param {OrchestrateRequest} request
     * @param {TurnOptions} [options]
     * @returns {Promise<OrchestrateAnswer>}
     */
    orchestrate(request: OrchestrateRequest, { signal, key }?: TurnOptions): Promise<OrchestrateAnswer>;
    /**
     * Lists the conversations, newest first, a page at a time.
     * @param {ListQuery} [query]
     * @param {CallOptions} [options]
     * @returns {Promise<Listing>}
     */
    list(query?: ListQuery, { signal }?: CallOptions): Promise<Listing>;
    /**
     * Reads a conversation with a page of its messages, the newest unless the query says.
     * @param {string} id
     * @param {ConversationQuery} [query]
     * @param {CallOptions} [options]
     * @returns {Promise<Conversation>}
     */
    conversation(id: string, query?: ConversationQuery, { signal }?: CallOptions): Promise<Conversation>;
    /**
     * Closes a conversation.
     * @param {string} id
     * @param {'completed' | 'abandoned'} status
     * @param {CallOptions} [options]
     * @returns {Promise<Conversation>}
     */
    setStatus(id: string, status: "completed" | "abandoned", { signal }?: CallOptions): Promise<Conversation>;
    /**
     * Deletes a conversation. One that an earlier attempt has deleted is no failure.
     * @param {string} id
     * @param {CallOptions} [options]
     * @returns {Promise<void>}
     */
    delete(id: string, { signal }?: CallOptions): Promise<void>;
    /**
     * Ends the turn that runs in a conversation. What was said until then is its answer.
     * @param {string} id
     * @param {TurnOptions} [options]
     * @returns {Promise<Stopped | null>} null if no turn runs.
     */
    stop(id: string, { signal, key }?: TurnOptions): Promise<Stopped | null>;
    /**
     * Follows the turn that runs in a conversation, whoever began it.
     * @param {string} id
     * @param {CallOptions & StreamOptions & FollowOptions} [options]
     * @returns {Promise<ChatAnswer | null>} null if none runs, or none any more: what was said is in the conversation.
     */
    follow(id: string, { signal, onDelta, onMessage, lastEventId }?: CallOptions & StreamOptions & FollowOptions): Promise<ChatAnswer | null>;
    #private;
}
export type Problem = components["schemas"]["Problem"];
export type FailureClass = components["schemas"]["FailureClass"];
export type ChatAnswer = components["schemas"]["ChatAnswer"];
export type Message = components["schemas"]["Message"];
export type Delta = components["schemas"]["Delta"];
export type Conversation = components["schemas"]["Conversation"];
export type SendRequest = operations["send"]["requestBody"]["content"]["application/json"];
export type CardActionRequest = operations["cardAction"]["requestBody"]["content"]["application/json"];
export type OrchestrateRequest = operations["orchestrate"]["requestBody"]["content"]["application/json"];
export type OrchestrateAnswer = operations["orchestrate"]["responses"][200]["content"]["application/json"];
export type Listing = operations["listConversations"]["responses"][200]["content"]["application/json"];
export type Stopped = operations["stopTurn"]["responses"][200]["content"]["application/json"];
export type ListQuery = NonNullable<operations["listConversations"]["parameters"]["query"]>;
export type ConversationQuery = NonNullable<operations["getConversation"]["parameters"]["query"]>;
/**
 * What came of one attempt, for whoever logs or shows it.
 */
export type Exchange = {
    method: string;
    path: string;
    /**
     * 0 if there was no answer.
     */
    status: number;
    /**
     * Of the failure; '' if there was none, or no problem body.
     */
    class: FailureClass | "";
    problem?: {
        type: string;
        title: string;
        status: number;
        detail: string;
        class: components["schemas"]["FailureClass"];
        error: components["schemas"]["FailureClass"];
        message: string;
        reason?: components["schemas"]["SignInReason"];
        retryable: boolean;
        traceId: string;
        conversationId?: string;
        field?: string;
        turn?: number;
        stage?: "auth" | "begin" | "token" | "upstream" | "complete";
    } | undefined;
    /**
     * '' if there was no answer.
     */
    requestId: string;
    /**
     * Likewise.
     */
    traceId: string;
    /**
     * The idempotency key; '' for a request that has none.
     */
    key: string;
    /**
     * Milliseconds that the server spent waiting.
     */
    timing: {
        store?: number;
        upstream?: number;
    };
    /**
     * Milliseconds until the end of the answer.
     */
    duration: number;
    streamed: boolean;
    /**
     * The answer of an earlier request with the same key.
     */
    replayed: boolean;
};
export type ClientOptions = {
    /**
     * Where Parley is, such as https://chat.example; the page's own origin if left out.
     */
    base?: string | undefined;
    /**
     * The bearer token. A function is asked for every attempt.
     */
    token?: string | (() => string | undefined | Promise<string | undefined>) | undefined;
    /**
     * How often a request is tried before its failure is thrown; 4. A resumed stream that got further counts anew.
     */
    attempts?: number | undefined;
    /**
     * Milliseconds that all waits between attempts may take together; 60,000. A longer Retry-After is not waited for.
     */
    patience?: number | undefined;
    /**
     * Milliseconds without a byte after which a stream counts as broken; 45,000. The server is never silent for longer than 15 s.
     */
    silence?: number | undefined;
    fetch?: typeof fetch | undefined;
    /**
     * Called for every attempt, at its end.
     */
    onExchange?: ((exchange: Exchange) => void) | undefined;
};
export type CallOptions = {
    /**
     * Ends the call, also while it waits; a turn that has begun goes on (see stop).
     */
    signal?: AbortSignal | undefined;
};
export type TurnOptions = {
    /**
     * As in CallOptions.
     */
    signal?: AbortSignal | undefined;
    /**
     * The idempotency key; a new one if left out. The same key again gets the same answer.
     */
    key?: string | undefined;
};
/**
 * With either function, the answer is streamed.
 */
export type StreamOptions = {
    /**
     * Gets all that is written so far of a message that is not whole yet.
     */
    onDelta?: ((delta: Delta) => void) | undefined;
    /**
     * Gets every whole message, once.
     */
    onMessage?: ((message: Message) => void) | undefined;
};
export type FollowOptions = {
    /**
     * What was seen of the turn before; see the server's ids of events.
     */
    lastEventId?: string | undefined;
};
export type Attempt = {
    method: string;
    path: string;
    body?: object | undefined;
    key?: string | undefined;
    accept?: string | undefined;
    position?: string | undefined;
    signal?: AbortSignal | undefined;
};

export interface paths {
    "/api/chat/start": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Start a conversation. The answer is the agent's greeting. */
        post: operations["start"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/chat/send": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Send a message. The answer is what the agent replied. */
        post: operations["send"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/chat/card-action": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Submit an adaptive card. The answer is what the agent replied. */
        post: operations["cardAction"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/chat/orchestrate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Start a conversation and send one message in a single call. */
        post: operations["orchestrate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/chat/conversations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the caller's conversations, newest first, without messages. */
        get: operations["listConversations"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/chat/conversations/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        /**
         * Read one conversation with a page of its messages.
         * @description Without a parameter, the newest page. A page has the messages of whole turns, oldest
         *     first: as many as fit in `limit` and in 1 MiB, and of one turn at the least. `earlier`
         *     and `later` in the answer are what to ask for next.
         */
        get: operations["getConversation"];
        put?: never;
        post?: never;
        /** Delete a conversation and everything stored for it. */
        delete: operations["deleteConversation"];
        options?: never;
        head?: never;
        /** Close a conversation. */
        patch: operations["patchConversation"];
        trace?: never;
    };
    "/api/chat/conversations/{id}/stream": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        /** Follow the turn that runs in a conversation, on whichever instance. A browser's EventSource can be used. */
        get: operations["resumeStream"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/chat/conversations/{id}/stop": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** End the turn that runs in a conversation, on whichever instance. What was said until then is stored as its answer. May be repeated. */
        post: operations["stopTurn"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** State of the service, the store and the agent, from the last probe. */
        get: operations["health"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/livez": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Liveness probe. */
        get: operations["livez"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Readiness probe. */
        get: operations["readyz"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/openapi.yaml": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This API, described in OpenAPI. */
        get: operations["openAPI"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/client.js": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A client of this API for browsers and Node, one ES module without dependencies. */
        get: operations["client"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/client.d.ts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The types of that client, for TypeScript. */
        get: operations["clientTypes"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        ChatAnswer: {
            /** Format: uuid */
            conversationId: string;
            messages: components["schemas"]["Message"][];
            workflowState: components["schemas"]["WorkflowState"];
            /** @description Data that came without anything to show, so in no message. */
            extractedPayload?: components["schemas"]["Payload"];
            /** @description The agent has forgotten what was said before. So it is also with the first message after the agent has ended the conversation: the agent starts anew, and the conversation is active again. */
            conversationRestarted?: boolean;
            /** @description The user stopped the turn; this is what was said until then. */
            stopped?: boolean;
        };
        Delta: {
            /** Format: uuid */
            messageId: string;
            /** @description All that has been written of the message so far. */
            text: string;
        };
        /** @description Has a character that is no space, and no NUL. */
        Text: string;
        WorkflowContext: {
            step: string;
            constraints?: string[];
            collectedData?: Record<string, unknown>;
        };
        /** @description Where the workflow is after the turn. The caller moves it with workflowContext. So does the agent, with data (extractedPayload) whose member action is ask, research, confirm, complete or error: the step becomes gather_info, research, confirm, complete or initial, and the members of its object data are put into collectedData, unless that would then have more than 48 KiB. Step and data are kept with the conversation, as currentStep and stepData. */
        WorkflowState: {
            /** @description "initial" until somebody says another. */
            step: string;
            collectedData: Record<string, unknown>;
            /** @description The data of extractedPayload as JSON text. Absent when there is none. */
            lastRecommendation?: string;
            /** @description Number of this turn in its conversation; 0 for the greeting. */
            turnCount: number;
            /**
             * @description completed at the step complete, and when the agent ended the conversation. A step does not close the conversation: only the agent or its owner does.
             * @enum {string}
             */
            status: "active" | "completed" | "error";
        };
        Message: {
            /** Format: uuid */
            id: string;
            turn: number;
            /** @enum {string} */
            role: "user" | "assistant";
            /** @enum {string} */
            kind: "text" | "adaptiveCard";
            text?: string;
            cardJson?: Record<string, unknown>;
            cardId?: string;
            extractedPayload?: components["schemas"]["Payload"];
            /** @description Code of a platform error that the agent reported as text. */
            agentError?: string;
            /** @description Beside agentError: the trace of the request in whose turn the agent reported the error, for whoever reads the message, also later and in other answers. Absent from messages stored before it existed. */
            traceId?: string;
            /** @description The user stopped the turn before its end. */
            stopped?: boolean;
        };
        Payload: {
            /** @enum {string} */
            source: "value" | "entities" | "text";
            /** @enum {string} */
            confidence: "high" | "medium" | "low";
            data: Record<string, unknown>;
        };
        Conversation: {
            /** Format: uuid */
            conversationId: string;
            /** @enum {string} */
            status: "active" | "completed" | "abandoned";
            /** Format: date-time */
            createdAt: string;
            /** Format: date-time */
            updatedAt: string;
            turnCount: number;
            workflowId?: string;
            currentStep?: string;
            stepData?: unknown;
            metadata?: unknown;
            pendingTurn?: number;
            /** @description The turns without an answer among those of this page, and the one of `after`. */
            failures?: {
                turn: number;
                class: string;
            }[];
            messages?: components["schemas"]["Message"][];
            /** @description There are earlier messages; ask for them with `before` this turn. */
            earlier?: number;
            /** @description There are later messages; ask for them with `after` this turn. */
            later?: number;
        };
        Problem: {
            type: string;
            title: string;
            status: number;
            detail: string;
            class: components["schemas"]["FailureClass"];
            error: components["schemas"]["FailureClass"];
            /** @description One sentence that a front end can show its user. */
            message: string;
            reason?: components["schemas"]["SignInReason"];
            retryable: boolean;
            traceId: string;
            /** Format: uuid */
            conversationId?: string;
            /** @description The field of the request that is at fault. */
            field?: string;
            /** @description Of turn_conflict: the number of the turn that runs. */
            turn?: number;
            /**
             * @description Where the request failed: while the caller signed in, before the agent was asked, when our own token for it was fetched, while it answered, or when its answer was to be stored. Absent where there is no such stage.
             * @enum {string}
             */
            stage?: "auth" | "begin" | "token" | "upstream" | "complete";
        };
        /**
         * @description Of unauthenticated (401), always: why the caller is not signed in. token_missing: no Authorization header. token_malformed: the header holds something other than one bearer token. signature_invalid: not signed with a key of the issuer, in a way that is allowed. token_expired, token_not_yet_valid: by the claims exp, nbf and iat. audience_mismatch: issued for another service (aud). claims_invalid: a claim is missing or has another form, such as exp, aud, tid or oid. issuer_mismatch: from another issuer (iss). id_token: an ID token where an access token is required.
         * @enum {string}
         */
        SignInReason: "token_missing" | "token_malformed" | "signature_invalid" | "token_expired" | "token_not_yet_valid" | "audience_mismatch" | "claims_invalid" | "issuer_mismatch" | "id_token";
        /** @enum {string} */
        FailureClass: "invalid_request" | "unauthenticated" | "forbidden" | "not_found" | "method_not_allowed" | "turn_conflict" | "conversation_closed" | "conversation_full" | "payload_too_large" | "unsupported_media_type" | "idempotency_mismatch" | "overloaded" | "quota_exceeded" | "store_unreachable" | "store_timeout" | "store_pool_exhausted" | "store_auth" | "store_credentials" | "store_misconfigured" | "store_not_ready" | "store_readonly" | "store_full" | "store_protocol" | "store_rejected" | "store_lost" | "store_corrupt" | "auth_unavailable" | "token_unavailable" | "upstream_timeout" | "upstream_unreachable" | "upstream_throttled" | "upstream_rejected" | "upstream_error" | "upstream_protocol" | "upstream_interrupted" | "agent_error" | "shutting_down" | "instance_lost" | "panic" | "client_canceled" | "internal";
    };
    responses: {
        /** @description The agent's answer, stored. */
        ChatAnswer: {
            headers: {
                traceparent: components["headers"]["Traceparent"];
                /** @description This is the stored answer of an earlier request with the same key. */
                "Idempotency-Replayed"?: "true";
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["ChatAnswer"];
                "text/event-stream": string;
            };
        };
        /** @description The conversation. */
        Conversation: {
            headers: {
                traceparent: components["headers"]["Traceparent"];
                [name: string]: unknown;
            };
            content: {
                "application/json": components["schemas"]["Conversation"];
            };
        };
        /** @description State of the service. 503 when Redis is configured and nothing of it serves; 200 with the status degraded while only some shards of it do. */
        Health: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": {
                    /** @enum {string} */
                    status: "ok" | "degraded";
                    /**
                     * @description partial: some shards of a cluster serve, and some do not. Whose conversations are on one that serves notices nothing.
                     * @enum {string}
                     */
                    redis: "connected" | "partial" | "disconnected" | "not_configured";
                    store?: {
                        backend?: string;
                        /** @description How long the last probe took; null unless the store as a whole answered it. */
                        latencyMs?: number | null;
                        /**
                         * @description Only while a circuit breaker refuses the probe.
                         * @enum {string}
                         */
                        breaker?: "open";
                        /** @description The class of the failure, of several shards' the worst; null while connected. */
                        lastError?: string | null;
                        /** Format: date-time */
                        since?: string;
                        /** @description The primaries of a cluster; absent for a single Redis. */
                        shards?: {
                            /** @description Those that answer the read of a key. */
                            up: number;
                            /** @description 0 while no map of the cluster is known. */
                            total: number;
                        };
                        /** @description The slots of a cluster, among which all conversations are shared out; absent for a single Redis. */
                        slots?: {
                            /** @description Those of the shards that are up. */
                            served: number;
                            total: number;
                        };
                    };
                    upstream?: {
                        outcome?: string;
                        /** Format: date-time */
                        at?: string;
                    };
                    authRequired?: boolean;
                    version?: string;
                    uptimeSeconds?: number;
                    warnings?: string[];
                };
            };
        };
        /** @description The request failed. */
        Problem: {
            headers: {
                traceparent: components["headers"]["Traceparent"];
                "Retry-After"?: number;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
    };
    parameters: {
        /** @description Makes it safe to repeat the request. Visible ASCII characters. */
        IdempotencyKey: string;
    };
    requestBodies: never;
    headers: {
        /** @description The span that answered, in version 00 of the W3C trace context. Its trace id is the traceId of a Problem. */
        Traceparent: string;
    };
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    start: {
        parameters: {
            query?: never;
            header?: {
                /** @description Makes it safe to repeat the request. Visible ASCII characters. */
                "Idempotency-Key"?: components["parameters"]["IdempotencyKey"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": Record<string, unknown>;
            };
        };
        responses: {
            200: components["responses"]["ChatAnswer"];
            default: components["responses"]["Problem"];
        };
    };
    send: {
        parameters: {
            query?: never;
            header?: {
                /** @description Makes it safe to repeat the request. Visible ASCII characters. */
                "Idempotency-Key"?: components["parameters"]["IdempotencyKey"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** Format: uuid */
                    conversationId: string;
                    text: components["schemas"]["Text"];
                    workflowContext?: components["schemas"]["WorkflowContext"];
                };
            };
        };
        responses: {
            200: components["responses"]["ChatAnswer"];
            default: components["responses"]["Problem"];
        };
    };
    cardAction: {
        parameters: {
            query?: never;
            header?: {
                /** @description Makes it safe to repeat the request. Visible ASCII characters. */
                "Idempotency-Key"?: components["parameters"]["IdempotencyKey"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** Format: uuid */
                    conversationId: string;
                    cardId: string;
                    userSummary: components["schemas"]["Text"];
                    /** @description What the card submits. The action, and the domain of a URL, must be on the configured allow lists. */
                    submitData: {
                        action: string;
                        /** Format: uri */
                        url?: string;
                    } & {
                        [key: string]: unknown;
                    };
                };
            };
        };
        responses: {
            200: components["responses"]["ChatAnswer"];
            default: components["responses"]["Problem"];
        };
    };
    orchestrate: {
        parameters: {
            query?: never;
            header?: {
                /** @description Makes it safe to repeat the request. Visible ASCII characters. */
                "Idempotency-Key"?: components["parameters"]["IdempotencyKey"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    query: components["schemas"]["Text"];
                    workflowContext?: components["schemas"]["WorkflowContext"];
                };
            };
        };
        responses: {
            /** @description The agent's answer, stored. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** Format: uuid */
                        conversationId: string;
                        messages: components["schemas"]["Message"][];
                        extractedPayload: components["schemas"]["Payload"] | null;
                        latencyMs: number;
                        workflowState: components["schemas"]["WorkflowState"];
                        conversationRestarted?: boolean;
                    };
                };
            };
            default: components["responses"]["Problem"];
        };
    };
    listConversations: {
        parameters: {
            query?: {
                limit?: number;
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One page. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        conversations: components["schemas"]["Conversation"][];
                        /** @description Absent on the last page. */
                        nextCursor?: string;
                        /** @description Number of conversations left out because their records do not decode. */
                        unreadable?: number;
                    };
                };
            };
            default: components["responses"]["Problem"];
        };
    };
    getConversation: {
        parameters: {
            query?: {
                /** @description At most so many messages, if they are not of one turn. */
                limit?: number;
                /** @description The page before this turn. Not together with `after`. */
                before?: number;
                /** @description The page after this turn. */
                after?: number;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Conversation"];
            default: components["responses"]["Problem"];
        };
    };
    deleteConversation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Deleted. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            default: components["responses"]["Problem"];
        };
    };
    patchConversation: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @enum {string} */
                    status: "completed" | "abandoned";
                };
            };
        };
        responses: {
            200: components["responses"]["Conversation"];
            default: components["responses"]["Problem"];
        };
    };
    resumeStream: {
        parameters: {
            query?: never;
            header?: {
                /** @description The id of the last event that was received of the turn, from any instance. Without one, or with that of another turn, the stream begins with all that was said so far; deltas that were overtaken are left out. */
                "Last-Event-ID"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The turn's events, as in the stream that began it. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": string;
                };
            };
            /** @description No turn runs: what was said is in the conversation. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            default: components["responses"]["Problem"];
        };
    };
    stopTurn: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": Record<string, unknown>;
            };
        };
        responses: {
            /** @description The turn was told to stop. Its requests and streams are answered soon. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** Format: uuid */
                        conversationId: string;
                        /** @description The number of the turn. */
                        turn: number;
                        /** @constant */
                        stopped: true;
                    };
                };
            };
            /** @description No turn runs. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            default: components["responses"]["Problem"];
        };
    };
    health: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: components["responses"]["Health"];
            503: components["responses"]["Health"];
        };
    };
    livez: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The process runs. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    readyz: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Ready for requests, also while only some shards of Redis serve, which a warning tells; with READY_WITHOUT_STORE also while none does. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Not ready: starting, draining, or nothing of Redis serves. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    openAPI: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description This document. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/yaml": unknown;
                };
            };
        };
    };
    client: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The module. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/javascript": unknown;
                };
            };
            /** @description It is the one of If-None-Match. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    clientTypes: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The types. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": unknown;
                };
            };
            /** @description They are those of If-None-Match. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
}
