/** The form's values in the address: reload, bookmark and the back button keep prompt and settings. */

/** The values that the address names, as strings. */
export function read() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

/** A new entry in the history; the same values again make none. */
export function push(values) {
  if (hash(values) !== location.hash) history.pushState(null, "", hash(values));
}

/** The present entry, rewritten. */
export function replace(values) {
  history.replaceState(null, "", hash(values));
}

export function hash(values) {
  return `#${new URLSearchParams(values)}`;
}
