// Everything that is shown is made here, as elements and as text. Nothing is ever parsed
// as HTML: what the agent says is not to be trusted.

export const $ = (id) => document.getElementById(id);

/** el makes an element. Properties are set as such; aria and data attributes by name. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (name.includes('-')) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== undefined && child !== ''));
  return element;
}

/** outside makes a link that opens elsewhere, or plain text if that is no address of the web. */
export function outside(address, text) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return el('span', {}, text);
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return el('span', {}, text);
  return el('a', { href: url.href, target: '_blank', rel: 'noopener noreferrer' }, text);
}
