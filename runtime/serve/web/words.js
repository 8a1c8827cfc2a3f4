/** Numbers and outcomes, in words. */

/** 0.63 as "63 %"; less than ten percent keeps a digit behind the point. */
export const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** Milliseconds as "217 ms", "4.2 s" or "3 min 20 s". */
export function duration(milliseconds) {
  if (milliseconds < 999.5) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 59950) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Bytes as "212 MB"; powers of ten. */
export function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, count)) / 3)));
  const value = count / 1000 ** power;
  return `${value.toFixed(power && value < 10 ? 1 : 0)} ${units[power]}`;
}

/** "1 image", "2 images". */
export const many = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** A margin or a distance: three digits that say something. */
export const figure = (value) => String(Number(value.toPrecision(3)));

/** Width and height on one line. */
export const size = (width, height) => `${width}\u00a0×\u00a0${height}`;

export const expertName = (name) => (name === "dense" ? "Dense" : `Expert ${name}`);
export const expertInText = (name) => expertName(name).toLowerCase();

/** What a choice has about it that its reader should know. */
export function remarks({ fell_back, out_of_distribution, code, expert, dropped_tokens, blank }) {
  const found = [];
  if (out_of_distribution) {
    const others = `${expertInText(expert)} drew it instead of expert ${code}`;
    found.push(`This prompt is unlike those of the training, so ${others}.`);
  } else if (fell_back) {
    const others = `${expertInText(expert)} stood in`;
    found.push(`The prompt was routed to code ${code}, which this bundle lacks; ${others}.`);
  }
  if (dropped_tokens) {
    const unread = many(dropped_tokens, "token");
    found.push(`The prompt is longer than its encoder reads: the last ${unread} went unread.`);
  }
  if (blank) found.push("The image shows nothing: so it is with broken engines, and, rarely, with a seed.");
  return found;
}

/** What to do about a failure, or the empty string where its message says it all. */
export function advice({ status, wait }) {
  if (status === 429) return `The queue is full; there should be room in ${many(wait ?? 1, "second")}.`;
  if (status === 503 && wait) return `Try again in ${many(wait, "second")}.`;
  return "";
}
