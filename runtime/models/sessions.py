"""Opening what a bundle holds: what an engine has opened is what was checked, or it is refused."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from runtime.bundle.compiled import SUPERNET
from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Compiled, Model
from runtime.engines import aoti, openvino, tensorrt
from runtime.engines.choice import PROVIDER_OF
from runtime.engines.engine import Engine, Graph
from runtime.engines.session import Session, open_session
from runtime.errors import IntegrityError
from runtime.models.cache import Cache

T = TypeVar("T")

_ATTEMPTS = 2
OPENERS: Mapping[str, Callable[[Path, Compiled, int | None], Engine]] = {
    "aoti": aoti.open_package,
    "tensorrt": tensorrt.open_plan,
    SUPERNET: aoti.open_package,
}


class Sessions:
    """Opens a bundle's models from its files or the cache's. `threads` are those of one call."""

    def __init__(self, bundle: Bundle, cache: Cache, threads: int | None = None) -> None:
        self._bundle, self._cache, self._threads = bundle, cache, threads

    def open(
        self,
        model: Model,
        provider: str = "cpu",
        *,
        overrides: Mapping[str, int] | None = None,
    ) -> Session:
        """As `open_session`, on exactly the bytes that were checked.

        Raises `IntegrityError`, `CacheFailure`, `EngineFailure`.
        """
        return self._checked(
            model,
            lambda graph: open_session(graph, provider, overrides=overrides, threads=self._threads),
        )

    def open_on(
        self,
        engine: str,
        model: Model,
        *,
        overrides: Mapping[str, int],
        precision: str = "float32",
    ) -> Graph:
        """Open a graph on an engine of `ON_GRAPHS`. Raises as `open`."""
        if engine != "openvino":
            return self.open(model, PROVIDER_OF[engine], overrides=overrides)
        return self._checked(
            model,
            lambda graph: openvino.open_model(
                graph, overrides=overrides, precision=precision, threads=self._threads
            ),
        )

    def _checked(self, model: Model, open_it: Callable[[Path], T]) -> T:
        return _unchanged(
            lambda: self._cache.serving_graph(self._bundle, model),
            open_it,
            lambda: self._cache.is_unchanged(self._bundle, model),
        )

    def open_compiled(self, entry: Compiled) -> Engine:
        """Open a compiled engine from exactly the bytes that were checked.

        Raises `IntegrityError`, `EnvironmentMismatch`, `EngineFailure`.
        """
        return _unchanged(
            lambda: self._bundle.file(entry.file),
            lambda path: OPENERS[entry.kind](path, entry, self._threads),
            lambda: self._bundle.files.is_unchanged([entry.file]),
        )


def _unchanged(
    check: Callable[[], Path], open_it: Callable[[Path], T], is_unchanged: Callable[[], bool]
) -> T:
    for _ in range(_ATTEMPTS):
        path = check()
        opened = open_it(path)
        # Engines open files by name, after the check: this sees whatever was put there in between.
        if is_unchanged():
            return opened
    raise IntegrityError(
        f"{path}: was changed while it was being opened, {_ATTEMPTS} times; "
        "stop what writes there, and try again"
    )
