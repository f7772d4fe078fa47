// What can be broken on purpose: the emulated agent, by its commands, and a store in
// memory, by a switch of the service.
import { $, el } from '/try/dom.js';

const commands = [
  ['/card', 'a card to fill in'],
  ['/two', 'two messages'],
  ['/endless 700ms', 'an answer without end: stop it, or reload this page in the middle'],
  ['/slow 5s', 'a slow answer'],
  ['/end', 'the agent ends the conversation'],
  ['/status 500', '502 upstream_error'],
  ['/cut', '502 upstream_interrupted, in the middle of the answer'],
  ['/429 7', '502 upstream_throttled'],
  ['/garbage', '502 upstream_protocol'],
  ['/403', '502 upstream_rejected'],
  ['/silent', '504 upstream_timeout, after COPILOT_TIMEOUT'],
  ['/error', '200, and agent_error in words'],
];

const stores = {
  '': 'works',
  store_unreachable: 'cannot be reached',
  store_timeout: 'does not answer in time',
  store_full: 'is full: reads still work',
};

/** offer shows what can be broken here. say sends a message; fail switches the store. */
export function offer(settings, say, fail) {
  $('agent').hidden = !settings.emulator;
  $('store').hidden = settings.storeClasses.length === 0;
  $('no-trouble').hidden = settings.emulator || settings.storeClasses.length > 0;
  $('commands').replaceChildren(...commands.map(([command, about]) =>
    el('button', { type: 'button', onclick: () => say(command), title: about, 'aria-label': `${command}: ${about}` }, el('code', {}, command), ' ', el('span', { className: 'quiet' }, about))));
  const legend = $('store').querySelector('legend');
  $('store').replaceChildren(legend, ...['', ...settings.storeClasses].map((cls) => {
    const radio = el('input', { type: 'radio', name: 'store', value: cls, checked: cls === settings.storeFails, onchange: () => fail(cls) });
    return el('label', { className: 'inline' }, radio, el('span', {}, stores[cls] ?? cls, cls ? el('code', {}, ` ${cls}`) : ''));
  }));
}

/** choose shows how the store fails, and leaves the focus where it is. */
export function choose(cls) {
  for (const radio of $('store').querySelectorAll('input')) radio.checked = radio.value === cls;
}
