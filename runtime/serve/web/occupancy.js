/** What the server is doing, asked for once a second while somebody can see it. */

import { status } from "./api.js";
import { bytes, expertInText, many } from "./words.js";

const EVERY = 1000; // milliseconds
const SEATS = 16; // a batch of more is told in numbers alone

export class Occupancy {
  #section;
  #colours;
  #heard;
  #timer = 0;
  #rows = new Map();

  /** `heard(status)` is called with every answer, `heard(null, failure)` where there was none. */
  constructor(section, colours, heard) {
    this.#section = section;
    this.#colours = colours;
    this.#heard = heard;
  }

  /** Ask now and go on asking; hidden pages do not ask. */
  watch() {
    document.addEventListener("visibilitychange", () => this.#again(0));
    this.#again(0);
  }

  #again(pause) {
    clearTimeout(this.#timer);
    if (!document.hidden) this.#timer = setTimeout(() => this.#ask(), pause);
  }

  async #ask() {
    try {
      const answer = await status(AbortSignal.timeout(5 * EVERY));
      this.#show(answer);
      this.#pulse(answer.draining ? "shutting down" : "live");
      this.#heard(answer);
    } catch (failure) {
      this.#pulse("no answer");
      this.#heard(null, failure);
    }
    this.#again(EVERY);
  }

  #pulse(words) {
    const pulse = this.#section.querySelector("#pulse");
    pulse.dataset.state = words;
    pulse.textContent = words;
  }

  #show(now) {
    this.#meter("running", now.running, now.max_running);
    this.#meter("queued", now.queued, now.max_queued);
    this.#meter("memory", now.memory_used, now.memory_budget, bytes);
    this.#batch(now.batch, now.last_call);
    for (const [name, expert] of Object.entries(now.experts)) this.#expert(name, expert);
    const ended = ["finished", "failed", "cancelled", "expired", "rejected"];
    const told = ended.filter((name) => now[name]).map((name) => `${now[name].toLocaleString("en")} ${name}`);
    const tally = [many(now.admitted, "request"), ...told].join(" · ");
    this.#section.querySelector("#tally").textContent = tally;
  }

  /** A number below its limit, which is null where there is none. */
  #meter(name, value, limit, words = String) {
    const meter = this.#section.querySelector(`[data-meter="${name}"]`);
    const bounds = limit === null ? [value] : [value, limit];
    meter.querySelector("dd").textContent = bounds.map((bound) => words(bound)).join(" of ");
    meter.querySelector(".track").hidden = limit === null;
    meter.querySelector(".track b").style.inlineSize = `${Math.min(100, (100 * value) / (limit || 1))}%`;
  }

  #batch(most, last) {
    const meter = this.#section.querySelector('[data-meter="batch"]');
    const [expert, taken] = last ?? [null, 0];
    const words = last ? `${taken} of ${most}, ${expertInText(expert)}` : "none yet";
    meter.querySelector("dd").textContent = words;
    const seats = meter.querySelector(".seats");
    seats.hidden = most > SEATS;
    seats.style.setProperty("--own", this.#colours.get(expert) ?? "var(--soft)");
    const count = Math.min(most, SEATS);
    while (seats.children.length > count) seats.lastChild.remove();
    while (seats.children.length < count) seats.append(document.createElement("i"));
    [...seats.children].forEach((seat, i) => seat.classList.toggle("taken", i < taken));
  }

  #expert(name, { state, running, images }) {
    if (!this.#rows.has(name)) {
      const row = this.#section.querySelector("tbody").insertRow();
      const head = Object.assign(document.createElement("th"), { scope: "row" });
      const swatch = Object.assign(document.createElement("i"), { className: "swatch" });
      head.style.setProperty("--own", this.#colours.get(name) ?? "var(--soft)");
      head.append(swatch, name);
      row.append(head, ...Array.from({ length: 3 }, () => document.createElement("td")));
      this.#rows.set(name, row);
    }
    const row = this.#rows.get(name);
    row.dataset.state = state;
    const values = [state, running, images.toLocaleString("en")];
    values.forEach((value, i) => (row.cells[i + 1].textContent = value));
  }
}
