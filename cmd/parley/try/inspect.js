// The last request as an operator sees it, and the record that is stored.
import { $, el, outside } from '/try/dom.js';

/** sideOf says which part of a system broke, by the class of the failure. */
function sideOf(cls) {
  if (cls.startsWith('store_')) return 'store';
  if (cls.startsWith('upstream_') || cls === 'agent_error' || cls === 'token_unavailable') return 'agent';
  return 'other';
}

const verdicts = {
  store: 'The store broke.',
  agent: 'The agent broke.',
  other: 'Neither broke: the request, or this service.',
};

const stages = {
  auth: 'auth: while the caller signed in',
  begin: 'begin: before the agent was asked',
  token: 'token: when our own token for the agent was fetched',
  upstream: 'upstream: while the agent answered',
  complete: 'complete: when the answer was to be stored',
};

/** showExchange shows what came of a request. agentError is the agent's own, in a 200. */
export function showExchange(e, traceURL, agentError) {
  const cls = e.class || (agentError ? 'agent_error' : '');
  const side = cls === '' && e.status > 0 ? 'none' : sideOf(cls);
  const verdict = $('verdict');
  verdict.dataset.side = e.status === 0 ? 'other' : side;
  verdict.dataset.status = e.problem?.status ?? e.status;
  const status = e.problem?.status ?? e.status;
  verdict.replaceChildren(
    el('strong', {}, `${status || 'no answer'}${cls ? ` ${cls}` : ''}`), ' ',
    e.status === 0 ? 'Parley could not be reached.' : side === 'none' ? 'All went well.' : verdicts[side],
  );
  const facts = [
    ['Request', el('code', {}, `${e.method} ${e.path}`)],
    ['Class', cls ? el('code', {}, cls) : 'none'],
    ['Stage', stages[e.problem?.stage] ?? (cls ? 'none that belongs to a turn' : 'ran to its end')],
    ['Repeat?', e.problem ? (e.problem.retryable ? 'yes, with the same key' : 'no') : undefined],
    ['Time', times(e)],
    ['Request id', e.requestId ? el('code', {}, e.requestId) : undefined],
    ['Trace', e.traceId ? el('code', {}, traceURL ? outside(traceURL.replaceAll('{traceId}', e.traceId), e.traceId) : e.traceId) : undefined],
    ['Key', e.key ? el('span', {}, el('code', {}, e.key), e.replayed ? ' replayed: the stored answer again' : '') : undefined],
    ['Streamed', e.streamed && e.problem ? `yes: the headers said ${e.status}, the last event the rest` : e.streamed ? 'yes' : undefined],
  ];
  $('facts').replaceChildren(...facts.filter(([, value]) => value !== undefined)
    .flatMap(([name, value]) => [el('dt', {}, name), el('dd', { 'data-fact': name }, value)]));
}

// times shows how long the request took, and how much of that was waited for whom.
function times(e) {
  const whole = Math.max(e.duration, 1);
  const rows = [['in the store', e.timing.store, 'store'], ['upstream', e.timing.upstream, 'agent'], ['in all', e.duration, 'none']];
  return el('div', { className: 'times' }, ...rows.filter(([, ms]) => ms !== undefined).flatMap(([name, ms, side]) => {
    const bar = el('span', { className: 'bar', 'data-side': side, 'aria-hidden': 'true' });
    bar.style.width = `${Math.min(100, ms / whole * 100)}%`; // by script: the policy forbids style attributes
    return [el('span', {}, `${ms.toFixed(1)} ms ${name}`), el('span', { className: 'track' }, bar)];
  }));
}

/** showRecord shows a stored conversation, or why it cannot be read. */
export function showRecord(record, failure) {
  $('record').classList.toggle('failed', failure !== undefined);
  $('record').textContent = failure ?? (record ? JSON.stringify(record, null, 2) : 'Nothing is stored.');
}
