/**
 * The form's values in the address: reload, bookmark and the back button keep prompt and settings.
 *
 * What was asked for keeps its entry in the history. What is typed afterwards gets one entry, however long it
 * takes.
 */

const ASKED = { asked: true };
const EVERY = 400; // milliseconds between two notes: Safari refuses more than a hundred in thirty seconds

let noted = -EVERY;
let timer = 0;

addEventListener("popstate", () => clearTimeout(timer)); // what was being typed has been left

/** The values that the address names, as strings. */
export function read() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

/** Note what is being typed, now and then. */
export function draft(values) {
  clearTimeout(timer);
  timer = setTimeout(() => note(values), Math.max(0, noted + EVERY - performance.now()));
}

function note(values) {
  noted = performance.now();
  if (history.state?.asked) history.pushState(null, "", hash(values));
  else history.replaceState(null, "", hash(values));
}

/** Note what is asked for; the same again makes no new entry. */
export function ask(values) {
  visit(hash(values));
}

/** Go to what was asked for before. */
export function visit(address) {
  clearTimeout(timer);
  if (history.state?.asked && address !== location.hash) history.pushState(ASKED, "", address);
  else history.replaceState(ASKED, "", address);
}

export function hash(values) {
  return `#${new URLSearchParams(values)}`;
}
