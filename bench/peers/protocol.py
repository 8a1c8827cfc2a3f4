"""The protocol of a peer: a line of JSON in, a line of JSON out.

    {"do": "load", "checkpoint", "graph", "device", "threads", …}  →  {"seconds", "versions"}
    {"do": "take", "path": npz of a UNet call's inputs}            →  {}
    {"do": "step"}                                                 →  {"seconds"}
    {"do": "output", "path": where the last step's goes, npy}      →  {}
    {"do": "image", "prompt", "negative", "steps", "guidance", "height", "width"}  →  {"seconds"}

What goes wrong is {"failure": reason}. The peer's own clock times it, so that pipes are in nobody's numbers.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Arrays = Mapping[str, Float32]


class PeerUnavailable(Exception):
    """The peer cannot run here; the message says why, and the remedy."""


class Serves(Protocol):
    """One peer. Calls return when their work is done, on whatever device."""

    packages: tuple[str, ...]

    def load(self, task: Mapping[str, Any]) -> None: ...
    def take(self, inputs: Arrays) -> None: ...
    def step(self) -> None: ...
    def output(self) -> Float32: ...
    def image(self, task: Mapping[str, Any]) -> npt.NDArray[Any]: ...


def serve(peer: Serves) -> None:
    """Answer until standard input ends."""
    answers = _answers()
    for line in sys.stdin:
        try:
            answer = _answer(peer, json.loads(line))
        except PeerUnavailable as reason:
            answer = {"failure": str(reason)}
        except ImportError as error:
            answer = {"failure": f"{error.name or error} is not installed for {sys.executable}"}
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is an answer, and not ours to mend
            said = str(error).strip().splitlines() or [""]
            answer = {"failure": f"{type(error).__name__}: {said[0]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _answer(peer: Serves, task: Mapping[str, Any]) -> dict[str, Any]:
    match task["do"]:
        case "load":
            seconds = _timed(lambda: peer.load(task))
            return {"seconds": seconds, "versions": {name: version(name) for name in peer.packages}}
        case "take":
            with np.load(task["path"], allow_pickle=False) as arrays:
                peer.take(dict(arrays))
            return {}
        case "step":
            return {"seconds": _timed(peer.step)}
        case "output":
            np.save(task["path"], peer.output(), allow_pickle=False)
            return {}
        case "image":
            images: list[npt.NDArray[Any]] = []
            seconds = _timed(lambda: images.append(peer.image(task)))
            if not np.isfinite(images[0]).all() or np.ptp(images[0]) == 0:
                return {"failure": "not timed, its image is blank or not finite"}
            return {"seconds": seconds}
        case unknown:
            return {"failure": f"{unknown!r} is not understood"}


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _answers() -> IO[str]:
    """Return the real standard output, for answers alone: libraries that print are sent to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers
