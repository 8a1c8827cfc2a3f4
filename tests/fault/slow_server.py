"""`python -m runtime.serve` with engines that take 20 ms a call."""

import threading
from typing import Any

from runtime.cli import run
from runtime.engines.onnx import OnnxEngine
from runtime.serve.command import main

SECONDS = 0.02

if __name__ == "__main__":
    never, quick = threading.Event(), OnnxEngine.run

    def slow(self: OnnxEngine, *inputs: Any) -> Any:
        never.wait(SECONDS)
        return quick(self, *inputs)

    OnnxEngine.run = slow  # type: ignore[method-assign]
    run(main)
