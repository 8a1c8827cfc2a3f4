"""A peer that computes nothing of use, or goes wrong in the way it is asked to."""

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.peers.protocol import Arrays, Float32, PeerUnavailable, serve


class Toy:
    """Doubles the sample; `kind` says what goes wrong."""

    packages = ("numpy",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def load(self, task: Mapping[str, Any]) -> None:
        sys.stdout.write("a library that prints\n")
        sys.stdout.flush()
        os.write(1, b"another, below Python\n")
        if self.kind == "babbles":
            os.write(real, b"hello\n")
        if self.kind == "unfit":
            raise PeerUnavailable("there is no GPU here")
        if self.kind == "missing":
            import a_package_that_nobody_has  # noqa: F401
        if self.kind == "dies":
            sys.stderr.write("first\nterminate called\nout of memory\nabort\n")
            sys.stderr.flush()
            os._exit(7)

    def take(self, inputs: Arrays) -> None:
        self.sample = inputs["sample"]

    def step(self) -> None:
        if self.kind == "fails":
            raise RuntimeError("no kernel for this shape\nand a long trace")
        time.sleep(0.01)

    def output(self) -> Float32:
        return 2 * self.sample

    def image(self, task: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[Any]]:
        pixels = np.zeros((task["height"], task["width"], 3), np.float32)
        if self.kind != "blank":
            pixels[0, 0, 0] = task["steps"]
        return pixels


real = os.dup(1)  # where answers go, before `serve` takes it for itself
serve(Toy(sys.argv[1]))
