/** The page, put together: who is told what when something is clicked, typed, heard or gone back to. */

import * as address from "./address.js";
import { arrival } from "./arrival.js";
import { colours } from "./palette.js";
import { Comparison } from "./compare.js";
import { duration, expertName } from "./words.js";
import { Earlier } from "./earlier.js";
import { EXAMPLES } from "./examples.js";
import { follow } from "./follow.js";
import { Frame } from "./frame.js";
import { News } from "./news.js";
import { Occupancy } from "./occupancy.js";
import { roster } from "./roster.js";
import { Settings } from "./settings.js";

const PREVIEWS = 12; // of one image; each costs the server a decoding
const PREVIEWS_COMPARED = 6; // of each image of a comparison

const LEAVING = "The server is shutting down: it finishes what it has begun, and takes no more.";
const OTHER =
  "The server has another bundle now. Reload the page for its experts: images made here are gone then.";

const $ = (id) => document.getElementById(id);
const composer = $("composer");
const settings = new Settings(composer);
let running = null; // what Cancel ends

if (/Mac|iP/.test(navigator.platform)) document.querySelector("#keys kbd").textContent = "⌘";

settings.values = address.read();
EXAMPLES.forEach((prompt) => {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: prompt });
  button.addEventListener("click", () => {
    settings.values = { prompt };
    settings.complain("prompt", "");
    address.draft(settings.telling);
  });
  $("examples").append(button);
});
composer.addEventListener("input", () => address.draft(settings.telling));
open(await arrival($("entrance"), banner));

function open(offer) {
  const byExpert = colours(offer.codes);
  const stage = new Frame({ colours: byExpert, hint: "The picture forms here, step by step." });
  const comparison = new Comparison($("comparison"), { ...offer, colours: byExpert, task });
  const earlier = new Earlier($("earlier"), (hash) => {
    address.visit(hash);
    recall();
  });
  $("stage").append(stage.element);
  stage.introduce(roster(offer, byExpert));
  const weights = offer.trained === false ? " · random weights" : "";
  $("server").textContent = `${offer.engine} · bundle ${offer.bundle}${weights}`;
  settings.fill(offer);
  settings.values = address.read();

  addEventListener("hashchange", recall);
  composer.addEventListener("submit", (event) => {
    event.preventDefault();
    generate();
  });
  $("compare").addEventListener("click", compare);
  // Cancel stands where Compare stood: the second click of a double click is not meant for it.
  $("cancel").addEventListener("click", ({ detail }) => detail < 2 && running?.abort());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") running?.abort();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) generate();
  });
  const news = new News(offer.bundle);
  new Occupancy($("occupancy"), byExpert, (now, failure) => {
    news.heard(failure);
    banner(failure?.message ?? (now.draining ? LEAVING : news.isOther ? OTHER : ""));
  }).watch();

  function recall() {
    settings.values = { ...settings.blank, ...address.read() };
    const here = address.hash(settings.telling);
    const shown = earlier.find(here);
    if (shown && !running) stage.show(shown);
    earlier.mark(here);
  }

  function generate() {
    const wish = !running && settings.wish();
    if (!wish) return;
    address.ask(settings.telling);
    const here = address.hash(settings.telling);
    earlier.mark(here);
    $("stage").scrollIntoView({ block: "nearest" });
    task(async (signal) => {
      const request = { ...wish, partial_images: Math.min(PREVIEWS, wish.steps) };
      const { shown, failure } = await follow(request, stage, { signal, retry: generate, heard });
      if (shown) {
        earlier.keep(here, shown);
        announce(`Done: ${expertName(shown.aptp.expert)}, ${duration(shown.took)}`);
      } else if (failure) {
        settings.complain(failure.param, failure.message);
      } else announce("Cancelled");
    });
  }

  function compare() {
    const wish = !running && settings.wish();
    if (!wish) return;
    address.ask(settings.telling);
    task(async (signal) => {
      const request = { ...wish, partial_images: Math.min(PREVIEWS_COMPARED, wish.steps) };
      const drawn = comparison.run(request, signal, compare);
      $("comparison").scrollIntoView({ block: "nearest" });
      const ends = await drawn;
      const made = ends.filter(({ shown }) => shown).length;
      announce(`Comparison: ${made} of ${ends.length} done`);
      // The codes are the comparison's own choice: nothing is wrong with that field.
      ends.filter(({ failure }) => failure?.param && failure.param !== "code")
        .forEach(({ failure }) => settings.complain(failure.param, failure.message));
    });
  }
}

/** Run what may be cancelled, one at a time; focus stays where the hand is. */
async function task(work) {
  if (running) return;
  running = new AbortController();
  busy(true);
  try {
    await work(running.signal);
  } finally {
    running = null;
    busy(false);
  }
}

function busy(is) {
  $("generate").ariaDisabled = String(is);
  const [shown, hidden] = is ? [$("cancel"), $("compare")] : [$("compare"), $("cancel")];
  shown.hidden = false;
  if (document.activeElement === hidden) shown.focus();
  hidden.hidden = true;
}

function heard({ type, ahead, expert, done, total }) {
  if (type.endsWith(".queued")) announce(ahead ? `Queued, ${ahead} before it` : "Up next");
  if (type.endsWith(".started")) announce(`${expertName(expert)} draws it`);
  const isQuarter = done < total && done % Math.ceil(total / 4) === 0;
  if (type.endsWith(".step") && isQuarter) announce(`Step ${done} of ${total}`);
}

function announce(words) {
  $("announcer").textContent = words;
}

function banner(words) {
  if ($("banner").textContent !== words) $("banner").textContent = words;
  $("banner").hidden = !words;
}
