/** The same prompt and seed by every expert, side by side; each is a request with a stream of its own. */

import { asCode } from "./settings.js";
import { follow } from "./follow.js";
import { Frame } from "./frame.js";
import { figure } from "./words.js";

const AT_ONCE = 4; // browsers open six connections to a server, and the page's own questions need one
const OF_ITS_CODE = ["model_not_found", "code_unavailable"]; // failures that say nothing of other codes

export class Comparison {
  #section;
  #cards;
  #experts;
  #colours;
  #task;

  /** `task` runs what may be cancelled: it calls its argument with a signal. */
  constructor(section, { codes, dense, colours, task }) {
    this.#section = section;
    this.#cards = section.querySelector(".cards");
    this.#colours = colours;
    this.#task = task;
    this.#experts = dense ? [...codes, { name: "dense", share: 1 }] : codes;
  }

  /**
   * Draw `wish` by all experts; gives how each ended. The router's choice goes first, as a request that names
   * no code: once it has told who draws it the others follow, so that no image is made twice.
   */
  async run(wish, signal, retry) {
    const { code: _, ...routed } = wish;
    this.#announce(wish);
    this.#cards.replaceChildren();
    const lead = this.#card({ routed: true }, routed);
    let choose;
    const choice = new Promise((resolve) => (choose = resolve));
    const heard = (event) => {
      if (event.type !== "image_generation.started") return;
      this.#announce(wish, event.margin);
      choose(event.expert);
    };
    const leading = follow(routed, lead, { signal, retry, heard });
    leading.then(() => choose(null));
    const chosen = await choice;
    if (chosen === null && !OF_ITS_CODE.includes((await leading).failure?.code)) return [await leading];
    const others = this.#drawn(this.#experts.filter(({ name }) => name !== chosen), routed, signal);
    return [await leading, ...(await others)];
  }

  async #drawn(experts, wish, signal) {
    const waiting = experts.map((expert) => [
      this.#card({ expert: expert.name, share: expert.share }, wish),
      { ...wish, code: asCode(expert.name) },
    ]);
    const ends = [];
    const work = async () => {
      while (waiting.length && !signal.aborted) {
        const [frame, own] = waiting.shift();
        const again = () => this.#task((fresh) => follow(own, frame, { signal: fresh, retry: again }));
        ends.push(await follow(own, frame, { signal, retry: again }));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    waiting.forEach(([frame]) => frame.cancelled());
    return ends;
  }

  #announce({ prompt, seed, steps, guidance }, margin) {
    const told = [`seed ${seed}`, `${steps} steps`, `guidance ${guidance}`];
    if (margin != null) told.push(`routed by a margin of ${figure(margin)}`);
    this.#section.hidden = false;
    this.#section.querySelector(".lead").textContent = prompt;
    this.#section.querySelector(".note").textContent = told.join(" · ");
  }

  #card(known, { size }) {
    const frame = new Frame({ ...known, colours: this.#colours });
    frame.shape(...size.split("x"));
    frame.waits("Waits for its turn");
    this.#cards.append(frame.element);
    return frame;
  }
}
