"""A server process in front of the fake runtime, for tests that send it signals.

The prompt "wait" waits for SIGUSR1; after "stuck" the runtime does not close. `--cache FIFO` makes opening
wait until somebody writes there.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from runtime.bundle.reader import Bundle
from runtime.cli.parser import run
from runtime.serve.arguments import ServeOptions
from runtime.serve.command import main
from runtime.service.events import Event, Finished, Queued, Started
from tests.runtime.serve.fake_runtime import AskedFor, FakeRuntime, choice_of, draw, image_of


class Runtime(FakeRuntime):
    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        if any(asked.prompt == "stuck" for asked in self.asked):
            await asyncio.Event().wait()


def open_fake(options: ServeOptions) -> FakeRuntime:
    if fifo := options.runtime["cache"]:
        Path(fifo).read_bytes()
    runtime = Runtime(Bundle.open(options.bundle), wait_or_draw)
    runtime.path = options.bundle
    return runtime


async def wait_or_draw(runtime: FakeRuntime, asked: AskedFor) -> AsyncIterator[Event]:
    if asked.prompt != "wait":
        async for event in draw(runtime, asked):
            yield event
        return
    go_on = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, go_on.set)
    yield Queued(ahead=0)
    yield Started(choice_of(asked))
    await go_on.wait()
    yield Finished(image_of(runtime, asked))


if __name__ == "__main__":
    run(lambda: main(opener=open_fake))
