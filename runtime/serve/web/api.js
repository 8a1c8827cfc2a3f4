/** The server's addresses, the token, and what a failure is. Knows nothing of the page. */

import { events } from "./events.js";

const TOKEN = "aptp-token";

/** What went wrong, in words; `status` 0 where no answer came, `request` the id that the server's log has. */
export class Failure extends Error {
  constructor(message, { status = 0, code = null, param = null, request = null, wait = null } = {}) {
    super(message);
    Object.assign(this, { name: "Failure", status, code, param, request, wait });
  }
}

export function useToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

/** What the server offers. Throws `Failure`. */
export async function about(signal) {
  return (await call("v1/about", { signal })).json();
}

/** What the server is doing. Throws `Failure`. */
export async function status(signal) {
  return (await call("v1/status", { signal })).json();
}

/**
 * Asks for one image and yields the events of its stream; the last is `image_generation.completed`.
 * Aborting `signal` closes the stream, which cancels the request. Throws `Failure`.
 */
export async function* generate(wish, signal) {
  const body = JSON.stringify({ ...wish, n: 1, stream: true });
  const headers = { "content-type": "application/json" };
  const response = await call("v1/images/generations", { method: "POST", headers, body, signal });
  const request = response.headers.get("x-request-id");
  try {
    for await (const event of events(response.body)) {
      if (event.type === "error") throw failureOf(event, { request });
      yield event;
      if (event.type === "image_generation.completed") return;
    }
  } catch (error) {
    if (error instanceof Failure || signal.aborted) throw error;
    throw new Failure(`The connection broke before the image was finished (${error.message}).`, { request });
  }
  throw new Failure("The server closed the connection before the image was finished.", { request });
}

async function call(path, options) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server does not answer. Is it still running, and is this machine connected?");
  }
  if (response.ok) return response;
  const from = {
    status: response.status,
    request: response.headers.get("x-request-id"),
    wait: Number(response.headers.get("retry-after")) || null,
  };
  const answer = await response.json().catch(() => null);
  throw failureOf(answer, from);
}

function failureOf(answer, from) {
  const { message = `The server answered ${from.status}, and nothing else.`, ...rest } = answer?.error ?? {};
  return new Failure(message, { ...from, ...rest });
}
