// The page to try Parley with: a front end on /client.js, and beside it what an operator
// sees. It reaches nothing but the service that it came from.
import { Client, ConnectionError, ParleyError, ProblemError } from '/client.js';
import { card } from '/try/cards.js';
import { $, el } from '/try/dom.js';
import { showExchange, showRecord } from '/try/inspect.js';
import { choose, offer } from '/try/trouble.js';

let settings = { authRequired: false, emulator: false, traceUrl: '', storeClasses: [], storeFails: '' };
let token; // in the memory of this page only
let last; // the exchange that is shown

// What the user does is tried once, so that a failure is seen as it is; a stream that
// breaks off is resumed all the same. What keeps the page up to date is shown nowhere.
const parley = new Client({ token: () => token, attempts: 1, onExchange: (e) => { last = e; showExchange(e, settings.traceUrl); } });
const quiet = new Client({ token: () => token, attempts: 2, patience: 2000 });

/** What is open: its id, and which of its openings this is, so that late answers of one before are dropped. */
const open = { id: undefined, opening: 0 };
let running = 0; // turns that this page waits for
let retry; // does again what failed, with the same key

// --- messages

/** show adds a message, or changes the one that has its id. */
function show(message, partial = false) {
  const log = $('log');
  let li = message.id ? [...log.children].find((each) => each.dataset.id === message.id) : undefined;
  if (!li) {
    li = el('li', { 'data-role': message.role }, el('span', { className: 'who' }, message.role === 'user' ? 'You' : 'Agent'), el('div', { className: 'said' }));
    if (message.id) li.dataset.id = message.id;
    log.append(li);
  }
  const said = li.querySelector('.said');
  if (message.kind === 'adaptiveCard') {
    if (!said.firstChild) said.append(card(message.cardJson, (done) => submitCard(message, done)));
  } else {
    said.textContent = message.text ?? '';
  }
  if (message.stopped) li.dataset.note = 'stopped';
  if (message.agentError) li.dataset.note = `agent error ${message.agentError}`;
  li.classList.toggle('partial', partial);
  log.scrollTop = log.scrollHeight;
  return li;
}

/** whole shows a message that is complete, and has a screen reader say it. */
function whole(message) {
  show(message);
  if (message.role === 'assistant') $('announce').textContent = `Agent: ${message.text ?? 'a card'}`;
}

function dropPartial() {
  for (const li of document.querySelectorAll('#log .partial')) li.remove();
}

// --- turns

/** busy shows that a turn runs, until work ends, and what came of it. */
async function busy(work, again) {
  running++;
  update('The agent is answering …');
  $('failure').hidden = true;
  const opening = open.opening;
  try {
    await work();
    if (opening === open.opening) update('');
  } catch (error) {
    dropPartial();
    if (opening === open.opening) fail(error, again);
  } finally {
    running--;
    update();
    await refresh();
  }
}

function fail(error, again) {
  if (!(error instanceof ParleyError)) throw error;
  const problem = error instanceof ProblemError ? error.problem : undefined;
  $('failure').hidden = false;
  $('failure-title').textContent = problem ? `${problem.status} ${problem.class}` : 'No answer';
  $('failure-text').textContent = problem?.message ?? 'Parley cannot be reached.';
  retry = again;
  $('again').hidden = !again;
  update('');
}

function update(status) {
  if (status !== undefined) $('status').textContent = status;
  document.body.dataset.busy = String(running);
  $('stop').hidden = running === 0 || !open.id;
  $('log').setAttribute('aria-busy', String(running > 0));
  for (const id of ['close', 'delete']) $(id).hidden = !open.id;
}

/** listening are the functions that have an answer streamed, if the user wants that. */
function listening(opening) {
  if (!$('streaming').checked) return {};
  const here = () => opening === open.opening;
  return {
    onDelta: (d) => { if (here()) show({ id: d.messageId, role: 'assistant', kind: 'text', text: d.text }, true); },
    onMessage: (m) => { if (here()) whole(m); },
  };
}

/** answered shows what an answer has that was not streamed. */
function answered(answer, opening) {
  if (opening !== open.opening) return;
  for (const m of answer.messages) {
    if (m.agentError && last) showExchange(last, settings.traceUrl, m.agentError);
    if ([...$('log').children].some((li) => li.dataset.id === m.id && !li.classList.contains('partial'))) show(m);
    else whole(m);
  }
  if (answer.conversationRestarted) $('announce').textContent = 'The agent has begun anew.';
}

/** turn runs one turn in the conversation that is open. */
function turn(said, ask) {
  const li = show({ role: 'user', kind: 'text', text: said });
  const { opening } = open, key = newKey();
  const attempt = () => busy(async () => {
    li.classList.remove('failed');
    delete li.dataset.note;
    try {
      answered(await ask({ key, ...listening(opening) }), opening);
    } catch (error) {
      li.classList.add('failed');
      li.dataset.note = `failed: ${error.class ?? 'no answer'}`;
      throw error;
    }
  }, attempt);
  return attempt();
}

async function say(text) {
  if (!open.id) await start();
  if (!open.id) { // there is no conversation to say it in, as is shown
    $('text').value = text;
    return undefined;
  }
  const conversationId = open.id;
  return turn(text, (options) => parley.send({ conversationId, text }, options));
}

function submitCard(message, { summary, submitData, form, link }) {
  const conversationId = open.id;
  return turn(summary, async (options) => {
    const answer = await parley.cardAction({ conversationId, cardId: message.cardId ?? message.id, userSummary: summary, submitData }, options);
    if (link) form.append(el('p', {}, 'Allowed: ', link));
    else for (const control of form.elements) control.disabled = true;
    return answer;
  });
}

// --- conversations

/** begin empties the page for another conversation. */
function begin(id) {
  open.opening++;
  open.id = id;
  $('log').replaceChildren();
  $('failure').hidden = true;
  $('title').textContent = id ? `Conversation ${id.slice(0, 8)}` : 'New conversation';
  update('');
  return open.opening;
}

function start() {
  const opening = begin(undefined), key = newKey();
  const attempt = () => busy(async () => {
    const answer = await parley.start({ key, ...listening(opening) });
    if (opening !== open.opening) return;
    open.id = answer.conversationId;
    $('title').textContent = `Conversation ${open.id.slice(0, 8)}`;
    history.replaceState(null, '', `#${open.id}`);
    answered(answer, opening);
  }, attempt);
  return attempt();
}

/** reopen shows a conversation, and goes on with the turn that runs in it. */
function reopen(id) {
  const opening = begin(id);
  const attempt = () => busy(async () => {
    const found = await parley.conversation(id);
    if (opening !== open.opening) return;
    showAll(found);
    if (!found.pendingTurn) return;
    const answer = await parley.follow(id, listening(opening));
    if (answer) answered(answer, opening);
    else if (opening === open.opening) showAll(await quiet.conversation(id));
  }, attempt);
  return attempt();
}

function showAll(conversation) {
  const failed = new Map((conversation.failures ?? []).map((f) => [f.turn, f.class]));
  for (const m of conversation.messages) {
    const li = show(m);
    if (m.role === 'user' && failed.has(m.turn)) li.dataset.note = `failed: ${failed.get(m.turn)}`;
  }
  if (conversation.status !== 'active') update(`This conversation is ${conversation.status}.`);
}

/** refresh reads the list and the stored record again. */
async function refresh() {
  const opening = open.opening;
  await Promise.all([list(), (async () => {
    try {
      const record = open.id ? await quiet.conversation(open.id) : undefined;
      if (opening === open.opening) showRecord(record);
    } catch (error) {
      if (opening === open.opening) showRecord(undefined, `Cannot be read: ${error.message}`);
    }
  })()]);
}

const when = (time) => new Date(time).toLocaleString([], { dateStyle: 'short', timeStyle: 'short' });

let cursor;
async function list(more = false) {
  try {
    const page = await quiet.list(more ? { limit: 20, cursor } : { limit: 20 });
    cursor = page.nextCursor;
    const items = page.conversations.map((c) => el('li', {}, el('a', {
      href: `#${c.conversationId}`, 'aria-current': c.conversationId === open.id ? 'true' : undefined,
    }, el('code', {}, c.conversationId.slice(0, 8)), el('span', { className: 'quiet' }, `${when(c.updatedAt)}, ${c.turnCount} ${c.turnCount === 1 ? 'turn' : 'turns'}, ${c.status}`))));
    if (more) $('list').append(...items);
    else $('list').replaceChildren(...items);
    $('older').hidden = !cursor;
    $('list-failure').hidden = true;
  } catch (error) {
    $('list-failure').hidden = false;
    $('list-failure').textContent = `The list cannot be read: ${error.message}`;
  }
}

// --- the page

async function failStore(cls) {
  const headers = { 'Content-Type': 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const answer = await fetch('/try/api/store', { method: 'POST', headers, body: JSON.stringify({ class: cls }) }).catch(() => undefined);
  if (answer?.ok) settings = await answer.json();
  else fail(answer ? new ProblemError(await answer.json()) : new ConnectionError('the service cannot be reached', {}));
  choose(settings.storeFails); // as it is, whatever was wanted
  await refresh();
}

function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('');
}

const wanted = () => (/^#[0-9a-f-]{36}$/.test(location.hash) ? location.hash.slice(1) : undefined);
const enter = () => (wanted() ? reopen(wanted()) : start());

$('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = $('text').value;
  if (text.trim() === '') return;
  $('text').value = '';
  say(text);
});
$('text').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $('composer').requestSubmit();
});
$('stop').addEventListener('click', () => {
  const opening = open.opening;
  update('Stopping …');
  quiet.stop(open.id).catch((error) => { if (opening === open.opening) fail(error); });
});
$('again').addEventListener('click', () => retry?.());
$('new').addEventListener('click', () => { start(); $('text').focus(); });
$('older').addEventListener('click', () => list(true));
$('close').addEventListener('click', () => busy(async () => showAll({ messages: [], ...await parley.setStatus(open.id, 'completed') })));
$('delete').addEventListener('click', () => busy(async () => {
  await parley.delete(open.id);
  history.replaceState(null, '', location.pathname);
  begin(undefined);
}));
addEventListener('hashchange', () => { if (wanted() && wanted() !== open.id) reopen(wanted()); });
$('sign-in').addEventListener('submit', (event) => {
  event.preventDefault();
  token = $('token').value.trim();
  enter();
});

settings = await (await fetch('/try/api/settings', { cache: 'no-store' })).json();
$('about').textContent = `store: ${settings.backend}; agent: ${settings.emulator ? 'emulated' : 'real'}; version ${settings.version}`;
offer(settings, say, failStore);
$('sign-in').hidden = !settings.authRequired;
if (settings.authRequired) {
  document.body.dataset.busy = '0';
  $('token').focus();
} else {
  await enter();
  $('text').focus();
}
