"""Follow images while they are made, several at once in one event loop: python stream.py BUNDLE PROMPT..."""

import asyncio
import sys

from runtime import Finished, GenerationParams, QueueFull, RequestOptions, Runtime, Step


async def follow(runtime: Runtime, prompt: str) -> None:
    options = RequestOptions(previews=3, deadline=60)
    try:
        async with runtime.stream(prompt, GenerationParams(steps=5), options) as events:
            async for event in events:
                if isinstance(event, Step):
                    print(f"{prompt!r}: step {event.done} of {event.total}")
                elif isinstance(event, Finished):
                    print(f"{prompt!r}: expert {event.image.choice.expert}")
    except QueueFull as refusal:
        print(f"{prompt!r}: try again in {refusal.retry_after:.0f} s")


async def main(bundle: str, *prompts: str) -> None:
    async with Runtime.open(bundle) as runtime:
        await asyncio.gather(*(follow(runtime, prompt) for prompt in prompts))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
