// A client of Parley for browsers and for Node 18 or later: one ES module without
// dependencies. Its types are in client.d.ts.
//
//   import { Client, ProblemError } from '/client.js';
//   const parley = new Client({ token: () => signIn.accessToken() });
//   const { conversationId } = await parley.start();
//   const answer = await parley.send({ conversationId, text: 'hello' }, { onDelta: (d) => show(d.text) });
//
// Every request that runs a turn has an idempotency key, so a repeat is answered with
// what the first attempt came to. What is retryable is repeated, after the time that
// Retry-After says. A stream that breaks off is resumed where it was.

/** @import { components, operations } from './openapi.js' */

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
  constructor(message, { status = 0, retryable = false, retryAfter, cause }) {
    super(message, { cause });
    this.name = new.target.name;
    /** The HTTP status; 0 if there was no answer. */
    this.status = status;
    /** Whether the same request may succeed later. */
    this.retryable = retryable;
    /** Milliseconds that the server asks to wait before; undefined if it does not say. */
    this.retryAfter = retryAfter;
  }
}

/** Parley says why it failed. */
export class ProblemError extends ParleyError {
  /**
   * @param {Problem} problem
   * @param {number} [retryAfter] milliseconds
   */
  constructor(problem, retryAfter) {
    super(`${problem.status} ${problem.class}: ${problem.detail}`, { status: problem.status, retryable: problem.retryable, retryAfter });
    /** @type {Problem} */
    this.problem = problem;
    /** @type {FailureClass} */
    this.class = problem.class;
    this.traceId = problem.traceId;
  }
}

/** There was no answer of Parley: none at all, half of one, or one of something between. */
export class ConnectionError extends ParleyError {}

/** The API of one Parley. */
export class Client {
  #base; #token; #attempts; #patience; #silence; #fetch; #onExchange;

  /** @param {ClientOptions} [options] */
  constructor({ base = '', token, attempts = 4, patience = 60_000, silence = 45_000, fetch, onExchange } = {}) {
    this.#base = base.replace(/\/+$/, '');
    this.#token = token;
    this.#attempts = attempts;
    this.#patience = patience;
    this.#silence = silence;
    this.#fetch = fetch ?? ((input, init) => globalThis.fetch(input, init));
    this.#onExchange = onExchange;
  }

  /**
   * Starts a conversation; the answer is the agent's greeting.
   * @param {TurnOptions & StreamOptions} [options]
   * @returns {Promise<ChatAnswer>}
   */
  start(options = {}) { return this.#turn('start', {}, options); }

  /**
   * Sends a message; the answer is what the agent replied.
   * @param {SendRequest} request
   * @param {TurnOptions & StreamOptions} [options]
   * @returns {Promise<ChatAnswer>}
   */
  send(request, options = {}) { return this.#turn('send', request, options, request.conversationId); }

  /**
   * Submits a card; the answer is what the agent replied.
   * @param {CardActionRequest} request
   * @param {TurnOptions & StreamOptions} [options]
   * @returns {Promise<ChatAnswer>}
   */
  cardAction(request, options = {}) { return this.#turn('card-action', request, options, request.conversationId); }

  /**
   * Starts a conversation with one message.
   * @param {OrchestrateRequest} request
   * @param {TurnOptions} [options]
   * @returns {Promise<OrchestrateAnswer>}
   */
  orchestrate(request, { signal, key = newKey() } = {}) {
    return this.#call({ method: 'POST', path: 'orchestrate', body: request, key, signal });
  }

  /**
   * Lists the conversations, newest first, a page at a time.
   * @param {ListQuery} [query]
   * @param {CallOptions} [options]
   * @returns {Promise<Listing>}
   */
  list(query = {}, { signal } = {}) { return this.#call({ method: 'GET', path: 'conversations' + search(query), signal }); }

  /**
   * Reads a conversation with a page of its messages, the newest unless the query says.
   * @param {string} id
   * @param {ConversationQuery} [query]
   * @param {CallOptions} [options]
   * @returns {Promise<Conversation>}
   */
  conversation(id, query = {}, { signal } = {}) { return this.#call({ method: 'GET', path: at(id) + search(query), signal }); }

  /**
   * Closes a conversation.
   * @param {string} id
   * @param {'completed' | 'abandoned'} status
   * @param {CallOptions} [options]
   * @returns {Promise<Conversation>}
   */
  setStatus(id, status, { signal } = {}) { return this.#call({ method: 'PATCH', path: at(id), body: { status }, signal }); }

  /**
   * Deletes a conversation. One that an earlier attempt has deleted is no failure.
   * @param {string} id
   * @param {CallOptions} [options]
   * @returns {Promise<void>}
   */
  async delete(id, { signal } = {}) {
    let unsure = false;
    await this.#repeat(signal, async () => {
      try {
        await this.#exchange({ method: 'DELETE', path: at(id), signal }, async () => {});
      } catch (error) {
        if (unsure && error instanceof ProblemError && error.class === 'not_found') return;
        unsure = true;
        throw error;
      }
    });
  }

  /**
   * Ends the turn that runs in a conversation. What was said until then is its answer.
   * @param {string} id
   * @param {TurnOptions} [options]
   * @returns {Promise<Stopped | null>} null if no turn runs.
   */
  stop(id, { signal, key = newKey() } = {}) { return this.#call({ method: 'POST', path: `${at(id)}/stop`, body: {}, key, signal }); }

  /**
   * Follows the turn that runs in a conversation, whoever began it.
   * @param {string} id
   * @param {CallOptions & StreamOptions & FollowOptions} [options]
   * @returns {Promise<ChatAnswer | null>} null if none runs, or none any more: what was said is in the conversation.
   */
  follow(id, { signal, onDelta, onMessage, lastEventId } = {}) {
    const reader = new TurnReader({ onDelta, onMessage, position: lastEventId });
    return this.#repeat(signal, () => this.#resume(id, reader, signal), reader);
  }

  /**
   * @param {string} path
   * @param {object} body
   * @param {TurnOptions & StreamOptions} options
   * @param {string} [conversation] where the turn can be followed; unknown while it is being started
   * @returns {Promise<ChatAnswer>}
   */
  #turn(path, body, { signal, key = newKey(), onDelta, onMessage }, conversation) {
    if (!onDelta && !onMessage) return this.#call({ method: 'POST', path, body, key, signal });
    const reader = new TurnReader({ onDelta, onMessage });
    return this.#repeat(signal, async () => {
      if (conversation && reader.cut) {
        const answer = await this.#resume(conversation, reader, signal);
        if (answer) return answer;
      }
      // The key leads to the turn, whether it runs or is over.
      const answer = await this.#stream({ method: 'POST', path, body, key, signal }, reader);
      return /** @type {ChatAnswer} */ (answer);
    }, reader);
  }

  /**
   * @param {string} id
   * @param {TurnReader} reader
   * @param {AbortSignal} [signal]
   */
  #resume(id, reader, signal) {
    return this.#stream({ method: 'GET', path: `${at(id)}/stream`, position: reader.position, signal }, reader);
  }

  /**
   * @param {Attempt} attempt
   * @param {TurnReader} reader
   * @returns {Promise<ChatAnswer | null>} null for 204, and for another turn than the reader's
   */
  #stream(attempt, reader) {
    reader.begin(attempt.method === 'POST');
    return this.#exchange({ ...attempt, accept: 'text/event-stream' }, async (response, exchange) => {
      if (response.status === 204) return null;
      if (!(response.headers.get('Content-Type') ?? '').startsWith('text/event-stream') || !response.body) throw foreign(response);
      exchange.streamed = true;
      for await (const event of readEvents(response.body, this.#silence)) {
        if (event.comment?.startsWith(' server-timing ')) exchange.timing = timingOf(event.comment.slice(15));
        if (event.name === undefined) continue;
        const answer = reader.take(event);
        if (answer !== undefined) return answer;
      }
      throw new ConnectionError('the stream ended before its last event', { status: response.status, retryable: true });
    }, () => { reader.cut = reader.position !== undefined; });
  }

  /**
   * @template T
   * @param {Attempt} attempt
   * @returns {Promise<T>}
   */
  #call(attempt) {
    return this.#repeat(attempt.signal, () => this.#exchange(attempt, async (response) => {
      if (response.status === 204) return null;
      try {
        return await response.json();
      } catch (cause) {
        throw new ConnectionError('the answer is not whole', { status: response.status, retryable: true, cause });
      }
    }));
  }

  /**
   * Tries until the outcome is final.
   * @template T
   * @param {AbortSignal | undefined} signal
   * @param {() => Promise<T>} attempt
   * @param {TurnReader} [reader]
   */
  async #repeat(signal, attempt, reader) {
    for (let tried = 1, left = this.#patience; ; tried++) {
      try {
        return await attempt();
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof ParleyError) || !error.retryable) throw error;
        if (reader?.grown && error instanceof ConnectionError) [tried, left] = [0, this.#patience];
        const wait = error.retryAfter ?? Math.random() * 400 * 2 ** tried;
        if (tried >= this.#attempts || wait > left) throw error;
        left -= wait;
        await pause(wait, signal);
      }
    }
  }

  /**
   * Makes one attempt, and reports what came of it.
   * @template T
   * @param {Attempt} attempt
   * @param {(response: Response, exchange: Exchange) => Promise<T>} read
   * @param {() => void} [broken] called when the answer broke off
   * @returns {Promise<T>}
   */
  async #exchange({ method, path, body, key = '', accept = 'application/json', position, signal }, read, broken) {
    const began = performance.now();
    /** @type {Exchange} */
    const exchange = { method, path: `/api/chat/${path}`, status: 0, class: '', requestId: '', traceId: '', key, timing: {}, duration: 0, streamed: false, replayed: false };
    // The body of an answer that is not read to its end is given up with this.
    const own = new AbortController();
    const abort = () => own.abort(signal?.reason);
    signal?.addEventListener('abort', abort);
    try {
      signal?.throwIfAborted();
      const token = typeof this.#token === 'function' ? await this.#token() : this.#token;
      /** @type {Record<string, string>} */
      const headers = { Accept: accept };
      if (token) headers.Authorization = `Bearer ${token}`;
      if (body !== undefined) headers['Content-Type'] = 'application/json';
      if (key) headers['Idempotency-Key'] = key;
      if (position) headers['Last-Event-ID'] = position;
      const response = await this.#fetch(this.#base + exchange.path, {
        method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: own.signal, cache: 'no-store',
      }).catch((cause) => { throw new ConnectionError('the connection failed', { retryable: true, cause }); });
      const header = (/** @type {string} */ name) => response.headers.get(name) ?? '';
      exchange.status = response.status;
      exchange.requestId = header('X-Request-Id');
      exchange.traceId = header('traceparent').split('-')[1] ?? '';
      exchange.timing = timingOf(header('Server-Timing'));
      exchange.replayed = header('Idempotency-Replayed') === 'true';
      if (!response.ok) throw await failureOf(response);
      return await read(response, exchange);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ProblemError) [exchange.class, exchange.problem] = [error.class, error.problem];
      else broken?.();
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
      own.abort();
      exchange.duration = performance.now() - began;
      this.#onExchange?.(exchange);
    }
  }
}

/**
 * @typedef {object} Attempt
 * @property {string} method
 * @property {string} path
 * @property {object} [body]
 * @property {string} [key]
 * @property {string} [accept]
 * @property {string} [position]
 * @property {AbortSignal} [signal]
 */

/** Reads the events of one turn, from however many streams it takes. */
class TurnReader {
  /** @param {StreamOptions & {position?: string}} options */
  constructor({ onDelta, onMessage, position }) {
    this.onDelta = onDelta;
    this.onMessage = onMessage;
    /** The id of the last event. */
    this.position = position;
    /** Whether the last stream broke off after an event. */
    this.cut = false;
    /** Whether the last stream brought anything new. */
    this.grown = false;
    /** @type {string | undefined} */
    this.run = undefined;
    /** @type {Set<string>} */
    this.whole = new Set();
    /** @type {Map<string, string>} */
    this.written = new Map();
  }

  /**
   * A new stream begins: of the same run of the turn, or of whichever a repeated
   * request leads to.
   * @param {boolean} any
   */
  begin(any) {
    this.cut = this.grown = false;
    if (any) this.run = undefined;
  }

  /**
   * @param {{name?: string, id?: string, data: string}} event
   * @returns {ChatAnswer | null | undefined} the answer, if that was the last event; null if this is another turn
   */
  take({ name, id, data }) {
    const run = id?.split('-')[0];
    if (this.run !== undefined && run !== undefined && run !== this.run) return null;
    this.run = run;
    this.position = id;
    const body = parsed(data);
    switch (name) {
      case 'delta':
        this.delta(body);
        return undefined;
      case 'message':
        this.message(body);
        return undefined;
      case 'done':
        for (const m of body.messages) this.message(m);
        return body;
      case 'error':
        throw new ProblemError(body);
    }
    return undefined;
  }

  /** @param {Delta} delta */
  delta(delta) {
    if (this.whole.has(delta.messageId) || this.written.get(delta.messageId) === delta.text) return;
    this.written.set(delta.messageId, delta.text);
    this.grown = true;
    this.onDelta?.(delta);
  }

  /** @param {Message} message */
  message(message) {
    if (this.whole.has(message.id)) return;
    this.whole.add(message.id);
    this.grown = true;
    this.onMessage?.(message);
  }
}

/**
 * Reads server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html.
 * An event has a name; a comment has none.
 * @param {ReadableStream<Uint8Array>} body
 * @param {number} silence
 * @returns {AsyncGenerator<{name?: string, id?: string, data: string, comment?: string}>}
 */
async function* readEvents(body, silence) {
  let name = '', data = /** @type {string[]} */ ([]), id = /** @type {string | undefined} */ (undefined);
  for await (const line of readLines(body, silence)) {
    if (line === '') {
      if (data.length > 0) yield { name: name || 'message', id, data: data.join('\n') };
      [name, data] = ['', []];
      continue;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1);
    const bare = value.startsWith(' ') ? value.slice(1) : value;
    switch (field) {
      case '': yield { data: '', comment: value }; break;
      case 'event': name = bare; break;
      case 'data': data.push(bare); break;
      case 'id': id = bare; break;
    }
  }
}

/**
 * @param {ReadableStream<Uint8Array>} body
 * @param {number} silence
 */
async function* readLines(body, silence) {
  const reader = body.getReader(), decoder = new TextDecoder();
  let pieces = /** @type {string[]} */ ([]), afterCR = false;
  try {
    for (;;) {
      const { done, value } = await within(silence, reader.read());
      if (done) return; // a line without an end is no line
      let text = decoder.decode(value, { stream: true });
      if (text === '') continue;
      if (afterCR && text.startsWith('\n')) text = text.slice(1);
      afterCR = text.endsWith('\r');
      const parts = text.split(/\r\n|\n|\r/);
      const last = /** @type {string} */ (parts.pop());
      for (const part of parts) {
        yield pieces.join('') + part;
        pieces = [];
      }
      if (last !== '') pieces.push(last);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * @template T
 * @param {number} limit milliseconds
 * @param {Promise<T>} work
 * @returns {Promise<T>}
 */
async function within(limit, work) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const read = work.catch((cause) => { throw new ConnectionError('the stream broke off', { status: 200, retryable: true, cause }); });
  try {
    return await Promise.race([read, new Promise((_, fail) => {
      timer = setTimeout(() => fail(new ConnectionError('the stream is silent', { status: 200, retryable: true })), limit);
    })]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Waits, and throws the signal's reason as soon as it is aborted.
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function pause(ms, signal) {
  return new Promise((done, fail) => {
    const abort = () => { clearTimeout(timer); fail(signal?.reason); };
    const timer = setTimeout(() => { signal?.removeEventListener('abort', abort); done(); }, ms);
    signal?.addEventListener('abort', abort, { once: true });
  });
}

/**
 * @param {Response} response
 * @returns {Promise<ParleyError>}
 */
async function failureOf(response) {
  if ((response.headers.get('Content-Type') ?? '').startsWith('application/problem+json')) {
    const problem = await response.json().catch(() => undefined);
    if (typeof problem?.class === 'string') return new ProblemError(problem, retryAfterOf(response));
  }
  return foreign(response);
}

/**
 * The failure of an answer that is not Parley's, such as a proxy's.
 * @param {Response} response
 */
function foreign(response) {
  const { status } = response;
  return new ConnectionError(`status ${status}, and no answer of Parley`, { status, retryable: status === 429 || status >= 500, retryAfter: retryAfterOf(response) });
}

/**
 * Reads Retry-After, which is seconds or a date (RFC 9110, section 10.2.3).
 * @param {Response} response
 * @returns {number | undefined} milliseconds
 */
function retryAfterOf(response) {
  const value = response.headers.get('Retry-After');
  if (!value) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/**
 * Reads Server-Timing: name;dur=milliseconds, …
 * @param {string} value
 * @returns {{store?: number, upstream?: number}}
 */
function timingOf(value) {
  return Object.fromEntries([...value.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, ms]) => [name, Number(ms)]));
}

/** @param {string} data */
function parsed(data) {
  try {
    return JSON.parse(data);
  } catch (cause) {
    throw new ConnectionError('an event that is no JSON', { status: 200, cause });
  }
}

/** @param {string} id */
function at(id) { return `conversations/${encodeURIComponent(id)}`; }

/** @param {object} query */
function search(query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  return given.length === 0 ? '' : `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}

/**
 * Makes an idempotency key. It need not be secret, only new; randomUUID is missing where
 * a page came over plain http.
 * @returns {string}
 */
function newKey() {
  const bytes = new Uint8Array(16);
  if (globalThis.crypto) globalThis.crypto.getRandomValues(bytes);
  else for (let i = 0; i < bytes.length; i++) bytes[i] = Math.random() * 256;
  return [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
}
