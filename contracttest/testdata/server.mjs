// A small server of Parley's API in another language, for the contract suite to be run
// against. It needs Node 18 or later and no packages. It has three defects on purpose,
// which the suite must name, and nothing else. DEFECTS chooses them:
//
//   status   a failure of Redis is answered 502, as if the agent had failed
//   lost     a turn that could not be stored is answered 200
//   endless  a call of Redis has no bound on its time
//
// Without DEFECTS it has all three; with DEFECTS= (empty) it has none.
//
// Settings: PORT, REDIS_URL (redis:// only), REDIS_PREFIX, REDIS_TIMEOUT (ms),
// REDIS_TTL (s), COPILOT_DIRECT_CONNECT_URL, COPILOT_STUB_TOKEN, COPILOT_TIMEOUT (ms);
// AUTH_JWKS_URL, AUTH_ISSUER, AUTH_AUDIENCE and ALLOWED_TENANT_IDS, without which everybody
// is one user.

import { AsyncLocalStorage } from 'node:async_hooks';
import crypto from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';

const env = process.env;
const defects = new Set((env.DEFECTS ?? 'status,lost,endless').split(',').filter(Boolean));
const redisURL = new URL(env.REDIS_URL ?? 'redis://127.0.0.1:6379');
const prefix = env.REDIS_PREFIX ?? 'small:';
const redisTimeout = Number(env.REDIS_TIMEOUT ?? 5000);
const ttl = Number(env.REDIS_TTL ?? 86400);
const agentURL = env.COPILOT_DIRECT_CONNECT_URL;
const agentToken = env.COPILOT_STUB_TOKEN ?? '';
const agentTimeout = Number(env.COPILOT_TIMEOUT ?? 30000);

const MAX_BODY = 256 * 1024;
const MAX_ANSWER = 4 * 1024 * 1024;

class Failure extends Error {
  constructor(status, why, reply = '') {
    super(why);
    this.status = status;
    this.reply = reply; // of Redis, where it is one
  }
}

// client is what a URL is asked with.
const client = (url) => (new URL(url).protocol === 'https:' ? https : http);

// ---- Redis: a connection for each command, so that none can spoil the next ----

const CRLF = '\r\n';

function encode(args) {
  let text = `*${args.length}${CRLF}`;
  for (const a of args) text += `$${Buffer.byteLength(String(a))}${CRLF}${a}${CRLF}`;
  return text;
}

// parse reads one reply at an offset. It returns undefined while the reply is not
// whole, and throws at what is none.
function parse(buffer, at) {
  const end = buffer.indexOf(CRLF, at);
  if (end < 0) {
    if (buffer.length - at > 64 * 1024 || (buffer.length > at && !'+-:$*'.includes(String.fromCharCode(buffer[at])))) throw new Error('not RESP');
    return undefined;
  }
  const line = buffer.toString('utf8', at + 1, end);
  const next = end + 2;
  const number = Number(line);
  switch (String.fromCharCode(buffer[at])) {
    case '+': return { value: line, next };
    case '-': return { value: new Error(line), next };
    case ':': return { value: number, next };
    case '$':
      if (number === -1) return { value: null, next };
      if (!(number >= 0)) throw new Error('not RESP');
      if (buffer.length < next + number + 2) return undefined;
      return { value: buffer.toString('utf8', next, next + number), next: next + number + 2 };
    case '*': {
      if (number === -1) return { value: null, next };
      if (!(number >= 0)) throw new Error('not RESP');
      const value = [];
      let from = next;
      for (let i = 0; i < number; i++) {
        const item = parse(buffer, from);
        if (item === undefined) return undefined;
        value.push(item.value);
        from = item.next;
      }
      return { value, next: from };
    }
    default: throw new Error('not RESP');
  }
}

// The begin of a request, and its commit, may wait for Redis for redisTimeout in all.
const budget = new AsyncLocalStorage();
const bounded = (work) => budget.run(Date.now() + redisTimeout, work);

// redis sends one command. The reply must be of a kind: 'string' (or none), 'number',
// 'ok' or 'list'.
function redis(kind, args, timeout = defects.has('endless') ? 0 : Math.max(1, budget.getStore() - Date.now())) {
  const commands = [];
  if (redisURL.password) commands.push(['AUTH', ...(redisURL.username ? [redisURL.username] : []), decodeURIComponent(redisURL.password)]);
  commands.push(args);
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: redisURL.hostname, port: Number(redisURL.port || 6379) });
    let received = Buffer.alloc(0);
    const timer = timeout > 0 && setTimeout(() => fail('Redis takes too long'), timeout);
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
    };
    const fail = (why, reply) => {
      done();
      reject(new Failure(defects.has('status') ? 502 : 503, why, reply));
    };
    socket.setNoDelay(true);
    socket.on('connect', () => socket.write(commands.map(encode).join('')));
    socket.on('error', () => fail('Redis cannot be reached'));
    socket.on('close', () => fail('Redis closed the connection'));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      try {
        let at = 0;
        let reply;
        for (let i = 0; i < commands.length; i++) {
          reply = parse(received, at);
          if (reply === undefined) return;
          if (reply.value instanceof Error) return fail('Redis refuses', reply.value.message);
          at = reply.next;
        }
        const { value } = reply;
        const fits = kind === 'string' ? value === null || typeof value === 'string'
          : kind === 'ok' ? value === 'OK'
            : kind === 'list' ? Array.isArray(value) : typeof value === 'number';
        if (!fits) return fail('Redis answers something else');
        done();
        resolve(value);
      } catch {
        fail('what answers is not Redis');
      }
    });
  });
}

const metaKey = (owner, id) => `${prefix}c:${owner}:${id}`;
const listKey = (owner, id) => `${prefix}m:${owner}:${id}`;
const indexKey = (owner) => `${prefix}u:${owner}`;

async function load(owner, id) {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) throw new Failure(400, 'conversationId is no UUID');
  const text = await redis('string', ['GET', metaKey(owner, id)]);
  if (text === null) throw new Failure(404, 'no such conversation');
  let conversation;
  try {
    conversation = JSON.parse(text);
  } catch {
    throw new Failure(defects.has('status') ? 502 : 503, 'what Redis holds cannot be read');
  }
  if (!conversation.upstream) throw new Failure(404, 'no such conversation');
  return conversation;
}

async function saveMeta(owner, conversation) {
  conversation.updatedAt = new Date().toISOString();
  await redis('ok', ['SET', metaKey(owner, conversation.conversationId), JSON.stringify(conversation), 'EX', ttl]);
}

async function push(owner, id, messages) {
  if (messages.length === 0) return;
  await redis('number', ['RPUSH', listKey(owner, id), ...messages.map((m) => JSON.stringify(m))]);
  await redis('number', ['EXPIRE', listKey(owner, id), ttl]);
}

// commit stores what the agent answered.
async function commit(owner, conversation, messages) {
  try {
    await bounded(() => Promise.all([
      push(owner, conversation.conversationId, messages),
      saveMeta(owner, conversation),
      redis('number', ['ZADD', indexKey(owner), Date.now(), conversation.conversationId])
        .then(() => redis('number', ['EXPIRE', indexKey(owner), ttl])),
    ]));
  } catch (err) {
    if (!defects.has('lost')) throw err;
  }
}

// ---- the agent ----

// ask sends one request to the agent and gives the messages of its answer.
function ask(path, body) {
  const url = new URL(agentURL);
  url.pathname = `${url.pathname.replace(/\/$/, '')}/conversations${path}`;
  url.searchParams.set('api-version', '2022-03-01-preview');
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(504, 'the agent takes too long'), agentTimeout);
    let request;
    const fail = (status, why) => {
      clearTimeout(timer);
      request?.destroy();
      reject(new Failure(status, why));
    };
    const text = JSON.stringify(body);
    request = client(url).request(url, {
      method: 'POST', agent: false,
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${agentToken}`, 'content-length': Buffer.byteLength(text) },
    });
    request.on('error', () => fail(502, 'the agent cannot be reached'));
    request.on('response', (response) => {
      if (response.statusCode !== 200 || !/^text\/event-stream/.test(response.headers['content-type'] ?? '')) return fail(502, 'the agent refuses');
      const messages = [];
      let rest = '';
      let size = 0;
      let ended = false;
      response.setEncoding('utf8');
      response.on('error', () => fail(502, 'the agent broke off'));
      response.on('aborted', () => fail(502, 'the agent broke off'));
      response.on('data', (chunk) => {
        size += chunk.length;
        if (size > MAX_ANSWER) return fail(502, 'the agent says too much');
        const events = (rest + chunk).split('\n\n');
        rest = events.pop();
        for (const event of events) {
          const name = /^event: ?(.*)$/m.exec(event)?.[1];
          if (name === 'end') ended = true;
          if (name !== 'activity') continue;
          let activity;
          try {
            activity = JSON.parse(/^data: ?(.*)$/m.exec(event)?.[1] ?? '');
          } catch {
            return fail(502, 'the agent says something that is not JSON');
          }
          if (activity.type === 'message' && activity.text) {
            messages.push({ id: crypto.randomUUID(), role: 'assistant', kind: 'text', text: activity.text });
          }
        }
      });
      response.on('end', () => {
        if (!ended) return fail(502, 'the agent broke off');
        clearTimeout(timer);
        resolve({ upstream: response.headers['x-ms-conversationid'], messages });
      });
    });
    request.end(text);
  });
}

// ---- who asks ----

const fromBase64 = (text) => Buffer.from(text, 'base64url');
let keys;

const getJSON = async (url) => (await fetch(url, { signal: AbortSignal.timeout(5000) })).json();

// ownerOf verifies the caller's token.
async function ownerOf(request) {
  if (!env.AUTH_JWKS_URL) return 'dev:anonymous';
  const [, token] = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/.exec(request.headers.authorization ?? '') ?? [];
  if (!token) throw new Failure(401, 'a bearer token is needed');
  const [head, body, signature] = token.split('.');
  let header;
  let claims;
  try {
    header = JSON.parse(fromBase64(head));
    claims = JSON.parse(fromBase64(body));
  } catch {
    throw new Failure(401, 'the token cannot be read');
  }
  try {
    if (!keys?.some((k) => k.kid === header.kid)) ({ keys } = await getJSON(env.AUTH_JWKS_URL));
  } catch {
    throw new Failure(503, 'the issuer cannot be reached');
  }
  const jwk = keys.find((k) => k.kid === header.kid);
  const known = (header.alg === 'RS256' && jwk?.kty === 'RSA') || (header.alg === 'ES256' && jwk?.kty === 'EC');
  const good = known && crypto.verify('sha256', Buffer.from(`${head}.${body}`), { key: crypto.createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }, fromBase64(signature));
  const now = Date.now() / 1000;
  const audience = !env.AUTH_AUDIENCE || env.AUTH_AUDIENCE.split(',').includes(claims.aud);
  if (!good || !(claims.exp > now - 30) || claims.nbf > now + 30 || claims.iss !== env.AUTH_ISSUER || !audience || !claims.tid || !claims.oid) throw new Failure(401, 'the token is not valid');
  if (!env.ALLOWED_TENANT_IDS?.split(',').includes(claims.tid)) throw new Failure(403, 'the tenant is not allowed');
  return crypto.createHash('sha256').update(JSON.stringify([claims.tid, claims.oid])).digest('hex').slice(0, 32);
}

// ---- routes ----

const said = (text) => ({ id: crypto.randomUUID(), role: 'user', kind: 'text', text });

async function start(owner) {
  const now = new Date().toISOString();
  const conversation = { conversationId: crypto.randomUUID(), status: 'active', createdAt: now, updatedAt: now };
  await saveMeta(owner, conversation); // what cannot be stored is not asked
  const answer = await ask('', { emitStartConversationEvent: true });
  conversation.upstream = answer.upstream;
  await commit(owner, conversation, answer.messages);
  return [200, { conversationId: conversation.conversationId, messages: answer.messages }];
}

async function send(owner, body) {
  const { conversationId, text } = body;
  if (typeof conversationId !== 'string' || typeof text !== 'string' || text === '') throw new Failure(400, 'conversationId and text are needed');
  const conversation = await load(owner, conversationId);
  if (conversation.status !== 'active') throw new Failure(409, 'the conversation is closed');
  await push(owner, conversationId, [said(text)]);
  const answer = await ask(`/${encodeURIComponent(conversation.upstream)}`, { activity: { type: 'message', text, from: { role: 'user' }, conversation: { id: conversation.upstream } } });
  await commit(owner, conversation, answer.messages);
  return [200, { conversationId, messages: answer.messages }];
}

async function read(owner, id) {
  const { upstream, ...conversation } = await load(owner, id);
  const messages = await redis('list', ['LRANGE', listKey(owner, id), 0, -1]);
  return [200, { ...conversation, messages: messages.map((m) => JSON.parse(m)) }];
}

async function list(owner) {
  const ids = await redis('list', ['ZREVRANGE', indexKey(owner), 0, 49]);
  const found = await Promise.all(ids.map((id) => redis('string', ['GET', metaKey(owner, id)])));
  return [200, { conversations: found.filter(Boolean).map((text) => { const { upstream, ...rest } = JSON.parse(text); return rest; }) }];
}

async function change(owner, id, body) {
  if (!['completed', 'abandoned'].includes(body.status)) throw new Failure(400, 'status is completed or abandoned');
  const conversation = await load(owner, id);
  conversation.status = body.status;
  await saveMeta(owner, conversation);
  const { upstream, ...rest } = conversation;
  return [200, rest];
}

async function remove(owner, id) {
  await load(owner, id);
  await Promise.all([redis('number', ['ZREM', indexKey(owner), id]), redis('number', ['DEL', metaKey(owner, id), listKey(owner, id)])]);
  return [204];
}

async function health() {
  try {
    if (await redis('string', ['PING'], 1000) !== 'PONG') throw new Error('no PONG');
    return [200, { status: 'ok', redis: 'connected' }];
  } catch (err) {
    // It can be reached, and refuses writes.
    if (err.reply?.startsWith('MISCONF')) return [200, { status: 'ok', redis: 'connected' }];
    return [503, { status: 'degraded', redis: 'disconnected' }];
  }
}

function bodyOf(request) {
  return new Promise((resolve, reject) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('error', reject);
    request.on('data', (chunk) => {
      text += chunk;
      if (text.length > MAX_BODY) reject(new Failure(413, 'the body is too large'));
    });
    request.on('end', () => {
      try {
        const body = text === '' ? {} : JSON.parse(text);
        if (body === null || typeof body !== 'object' || Array.isArray(body)) throw new Error('no object');
        resolve(body);
      } catch {
        reject(new Failure(400, 'the body is not a JSON object'));
      }
    });
  });
}

async function route(request) {
  const { pathname } = new URL(request.url, 'http://localhost');
  const asked = `${request.method} ${pathname}`;
  if (asked === 'GET /livez') return [200, { status: 'ok' }];
  if (asked === 'GET /health') return health();
  const owner = await ownerOf(request);
  const one = /^\/api\/chat\/conversations\/([^/]+)$/.exec(pathname)?.[1];
  if (one && request.method === 'GET') return read(owner, one);
  if (one && request.method === 'DELETE') return remove(owner, one);
  if (asked === 'GET /api/chat/conversations') return list(owner);
  const body = await bodyOf(request);
  if (one && request.method === 'PATCH') return change(owner, one, body);
  if (asked === 'POST /api/chat/start') return start(owner);
  if (asked === 'POST /api/chat/send') return send(owner, body);
  throw new Failure(404, 'no such route');
}

const server = http.createServer(async (request, response) => {
  let status;
  let body;
  try {
    [status, body] = await bounded(() => route(request));
  } catch (err) {
    status = err instanceof Failure ? err.status : 500;
    body = { error: err instanceof Failure ? err.message : 'internal error' };
  }
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(body === undefined ? undefined : JSON.stringify(body));
});

server.listen(Number(env.PORT ?? 8080), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
