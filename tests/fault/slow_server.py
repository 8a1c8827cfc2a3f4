"""`python -m runtime.serve` with engines that take 20 ms a call."""

import threading
from typing import Any

from runtime.cli.parser import run
from runtime.engines.engine import GraphEngine
from runtime.serve.command import main

SECONDS = 0.02

if __name__ == "__main__":
    never, quick = threading.Event(), GraphEngine.run

    def slow(self: GraphEngine, *inputs: Any) -> Any:
        never.wait(SECONDS)
        return quick(self, *inputs)

    GraphEngine.run = slow  # type: ignore[method-assign]
    run(main)
