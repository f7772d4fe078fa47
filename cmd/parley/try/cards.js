// Adaptive cards, plainly: their texts, inputs and actions. What is not known is named,
// and no image is loaded, because it would be a request to another host.
import { el, outside } from '/try/dom.js';

const deepest = 12; // levels of a card that are shown

/**
 * card shows a card. submit is called with what was done: a summary for the user's own
 * message, and the data.
 */
export function card(content, submit) {
  const form = el('form', { className: 'card' });
  const context = { inputs: new Map(), form, submit };
  form.addEventListener('submit', (event) => event.preventDefault());
  form.append(...all(content?.body, context, 0), actions(content?.actions, context, 0));
  return form;
}

const list = (value) => (Array.isArray(value) ? value : []);
const text = (value) => (typeof value === 'string' ? value : '');
const all = (items, context, depth) => list(items).map((item) => element(item, context, depth + 1)).filter(Boolean);
let number = 0;

function element(item, context, depth) {
  if (depth > deepest || !item || typeof item !== 'object' || item.isVisible === false) return undefined;
  switch (item.type) {
    case 'TextBlock':
      return el('p', { className: item.weight === 'Bolder' || item.style === 'heading' ? 'strong' : '' }, text(item.text));
    case 'RichTextBlock':
      return el('p', {}, list(item.inlines).map((run) => text(run) || text(run?.text)).join(''));
    case 'FactSet':
      return el('dl', { className: 'card-facts' }, ...list(item.facts).flatMap((f) => [el('dt', {}, text(f?.title)), el('dd', {}, text(f?.value))]));
    case 'Image':
      return el('p', { className: 'quiet' }, `[image${item.altText ? `: ${text(item.altText)}` : ''}]`);
    case 'Container':
    case 'Column':
      return el('div', {}, ...all(item.items, context, depth));
    case 'ColumnSet':
      return el('div', { className: 'columns' }, ...all(list(item.columns).map((c) => ({ type: 'Column', ...c })), context, depth));
    case 'ActionSet':
      return actions(item.actions, context, depth);
    case 'Input.Text':
      return input(item, context, item.isMultiline ? el('textarea', { rows: 3 }) : el('input', { type: 'text' }));
    case 'Input.Number':
      return input(item, context, el('input', { type: 'number' }));
    case 'Input.Date':
      return input(item, context, el('input', { type: 'date' }));
    case 'Input.Time':
      return input(item, context, el('input', { type: 'time' }));
    case 'Input.Toggle': {
      const [on, off] = [text(item.valueOn) || 'true', text(item.valueOff) || 'false'];
      const box = el('input', { type: 'checkbox', checked: item.value === on });
      context.inputs.set(text(item.id), () => (box.checked ? on : off));
      return el('label', { className: 'inline' }, box, ' ', text(item.title));
    }
    case 'Input.ChoiceSet':
      return choices(item, context);
  }
  return el('p', { className: 'quiet' }, `[${text(item.type) || 'something'} is not shown here]`);
}

function input(item, context, field) {
  field.id = `input-${++number}`;
  field.value = text(item.value);
  if (item.placeholder) field.placeholder = text(item.placeholder);
  if (item.isRequired) field.required = true;
  context.inputs.set(text(item.id), () => field.value);
  return el('div', { className: 'field' }, el('label', { htmlFor: field.id }, text(item.label) || text(item.id) || 'Input'), field);
}

function choices(item, context) {
  const options = list(item.choices).map((c) => ({ title: text(c?.title), value: text(c?.value) }));
  const chosen = text(item.value).split(',');
  if (!item.isMultiSelect) {
    return input(item, context, el('select', {}, el('option', { value: '' }, '–'), ...options.map((o) => el('option', { value: o.value }, o.title))));
  }
  const boxes = options.map((o) => el('input', { type: 'checkbox', value: o.value, checked: chosen.includes(o.value) }));
  context.inputs.set(text(item.id), () => boxes.filter((b) => b.checked).map((b) => b.value).join(','));
  return el('fieldset', {}, el('legend', {}, text(item.label) || text(item.id)), ...boxes.map((b, i) => el('label', { className: 'inline' }, b, ' ', options[i].title)));
}

function actions(items, context, depth) {
  return el('div', { className: 'row' }, ...list(items).map((item) => action(item, context, depth)));
}

function action(item, context, depth) {
  const title = text(item?.title) || text(item?.type);
  if (item?.type === 'Action.ShowCard' && depth < deepest) {
    return el('details', {}, el('summary', {}, title), ...all(item.card?.body, context, depth), actions(item.card?.actions, context, depth + 1));
  }
  return el('button', {
    type: 'button',
    onclick: () => {
      if (item?.type !== 'Action.OpenUrl' && !context.form.reportValidity()) return;
      const data = item?.data && typeof item.data === 'object' ? item.data : {};
      const said = Object.fromEntries([...context.inputs].filter(([id]) => id !== '').map(([id, read]) => [id, read()]));
      const submitData = { ...data, ...said, action: text(item?.type) };
      if (item?.type === 'Action.OpenUrl') submitData.url = text(item.url);
      context.submit({ summary: title, submitData, form: context.form, link: item?.type === 'Action.OpenUrl' ? outside(text(item.url), text(item.url)) : undefined });
    },
  }, title);
}
