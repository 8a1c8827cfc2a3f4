/** Server-sent events, read off a response's body. Nothing reconnects: a request is made once. */

/** Yields the JSON of every event's data, and no comments. Chunks may end anywhere, even in a character. */
export async function* events(body) {
  let data = [];
  for await (const line of lines(body)) {
    if (line.startsWith("data:")) {
      data.push(line.slice(5).replace(/^ /, ""));
    } else if (line === "" && data.length) {
      yield JSON.parse(data.join("\n"));
      data = [];
    }
  }
}

/** Yields the lines, each ended by LF, CR or CR LF; what follows the last end is no line. */
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const ended = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = ended.pop(); // a CR at the very end stays: its LF may be on the way
      yield* ended;
    }
  } finally {
    reader.cancel().catch(() => {}); // already closed, or aborted: either way it is over
  }
}
