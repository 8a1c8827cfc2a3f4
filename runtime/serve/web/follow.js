/** One request, followed to its end in a frame. */

import { generate } from "./api.js";

/**
 * Gives {shown} when the image is there, {cancelled: true}, or {failure}; the frame has been told.
 * `heard` is called with every event, before the frame is.
 */
export async function follow(wish, frame, { signal, retry, heard = () => {} }) {
  const [width, height] = wish.size.split("x");
  frame.begin({ prompt: wish.prompt, width, height });
  try {
    for await (const event of generate(wish, signal)) {
      heard(event);
      const shown = tell(frame, event);
      if (shown) return { shown };
    }
  } catch (failure) {
    if (signal.aborted) {
      frame.cancelled();
      return { cancelled: true };
    }
    frame.failed(failure, retry);
    return { failure };
  }
}

function tell(frame, event) {
  switch (event.type.replace("image_generation.", "")) {
    case "queued":
      return frame.queued(event.ahead);
    case "started":
      return frame.started(event);
    case "step":
      return frame.step(event.done, event.total);
    case "partial_image":
      return frame.preview(event.b64_json);
    case "completed":
      return frame.finished(event);
  }
}
