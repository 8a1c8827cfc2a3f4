/** Waiting for the server to be there, and being let in. */

import { about, useToken } from "./api.js";

const PATIENCE = 1500; // milliseconds between two questions to a server that is not there yet

/** What the server offers, as soon as it answers. `banner` shows what is being waited for; "" clears it. */
export async function arrival(entrance, banner) {
  for (let refused = false; ; ) {
    try {
      const found = await about();
      banner("");
      entrance.hidden = true;
      return found;
    } catch (failure) {
      if (failure.status === 401) {
        banner(refused ? failure.message : "");
        refused = true;
        await token(entrance);
      } else {
        banner(failure.status === 503 ? `The server is getting ready. ${failure.message}` : failure.message);
        await new Promise((resolve) => setTimeout(resolve, PATIENCE));
      }
    }
  }
}

function token(entrance) {
  const field = entrance.elements.token;
  entrance.hidden = false;
  field.select();
  return new Promise((resolve) => {
    const given = (event) => {
      event.preventDefault();
      useToken(field.value);
      resolve();
    };
    entrance.addEventListener("submit", given, { once: true });
  });
}
