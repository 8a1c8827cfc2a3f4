"""The code that the router sends each caption of a source to: asked once, and kept in the run's folder."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aptp.data.sample import SampleSource
from aptp.trainer import distributed, state
from runtime.cli.progress import Counting
from runtime.errors import StorageError
from runtime.files.publish import write_file

NAME, HELD_OUT = "routes.safetensors", "held_out_routes.safetensors"
AT_ONCE = 64  # captions; a constant, so that rounding does not depend on who asks
KEEP_EVERY = 30.0  # seconds between savings

Classify = Callable[[Sequence[str]], Tensor]  # captions to codes, int64 [B]


class Routes:
    """The codes of a source's captions by position, found when first asked for.

    The processes of a run share the work, and the first of them keeps what all found: a run that was stopped
    goes on from there.
    """

    def __init__(
        self, captions: SampleSource, classify: Classify, path: Path, identity: Mapping[str, Any]
    ) -> None:
        """`path`: where they are kept. `identity`: all that they depend on, as JSON. Raises UsageError where
        those of another run lie there.
        """
        self._captions, self._classify = captions, classify
        self._path, self._identity = path, json.loads(json.dumps(identity))
        self._codes = _read(self._path, self._identity)

    def __len__(self) -> int:
        return len(self._codes)

    def first(self, count: int) -> Tensor:
        """Return the codes of positions 0 to `count` − 1, int16. Raises StorageError."""
        if count > len(self):
            self._ask(count)
        return self._codes[:count]

    def _ask(self, count: int) -> None:
        start, saved = len(self), time.monotonic()
        with Counting(Console(stderr=True, quiet=not distributed.leads())) as progress:
            progress.begin("routing captions", count, start)
            while len(self) < count:
                self._codes = torch.cat([self._codes, self._next()])
                progress.tell("routing captions", min(len(self), count), count)
                # A clock of its own in each process: only the one that writes looks at it.
                if time.monotonic() - saved > KEEP_EVERY:
                    self._keep()
                    saved = time.monotonic()
        self._keep()

    def _next(self) -> Tensor:
        """Return the codes of the next captions, AT_ONCE for each process. Past the last caption of a pass
        the next one begins.
        """
        first = len(self) + AT_ONCE * distributed.rank()
        captions = [self._captions[first + i].caption for i in range(AT_ONCE)]
        codes = distributed.gathered(self._classify(captions))
        return codes.to("cpu", torch.int16)

    def _keep(self) -> None:
        if not distributed.leads():
            return
        told = {"identity": json.dumps(self._identity), "sha256": _digest(self._codes)}
        data = save({"codes": self._codes}, told)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._path, data)
        except OSError as error:
            raise StorageError(f"the routes cannot be written to {self._path}: {error}") from error


def _read(path: Path, identity: Mapping[str, Any]) -> Tensor:
    """Return what is kept in `path`; nothing where nothing is, or where it is damaged, which is said."""
    try:
        with safe_open(path, "pt") as file:
            told, codes = file.metadata(), file.get_tensor("codes")
        saved = json.loads(told["identity"])
        if told["sha256"] != _digest(codes):
            raise ValueError("its bytes changed")
    except FileNotFoundError:
        return torch.empty(0, dtype=torch.int16)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        terminal = Console(stderr=True, quiet=not distributed.leads())
        told = f"{path} is damaged ({error}); its captions are routed again"
        terminal.print(told, soft_wrap=True, markup=False)
        return torch.empty(0, dtype=torch.int16)
    state.check(path, saved, identity)
    whole: Tensor = codes[: len(codes) - len(codes) % AT_ONCE]
    return whole


def _digest(codes: Tensor) -> str:
    return hashlib.sha256(codes.numpy().tobytes()).hexdigest()
