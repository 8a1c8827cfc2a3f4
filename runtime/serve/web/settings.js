/**
 * The form: what can be asked for, what is asked for, and what is wrong with it.
 *
 * Values are the strings of the form's fields by name. Limits come from the server, and it has the last word:
 * what it refuses with the name of a field is shown beside that field.
 */

import { expertInText, percent, size } from "./words.js";

const RANDOM = 1e6; // seeds that are drawn here are short enough to be read out
const FIELDS = [
  "prompt", "seed", "steps", "guidance", "width", "height", "solver", "code", "negative_prompt",
];
const EMPTY = "Type a prompt, or take one of the examples.";
const OWN_WORDS = { size: "width", model: "code" }; // the wire's names for fields that have others here

export class Settings {
  #form;
  #details;
  #longest = Infinity;
  #solvers = {};
  #defaults = {};

  constructor(form) {
    this.#form = form;
    this.#details = form.querySelector("details");
    form.elements.seed.value = newSeed();
    form.querySelector("#dice").addEventListener("click", () => {
      form.elements.seed.value = newSeed();
      form.elements.seed.dispatchEvent(new Event("input", { bubbles: true }));
    });
    form.addEventListener("input", ({ target }) => {
      this.#complain(target.name, "");
      this.#check();
      this.#digest();
    });
  }

  /** Fill the fields from what the server tells about itself; values that it offers are kept. */
  fill({ codes, dense, defaults, solvers, sizes, limits }) {
    const before = this.values;
    const { elements } = this.#form;
    this.#solvers = solvers;
    this.#defaults = { steps: defaults.steps, guidance: defaults.guidance, width: defaults.width,
      height: defaults.height, solver: defaults.solver, code: "", negative_prompt: "" };
    const sides = span(sizes).map((side) => [side, `${side} px`]);
    offer(elements.width, sides);
    offer(elements.height, sides);
    offer(elements.solver, Object.keys(solvers).map((name) => [name, name]));
    const cost = (share) => (share == null ? "" : ` (${percent(share)})`);
    const experts = codes.map(({ name, share }) => [name, name + cost(share)]);
    offer(elements.code, [["", "routed"], ...experts, ...(dense ? [["dense", "dense"]] : [])]);
    this.#longest = limits.prompt;
    elements.guidance.max = limits.guidance;
    this.values = { ...this.#defaults, ...dropEmpty(before) };
  }

  get values() {
    return Object.fromEntries(FIELDS.map((name) => [name, this.#form.elements[name].value]));
  }

  /** Fields that are not named keep what they have; a choice that is not offered is passed over. */
  set values(values) {
    for (const [name, value] of Object.entries(values)) {
      const field = this.#form.elements[name];
      if (!field) continue;
      const offered = field.options && [...field.options].map((option) => option.value);
      if (offered && !offered.includes(String(value))) continue;
      field.value = value;
    }
    this.#check();
    this.#digest();
  }

  /** No prompt, and what the server does where nothing is said. */
  get blank() {
    return { ...this.#defaults, prompt: "" };
  }

  /** Prompt, seed, and whatever is not the server's own default: what an address has to say. */
  get telling() {
    const isTelling = ([name, value]) => !(name in this.#defaults) || value !== String(this.#defaults[name]);
    return Object.fromEntries(Object.entries(this.values).filter(isTelling));
  }

  /** What to ask the server for; null where something is wrong, which is then said beside its field. */
  wish() {
    this.#check();
    for (const { name } of this.#form.elements) this.#complain(name, "");
    const wrong = [...this.#form.elements].find((field) => field.willValidate && !field.checkValidity());
    if (wrong) {
      const isEmpty = wrong.name === "prompt" && wrong.validity.valueMissing;
      this.complain(wrong.name, isEmpty ? EMPTY : wrong.validationMessage);
      return null;
    }
    const { prompt, seed, steps, guidance, width, height, solver, code, negative_prompt } = this.values;
    const wish = { prompt, seed: Number(seed), steps: Number(steps), guidance: Number(guidance) };
    Object.assign(wish, { size: `${width}x${height}`, solver });
    if (negative_prompt) wish.negative_prompt = negative_prompt;
    if (code) wish.code = asCode(code);
    return wish;
  }

  /** Say beside a field what is wrong with it, and go there. False where there is no such field. */
  complain(name, words) {
    const field = this.#form.elements[OWN_WORDS[name] ?? name];
    if (!field) return false;
    this.#complain(field.name, words);
    if (this.#details.contains(field)) this.#details.open = true;
    field.focus();
    return true;
  }

  #complain(name, words) {
    const place = name && this.#form.querySelector(`#${name}-problem`);
    if (!place) return;
    place.textContent = words;
    place.hidden = !words;
    this.#form.elements[name].ariaInvalid = words ? "true" : null;
  }

  #check() {
    const { prompt, negative_prompt, steps, solver } = this.#form.elements;
    for (const text of [prompt, negative_prompt]) {
      const count = [...text.value].length; // characters as the server counts them
      const words = `These are ${count} characters; the server takes ${this.#longest}.`;
      text.setCustomValidity(count > this.#longest ? words : "");
    }
    const offered = this.#solvers[solver.value];
    if (!offered) return;
    [steps.min, steps.max] = [Math.min(...offered), Math.max(...offered)];
    const lacking = steps.value && !offered.includes(Number(steps.value));
    steps.setCustomValidity(lacking ? `${solver.value} has no schedule of ${steps.value} steps.` : "");
  }

  #digest() {
    const { seed, steps, guidance, width, height, code } = this.values;
    const parts = [`seed ${seed}`, `${steps} steps`, `guidance ${guidance}`, size(width, height)];
    if (code) parts.push(expertInText(code));
    this.#form.querySelector("#digest").textContent = steps ? parts.join(", ") : "";
  }
}

/** An expert's name as the wire's `code`. */
export const asCode = (name) => (name === "dense" ? name : Number(name));

const newSeed = () => String(Math.floor(Math.random() * RANDOM));

const dropEmpty = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));

function span({ minimum, maximum, multiple }) {
  const first = Math.ceil(minimum / multiple) * multiple;
  return Array.from({ length: Math.floor((maximum - first) / multiple) + 1 }, (_, i) => first + i * multiple);
}

function offer(select, choices) {
  select.replaceChildren(...choices.map(([value, words]) => new Option(words, value)));
}
