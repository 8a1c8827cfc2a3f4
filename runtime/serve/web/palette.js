/** A colour for each expert, from the cheapest to the dearest, as in the reports; `dense` is grey. */

const RAMP = [[217, 154, 31], [213, 96, 76], [157, 85, 168], [74, 111, 208]];
const DENSE = "#7a8594";

/** Colours by the expert's name, where `codes` are what the server tells of its experts. */
export function colours(codes) {
  const ranked = codes.toSorted((a, b) => a.share - b.share);
  const found = new Map([["dense", DENSE]]);
  const step = (RAMP.length - 1) / Math.max(1, ranked.length - 1);
  ranked.forEach(({ name }, rank) => found.set(name, mixed(rank * step)));
  return found;
}

function mixed(place) {
  const below = Math.min(Math.floor(place), RAMP.length - 2);
  const part = place - below;
  const channels = RAMP[below].map((value, i) => Math.round(value + part * (RAMP[below + 1][i] - value)));
  return `rgb(${channels.join(" ")})`;
}
