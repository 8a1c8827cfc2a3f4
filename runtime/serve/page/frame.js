/**
 * One image in the making, as it is shown: picture, steps, the expert and its cost, facts, and what went wrong.
 *
 * A frame is told what happened and shows it. It asks the server for nothing.
 */

import { advice, duration, expertName, figure, percent, remarks } from "./words.js";

const TYPES = { png: "image/png", jpeg: "image/jpeg", webp: "image/webp" };
const TEMPLATE = document.getElementById("frame");

export class Frame {
  element = TEMPLATE.content.firstElementChild.cloneNode(true);
  #colours;
  #retry = null;
  #began = 0;
  #steps = [0, 0];

  /** `colours` by expert; `hint` stands where the picture will be. */
  constructor({ colours, hint = "" }) {
    this.#colours = colours;
    this.#say(".hint", hint);
    this.#find(".failure button").addEventListener("click", () => this.#retry?.());
  }

  /** Name the frame before anything is known of who draws in it. */
  title(expert, { routed = false } = {}) {
    this.#own(expert);
    this.#find(".mark").hidden = !routed;
  }

  share(share) {
    this.#find(".cost").hidden = share == null;
    if (share == null) return;
    this.#find(".cost b").style.inlineSize = `${Math.min(100, 100 * share)}%`;
    this.#say(".cost .figure", share === 1 ? "the dense cost" : `${percent(share)} of the dense cost`);
  }

  shape(width, height) {
    this.#find(".picture").style.aspectRatio = `${width} / ${height}`;
  }

  begin({ prompt, width, height }) {
    this.#began = performance.now();
    this.#picture("waiting", "");
    this.#find("img").alt = prompt;
    this.shape(width, height);
    this.#find(".failure").hidden = true;
    this.#find(".download").hidden = true;
    this.#find(".facts").replaceChildren();
    this.#find(".notes").replaceChildren();
    this.#say(".state", "Sent");
  }

  queued(ahead) {
    this.#say(".state", ahead ? `Queued, ${ahead} before it` : "Up next");
  }

  started({ expert, margin, share }) {
    this.#own(expert);
    this.share(share);
    if (margin != null) this.#facts([["margin", figure(margin)]]);
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
    this.#own(aptp.expert);
    this.share(aptp.share);
    this.#say(".state", "");
    this.#facts([
      ["margin", aptp.margin == null ? "" : figure(aptp.margin)],
      ["distance", aptp.distance == null ? "" : figure(aptp.distance)],
      ["its own work", duration(aptp.milliseconds)],
      ["from click to image", duration(took)],
      ["seed", aptp.seed],
      ["made with", `${aptp.steps} steps of ${aptp.solver}, guidance ${aptp.guidance}, ${aptp.width} × ${aptp.height}`],
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
    const asked = failure.request && `request ${failure.request}`;
    this.#say(".failure .request", [advice(failure), asked].filter(Boolean).join(" "));
    this.#find(".failure").hidden = false;
  }

  cancelled() {
    const [done, total] = this.#steps;
    this.#stop();
    this.#say(".state", done ? `Cancelled after step ${done} of ${total}` : "Cancelled before it began");
  }

  waits(words) {
    this.#say(".state", words);
  }

  #stop() {
    this.#find(".steps").hidden = true;
    const picture = this.#find(".picture");
    picture.dataset.state = picture.dataset.state === "preview" ? "stopped" : "empty";
  }

  #own(expert) {
    this.element.style.setProperty("--own", this.#colours.get(expert) ?? "var(--soft)");
    this.#find(".swatch").hidden = expert == null;
    this.#say("h3", expert == null ? "" : expertName(expert));
  }

  #picture(state, source) {
    const image = this.#find("img");
    this.#find(".picture").dataset.state = state;
    image.hidden = !source;
    if (source) image.src = source;
    else image.removeAttribute("src");
    if (state === "waiting") {
      this.#steps = [0, 0];
      this.#find(".steps").hidden = true;
      this.#find(".steps b").style.inlineSize = "0";
    }
  }

  #facts(pairs) {
    const told = pairs.filter(([, value]) => value !== "" && value != null);
    const rows = told.map(([name, value]) => {
      const row = document.createElement("div");
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
