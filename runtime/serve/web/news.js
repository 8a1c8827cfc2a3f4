/** Whether the server still serves the bundle that this page has told about. */

import { about } from "./api.js";

const EVERY = 30; // answers of the server between two questions

export class News {
  isOther = false;
  #bundle;
  #answers = 0;

  constructor(bundle) {
    this.#bundle = bundle;
    document.addEventListener("visibilitychange", () => (this.#answers = EVERY));
  }

  /** The server has answered, or failed to: it is asked now and then, and after every failure. */
  heard(failure) {
    if (failure) this.#answers = EVERY;
    else if (++this.#answers > EVERY) this.#ask();
  }

  async #ask() {
    this.#answers = 0;
    const offer = await about().catch(() => null); // the next answer will tell what is wrong
    if (offer) this.isOther = offer.bundle !== this.#bundle;
  }
}
