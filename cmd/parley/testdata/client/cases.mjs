// What front ends rely on in client.js, each case against two running instances. The
// test in Go runs one case at a time and lets it break things by way of CONTROL.
import assert from 'node:assert/strict';

const [base, controls] = [process.env.PARLEY, process.env.CONTROL];

/** control asks the test to do something, or what happened. */
async function control(path, parameters = {}) {
  const answer = await fetch(`${controls}/${path}?${new URLSearchParams(parameters)}`);
  return answer.json();
}

/** until waits for a condition. */
async function until(condition) {
  while (!await condition()) await new Promise((done) => setTimeout(done, 10));
}

// The client as it is served, not as it lies in the repository.
async function load() {
  const script = await (await fetch(`${base}/client.js`)).text();
  return import(`data:text/javascript;base64,${Buffer.from(script).toString('base64')}`);
}

const story = 'A renewal takes eleven days, and a new card takes nine.';
let Client, ProblemError, ConnectionError;

/** recording makes a client, and the list of what came of its attempts. */
function recording(options = {}) {
  const exchanges = [];
  return { parley: new Client({ base, onExchange: (e) => exchanges.push(e), ...options }), exchanges };
}

/** failure is what a promise is rejected with. */
const failure = (promise) => promise.then(() => assert.fail('it did not fail'), (error) => error);
const texts = (answer) => answer.messages.filter((m) => m.role === 'assistant').map((m) => m.text);
const problem = (status, cls, retryable) => JSON.stringify({
  type: `urn:parley:problem:${cls}`, title: cls, status, detail: 'tested', class: cls, error: cls, message: 'tested', retryable, traceId: '0'.repeat(32),
});
const refuse = (status, after, body = problem(status, 'overloaded', true), type = 'application/problem+json') =>
  control('balancer/refuse', { status, after, type, body });

/** streamOf answers with these bytes, as they are cut. */
function streamOf(pieces) {
  const bytes = new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  return new Response(bytes, { headers: { 'Content-Type': 'text/event-stream' } });
}
const event = (id, name, data) => `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
const doneOf = (text) => ({ conversationId: 'c', messages: [{ id: 'm', turn: 1, role: 'assistant', kind: 'text', text }], workflowState: {} });

const cases = {
  async 'a conversation from its start to its deletion'() {
    const { parley, exchanges } = recording();
    const { conversationId: id } = await parley.start();
    assert.deepEqual(texts(await parley.send({ conversationId: id, text: 'hello' })), ['You said (turn 1): hello']);
    assert.ok((await parley.list({ limit: 50 })).conversations.some((c) => c.conversationId === id));
    assert.equal((await parley.conversation(id, { after: 0 })).messages.length, 2);
    assert.equal((await parley.setStatus(id, 'completed')).status, 'completed');
    await parley.delete(id);
    const error = await failure(parley.conversation(id));
    assert.ok(error instanceof ProblemError);
    assert.equal(error.class, 'not_found');
    assert.equal(error.problem.traceId, exchanges.at(-1).traceId);
    const [start, send] = exchanges;
    assert.match(start.key, /^[!-~]{16,255}$/);
    assert.notEqual(start.key, send.key);
    assert.ok(send.timing.upstream > 0 && send.duration > 0 && send.requestId !== '' && /^[0-9a-f]{32}$/.test(send.traceId), JSON.stringify(send));
  },

  async 'a card is answered, and one that may not be is refused with its field'() {
    const { parley } = recording();
    const { conversationId } = await parley.start();
    const card = (await parley.send({ conversationId, text: '/card' })).messages.find((m) => m.kind === 'adaptiveCard');
    const submit = (action) => parley.cardAction({ conversationId, cardId: card.cardId ?? card.id, userSummary: 'Sent', submitData: { action, applied: '2026-01-01' } });
    assert.ok(texts(await submit('Action.Submit')).length > 0);
    const error = await failure(submit('Action.Execute'));
    assert.deepEqual([error.class, error.status, error.problem.field], ['forbidden', 403, 'submitData.action']);
  },

  async 'a conversation in one call'() {
    const answer = await recording().parley.orchestrate({ query: '/payload value', workflowContext: { step: 'ask' } });
    assert.equal(answer.extractedPayload.data.product, 'Standing desk');
  },

  async 'a dead store is a typed 503, and the agent is not asked'() {
    const { parley, exchanges } = recording({ attempts: 1 });
    const { conversationId } = await parley.start();
    await control('store/away');
    const error = await failure(parley.send({ conversationId, text: 'while the store is away' }));
    await control('store/back');
    assert.ok(error instanceof ProblemError, String(error));
    assert.deepEqual([error.class, error.status, error.retryable, error.problem.stage], ['store_unreachable', 503, true, 'begin']);
    assert.ok(error.retryAfter >= 1000);
    assert.equal(exchanges.at(-1).class, 'store_unreachable');
    assert.equal(await control('agent/asked', { text: 'while the store is away' }), 0);
  },

  async 'a store that comes back in time is not noticed, and the agent is asked once'() {
    let failed = 0;
    const parley = new Client({ base, onExchange: (e) => { if (e.status === 503 && failed++ === 0) control('store/back'); } });
    const { conversationId } = await parley.start();
    await control('store/away');
    const answer = await parley.send({ conversationId, text: 'patience' });
    assert.ok(failed > 0);
    assert.deepEqual(texts(answer), ['You said (turn 1): patience']);
    assert.equal(await control('agent/asked', { text: 'patience' }), 1);
  },

  async 'a failing agent is a typed 502'() {
    const { parley, exchanges } = recording({ attempts: 1 });
    const { conversationId } = await parley.start();
    const error = await failure(parley.send({ conversationId, text: '/status 500' }));
    assert.deepEqual([error.class, error.status, error.problem.stage], ['upstream_error', 502, 'upstream']);
    assert.ok(exchanges.at(-1).timing.upstream > 0);
  },

  async 'the same key again is answered with the same, and the agent is asked once'() {
    const { parley, exchanges } = recording();
    const { conversationId } = await parley.start();
    const send = () => parley.send({ conversationId, text: 'once' }, { key: 'key-of-once' });
    assert.deepEqual((await send()).messages, (await send()).messages);
    assert.deepEqual(exchanges.slice(1).map((e) => e.replayed), [false, true]);
    assert.equal(await control('agent/asked', { text: 'once' }), 1);
    const error = await failure(parley.send({ conversationId, text: 'twice' }, { key: 'key-of-once' }));
    assert.equal(error.class, 'idempotency_mismatch');
  },

  async 'an answer that was lost on its way is fetched with the same key'() {
    const { parley, exchanges } = recording();
    const { conversationId } = await parley.start();
    await control('balancer/choose', { instance: 0 });
    await control('agent/hold', { after: 0 });
    const answer = parley.send({ conversationId, text: 'lost' });
    await until(async () => await control('agent/holding') === 1);
    await control('balancer/choose', { instance: 1 });
    const came = await control('balancer/came', { path: '/api/chat/send' });
    await control('balancer/reset', { path: '/api/chat/send' });
    await until(async () => await control('balancer/came', { path: '/api/chat/send' }) > came);
    await control('agent/let-go');
    assert.deepEqual(texts(await answer), ['You said (turn 1): lost']);
    assert.equal(await control('agent/asked', { text: 'lost' }), 1);
    assert.equal(new Set(exchanges.slice(1).map((e) => e.key)).size, 1);
  },

  async 'an answer is shown while it is written'() {
    const { parley, exchanges } = recording();
    const { conversationId } = await parley.start();
    await control('agent/hold', { after: 4 });
    const deltas = [], messages = [];
    const sent = parley.send({ conversationId, text: `/stream ${story}` }, { onDelta: (d) => deltas.push(d), onMessage: (m) => messages.push(m) });
    await until(() => deltas.at(-1)?.text === 'A renewal takes eleven');
    await control('agent/let-go');
    const answer = await sent;
    assert.deepEqual(messages, answer.messages);
    assert.equal(messages[0].text, story);
    assert.ok(deltas.every((d) => story.startsWith(d.text) && d.messageId === messages[0].id));
    const { streamed, timing } = exchanges.at(-1);
    assert.ok(streamed && timing.upstream > 0 && timing.store > 0, JSON.stringify(timing));
  },

  async 'a stream that is cut is resumed on another instance'() {
    const { parley, exchanges } = recording(), text = `/stream ${story} Cut.`;
    const { conversationId } = await parley.start();
    await control('balancer/choose', { instance: 0 });
    await control('agent/hold', { after: 4 });
    let last = '';
    const messages = [];
    const answer = parley.send({ conversationId, text }, {
      onDelta: (d) => { assert.ok(d.text.startsWith(last), `${d.text} after ${last}`); last = d.text; },
      onMessage: (m) => messages.push(m),
    });
    await until(() => last === 'A renewal takes eleven');
    await control('balancer/choose', { instance: 1 });
    await control('balancer/reset', { path: '/api/chat/send' });
    const path = `/api/chat/conversations/${conversationId}/stream`;
    await until(async () => await control('balancer/came', { path }) === 1);
    await control('agent/hold', { after: 7 });
    await until(() => last === 'A renewal takes eleven days, and a');
    await control('agent/let-go');
    assert.equal((await answer).messages[0].text, `${story} Cut.`);
    assert.equal(messages.length, 1);
    assert.deepEqual(exchanges.slice(1).map((e) => [e.method, e.path]), [['POST', '/api/chat/send'], ['GET', path]]);
    assert.equal(await control('agent/asked', { text }), 1);
  },

  async 'a stream that is silent for too long is taken for broken, and resumed'() {
    const { parley, exchanges } = recording({ silence: 500 });
    const { conversationId } = await parley.start();
    await control('agent/hold', { after: 4 });
    const answer = parley.send({ conversationId, text: `/stream ${story} Yes.` }, { onDelta: () => {} });
    await until(async () => await control('balancer/came', { path: `/api/chat/conversations/${conversationId}/stream` }) >= 1);
    await control('agent/let-go');
    assert.equal((await answer).messages[0].text, `${story} Yes.`);
    assert.equal(exchanges.at(-1).status, 200);
  },

  async 'a turn is followed by whoever comes later, and from where he was'() {
    const { parley } = recording();
    const { conversationId } = await parley.start();
    assert.equal(await parley.follow(conversationId), null);
    await control('agent/hold', { after: 4 });
    let last = '';
    const answer = parley.send({ conversationId, text: `/stream ${story}` }, { onDelta: (d) => { last = d.text; } });
    await until(() => last === 'A renewal takes eleven');
    const deltas = [];
    const followed = new Client({ base }).follow(conversationId, { onDelta: (d) => deltas.push(d.text) });
    await until(() => deltas.length > 0);
    await control('agent/let-go');
    assert.equal(deltas[0], 'A renewal takes eleven');
    assert.deepEqual((await followed).messages, (await answer).messages);
  },

  async 'a turn is stopped, and what was said stays'() {
    const { parley } = recording();
    const { conversationId } = await parley.start();
    assert.equal(await parley.stop(conversationId), null);
    await control('agent/hold', { after: 4 });
    let last = '';
    const answer = parley.send({ conversationId, text: `/stream ${story}` }, { onDelta: (d) => { last = d.text; } });
    await until(() => last === 'A renewal takes eleven');
    assert.deepEqual(await parley.stop(conversationId), { conversationId, turn: 1, stopped: true });
    const { stopped, messages } = await answer;
    assert.ok(stopped && messages[0].stopped);
    assert.equal(messages[0].text, 'A renewal takes eleven');
  },

  async 'Retry-After is waited for, in seconds and as a date'() {
    const { parley, exchanges } = recording();
    for (const form of ['seconds', 'date']) {
      const after = form === 'seconds' ? '1' : new Date(Date.now() + 2000).toUTCString();
      await refuse(429, after);
      const began = performance.now();
      await parley.list();
      const waited = performance.now() - began;
      assert.ok(waited >= 700, `${after}: waited ${waited} ms`);
    }
    assert.deepEqual(exchanges.map((e) => e.status), [429, 200, 429, 200]);
  },

  async 'a Retry-After beyond patience is told, not waited for'() {
    await refuse(503, '3600');
    const error = await failure(recording().parley.list());
    assert.deepEqual([error.status, error.retryAfter], [503, 3_600_000]);
  },

  async 'repeats end'() {
    const { parley, exchanges } = recording({ attempts: 3 });
    for (let i = 0; i < 3; i++) await refuse(503, '0');
    assert.equal((await failure(parley.list())).status, 503);
    assert.equal(exchanges.length, 3);
  },

  async 'what would fail again is not repeated'() {
    const { parley, exchanges } = recording();
    const error = await failure(parley.send({ conversationId: 'none', text: 'x' }));
    assert.deepEqual([error.class, error.problem.field, exchanges.length], ['invalid_request', 'conversationId', 1]);
  },

  async 'an answer that is not of Parley is a ConnectionError'() {
    const { parley } = recording({ attempts: 1 });
    await refuse(502, '', '<html>', 'text/html');
    const error = await failure(parley.list());
    assert.ok(error instanceof ConnectionError);
    assert.deepEqual([error.status, error.retryable], [502, true]);
    const away = await failure(new Client({ base: 'http://127.0.0.1:1', attempts: 1 }).list());
    assert.ok(away instanceof ConnectionError);
    assert.deepEqual([away.status, away.retryable], [0, true]);
  },

  async 'a deletion whose answer was lost is no failure'() {
    const { parley } = recording();
    const { conversationId } = await parley.start();
    const lossy = new Client({ base, fetch: async (input, init) => {
      const answer = await fetch(input, init);
      if (answer.status === 204) throw new TypeError('lost');
      return answer;
    } });
    await lossy.delete(conversationId);
    assert.equal((await failure(lossy.delete(conversationId))).class, 'not_found');
  },

  async 'an abort ends a wait, a stream, and nothing at the server'() {
    const { parley } = recording();
    await refuse(503, '30');
    const waiting = new AbortController(), reason = new Error('enough');
    const began = performance.now();
    const listed = failure(parley.list({}, { signal: waiting.signal }));
    setTimeout(() => waiting.abort(reason), 100);
    assert.equal(await listed, reason);
    assert.ok(performance.now() - began < 20_000, 'the abort was seen only after the wait');

    const { conversationId } = await parley.start();
    await control('agent/hold', { after: 4 });
    const leaving = new AbortController();
    const streamed = failure(parley.send({ conversationId, text: `/stream ${story}` }, {
      signal: leaving.signal, onDelta: (d) => { if (d.text === 'A renewal takes eleven') leaving.abort(reason); },
    }));
    assert.equal(await streamed, reason);
    await control('agent/let-go');
    await until(async () => (await parley.conversation(conversationId)).messages.at(-1).text === story);
  },

  async 'an error of the page in a callback is its own, and is not repeated'() {
    const { parley, exchanges } = recording();
    const { conversationId } = await parley.start();
    const bug = new TypeError('a bug of the page');
    assert.equal(await failure(parley.send({ conversationId, text: `/stream ${story}` }, { onMessage: () => { throw bug; } })), bug);
    assert.equal(exchanges.length, 2);
  },

  async 'a token is asked for every attempt'() {
    let asked = 0;
    await refuse(503, '0');
    const sent = [];
    await new Client({ base, token: async () => `token-${++asked}`, fetch: (input, init) => { sent.push(init.headers.Authorization); return fetch(input, init); } }).list();
    assert.deepEqual(sent, ['Bearer token-1', 'Bearer token-2']);
  },

  async 'events are read however they are cut and written'() {
    const all = new TextEncoder().encode(`:\r\n\r\nretry: 1000\r\r: server-timing store;dur=1.5, upstream;dur=20\nid:7-0-1\nevent:delta\ndata: {"messageId":"m",\ndata:"text":"Gr\u00fc\u00df 😀"}\n\nid: 7-1-1\r\nevent: done\r\ndata: ${JSON.stringify(doneOf('Grüß 😀'))}\r\n\r\n`);
    for (const size of [1, 2, 3, 7, all.length]) {
      const pieces = [];
      for (let i = 0; i < all.length; i += size) pieces.push(all.slice(i, i + size));
      const deltas = [];
      const { parley, exchanges } = recording({ fetch: async () => streamOf(pieces) });
      const answer = await parley.follow('c', { onDelta: (d) => deltas.push(d.text) });
      assert.deepEqual([texts(answer), deltas, exchanges[0].timing], [['Grüß 😀'], ['Grüß 😀'], { store: 1.5, upstream: 20 }]);
    }
  },

  async 'a stream of another turn is not taken for the rest of this one'() {
    const bytes = (text) => [new TextEncoder().encode(text)];
    const asked = [];
    const answers = [
      () => streamOf(bytes(event('7-0-1', 'delta', { messageId: 'm', text: 'Gr' }))), // cut
      () => streamOf(bytes(event('8-0-1', 'delta', { messageId: 'other', text: 'No' }) + event('8-1-1', 'done', doneOf('No')))),
      () => streamOf(bytes(event('7-1-1', 'done', doneOf('Great')))),
    ];
    const deltas = [];
    const parley = new Client({ base, fetch: async (_, init) => {
      asked.push([init.method, init.headers['Last-Event-ID'], init.headers['Idempotency-Key']]);
      return answers[asked.length - 1]();
    } });
    const answer = await parley.send({ conversationId: 'c', text: 'x' }, { key: 'k', onDelta: (d) => deltas.push(d.text) });
    assert.deepEqual(texts(answer), ['Great']);
    assert.deepEqual(deltas, ['Gr']);
    assert.deepEqual(asked, [['POST', undefined, 'k'], ['GET', '7-0-1', undefined], ['POST', undefined, 'k']]);
  },

  async 'a failure in the middle of a stream is repeated with the key, and not for ever'() {
    const lost = JSON.parse(problem(503, 'instance_lost', true));
    let n = 0;
    const parley = new Client({ base, attempts: 3, fetch: async () => {
      n++;
      return streamOf([new TextEncoder().encode(event(`${n}-0-1`, 'delta', { messageId: `m${n}`, text: 'Gr' }) + event(`${n}-0-1`, 'error', lost))]);
    } });
    assert.equal((await failure(parley.send({ conversationId: 'c', text: 'x' }, { onDelta: () => {} }))).class, 'instance_lost');
    assert.equal(n, 3);
  },
};

const name = process.argv[2];
if (name === 'list') {
  process.stdout.write(Object.keys(cases).join('\n'));
} else {
  ({ Client, ProblemError, ConnectionError } = await load());
  await control('reset-all');
  await cases[name]();
}
