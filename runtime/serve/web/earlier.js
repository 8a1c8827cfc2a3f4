/** The images that this tab has made, newest first; they are forgotten when it is closed. */

const MOST = 30;

export class Earlier {
  #section;
  #list;
  #kept = new Map(); // by address: what was shown, and its place in the list
  #choose;

  /** `choose(address)` is called when one of them is asked for. */
  constructor(section, choose) {
    this.#section = section;
    this.#list = section.querySelector("ul");
    this.#choose = choose;
  }

  keep(address, shown) {
    this.#kept.get(address)?.item.remove();
    this.#kept.delete(address);
    const item = this.#item(address, shown);
    this.#kept.set(address, { shown, item });
    this.#list.prepend(item);
    if (this.#kept.size > MOST) {
      const [oldest, { item: last }] = this.#kept.entries().next().value;
      last.remove();
      this.#kept.delete(oldest);
    }
    this.mark(address);
  }

  /** What was made at an address, or undefined. */
  find(address) {
    return this.#kept.get(address)?.shown;
  }

  /** Mark the one that is being shown, if it is among them. The list is there as soon as it has another. */
  mark(address) {
    this.#section.hidden = [...this.#kept.keys()].every((own) => own === address);
    for (const [own, { item }] of this.#kept) item.firstElementChild.ariaCurrent = String(own === address);
  }

  #item(address, { source, aptp }) {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button", title: aptp.prompt });
    button.append(Object.assign(new Image(), { src: source, alt: `${aptp.prompt}, seed ${aptp.seed}` }));
    button.addEventListener("click", () => this.#choose(address));
    item.append(button);
    return item;
  }
}
