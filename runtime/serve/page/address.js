/**
 * The form's values in the address: reload, bookmark and the back button keep prompt and settings.
 *
 * What was asked for keeps its entry in the history. What is typed afterwards gets one entry, however long it
 * takes.
 */

const ASKED = { asked: true };

/** The values that the address names, as strings. */
export function read() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

/** Note what is being typed. */
export function draft(values) {
  if (history.state?.asked) history.pushState(null, "", hash(values));
  else history.replaceState(null, "", hash(values));
}

/** Note what is asked for; the same again makes no new entry. */
export function ask(values) {
  visit(hash(values));
}

/** Go to what was asked for before. */
export function visit(address) {
  if (history.state?.asked && address !== location.hash) history.pushState(ASKED, "", address);
  else history.replaceState(ASKED, "", address);
}

export function hash(values) {
  return `#${new URLSearchParams(values)}`;
}
