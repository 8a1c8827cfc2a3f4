/** Who may draw: the bundle's experts, and what each costs. Read while nothing is drawn yet. */

import { expertName, many, percent } from "./words.js";

export function roster({ codes, dense }, colours) {
  const experts = codes.toSorted((a, b) => a.share - b.share);
  if (dense) experts.push({ name: "dense", share: 1 });
  const section = make("section", { className: "roster" });
  const count = many(codes.length, "expert");
  const title = make("h3", { textContent: dense ? `${count}, and dense` : count });
  const lead = make("p", { textContent: "The router reads the prompt and picks who draws it." });
  const list = make("ul");
  list.append(...experts.map((expert) => row(expert, colours)));
  section.append(title, lead, list);
  return section;
}

function row({ name, share }, colours) {
  const item = make("li");
  item.style.setProperty("--own", colours.get(name));
  const line = make("span", { className: "line" });
  const cost = share === 1 ? "the full cost" : `${percent(share)} of dense`;
  line.append(make("i", { className: "swatch" }), expertName(name), make("small", { textContent: cost }));
  const track = make("span", { className: "track" });
  const bar = make("b");
  bar.style.inlineSize = `${Math.min(100, 100 * share)}%`;
  track.append(bar);
  item.append(line, track);
  return item;
}

const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);
