/**
 * One image in the making, as it is shown: picture, steps, expert, cost, facts, and what went wrong.
 *
 * A frame is told what happened and shows it. It asks the server for nothing.
 */

import { advice, duration, expertName, figure, percent, remarks, size } from "./words.js";

const TYPES = { png: "image/png", jpeg: "image/jpeg", webp: "image/webp" };
const TEMPLATE = document.getElementById("frame");

export class Frame {
  element = TEMPLATE.content.firstElementChild.cloneNode(true);
  #known;
  #colours;
  #retry = null;
  #began = 0;
  #steps = [0, 0];

  /**
   * `colours` by expert; `hint` stands where the picture will be. What is known of who draws before that is
   * told: `expert`, `share` of the dense cost, and `routed`, that the router chooses.
   */
  constructor({ colours, hint = "", expert = null, share = null, routed = false }) {
    this.#colours = colours;
    this.#known = { expert, share, routed, hint };
    this.#forget();
    this.#find(".failure button").addEventListener("click", () => this.#retry?.());
  }

  /** Something to read until there is a picture. */
  introduce(element) {
    this.#find(".told").append(element);
  }

  shape(width, height) {
    this.#find(".picture").style.aspectRatio = `${width} / ${height}`;
  }

  begin({ prompt, width, height }) {
    this.#began = performance.now();
    this.#find("img").alt = prompt;
    this.#say(".prompt", prompt);
    this.#forget();
    this.shape(width, height);
    this.waits("Sent");
  }

  /** Say what is waited for, where the picture will be. */
  waits(words) {
    this.#find(".picture").dataset.state = "waiting";
    this.#say(".hint", words);
  }

  queued(ahead) {
    this.waits(ahead ? `Queued, ${ahead} before it` : "Up next");
  }

  started({ expert, margin, share }) {
    this.#own(expert, share, margin != null);
    if (margin != null) this.#facts([["margin", figure(margin)]]);
    this.waits("");
    this.#say(".state", "Begins");
  }

  step(done, total) {
    this.#steps = [done, total];
    const bar = this.#find(".steps");
    bar.hidden = false;
    bar.ariaValueNow = done;
    bar.ariaValueMax = total;
    this.#find(".steps b").style.inlineSize = `${(100 * done) / total}%`;
    this.#say(".state", done < total ? `Step ${done} of ${total}` : "Decoding");
  }

  preview(base64) {
    this.#picture("preview", `data:image/png;base64,${base64}`);
  }

  /** Show the image; gives what is needed to show it again. */
  finished({ b64_json, output_format, aptp }) {
    const source = `data:${TYPES[output_format] ?? TYPES.png};base64,${b64_json}`;
    const shown = { source, format: output_format, aptp, took: performance.now() - this.#began };
    this.show(shown);
    return shown;
  }

  /** An image that is there already. */
  show({ source, format, aptp, took }) {
    this.#find("img").alt = aptp.prompt;
    this.shape(aptp.width, aptp.height);
    this.#picture("finished", source);
    this.#find(".steps").hidden = true;
    this.#find(".failure").hidden = true;
    this.#own(aptp.expert, aptp.share, aptp.margin != null);
    this.#say(".prompt", aptp.prompt);
    this.#say(".state", "");
    this.#facts([
      ["drawn in", duration(aptp.milliseconds)],
      ["arrived after", duration(took)],
      ["margin", aptp.margin == null ? "" : figure(aptp.margin)],
      ["distance", aptp.distance == null ? "" : figure(aptp.distance)],
      ["seed", aptp.seed],
      ["size", size(aptp.width, aptp.height)],
      ["steps", `${aptp.steps}, ${aptp.solver}`],
      ["guidance", aptp.guidance],
      ["without", aptp.negative_prompt],
    ]);
    this.#notes(remarks(aptp));
    const link = this.#find(".download");
    link.hidden = false;
    link.href = source;
    link.download = `${slug(aptp.prompt)}-seed${aptp.seed}-${aptp.expert}.${format}`;
  }

  /** Say what went wrong, in words; what was seen so far stays. `retry` is called by its button. */
  failed(failure, retry) {
    this.#retry = retry;
    this.#stop();
    this.#say(".state", "");
    this.#say(".failure .message", failure.message);
    this.#say(".failure .advice", advice(failure));
    this.#say(".failure .request code", failure.request ?? "");
    this.#find(".failure .request").hidden = !failure.request;
    // The same again would be refused again.
    this.#find(".failure button").hidden = [400, 404].includes(failure.status);
    this.#find(".failure").hidden = false;
  }

  cancelled() {
    const [done, total] = this.#steps;
    this.#stop();
    this.#say(".state", done ? `Cancelled after step ${done} of ${total}` : "Cancelled before it began");
  }

  #stop() {
    const seen = this.#find(".picture").dataset.state === "preview";
    this.#find(".steps").hidden = true;
    this.#find(".picture").dataset.state = seen ? "stopped" : "empty";
    this.#say(".hint", this.#known.hint);
  }

  /** As it was made. */
  #forget() {
    const { expert, share, routed, hint } = this.#known;
    this.#steps = [0, 0];
    this.#own(expert, share, routed);
    this.#picture("empty", "");
    this.#say(".hint", hint);
    this.#say(".state", "");
    this.#find(".steps").hidden = true;
    this.#find(".steps b").style.inlineSize = "0";
    this.#find(".failure").hidden = true;
    this.#find(".download").hidden = true;
    this.#facts([]);
    this.#notes([]);
  }

  #own(expert, share, routed) {
    this.element.style.setProperty("--own", this.#colours.get(expert) ?? "var(--soft)");
    this.#find(".who .swatch").hidden = expert == null;
    this.#say(".who h3", expert == null ? "" : expertName(expert));
    this.#find(".mark").hidden = !routed;
    this.#find(".cost").hidden = share == null;
    if (share == null) return;
    this.#find(".cost b").style.inlineSize = `${Math.min(100, 100 * share)}%`;
    this.#say(".cost .figure", share === 1 ? "the dense cost" : `${percent(share)} of the dense cost`);
  }

  #picture(state, source) {
    const image = this.#find("img");
    this.#find(".picture").dataset.state = state;
    image.hidden = !source;
    if (source) image.src = source;
    else image.removeAttribute("src");
  }

  #facts(pairs) {
    const told = pairs.filter(([, value]) => value !== "" && value != null);
    const rows = told.map(([name, value]) => {
      const row = document.createElement("div");
      row.dataset.fact = name;
      const [term, text] = [document.createElement("dt"), document.createElement("dd")];
      [term.textContent, text.textContent] = [name, value];
      row.append(term, text);
      return row;
    });
    this.#find(".facts").replaceChildren(...rows);
  }

  #notes(words) {
    const items = words.map((text) => Object.assign(document.createElement("li"), { textContent: text }));
    this.#find(".notes").replaceChildren(...items);
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }

  #say(selector, words) {
    this.#find(selector).textContent = words;
  }
}

function slug(prompt) {
  const words = prompt.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 48);
  return words.replace(/^-|-$/g, "") || "image";
}
