"""Opening the graphs of a bundle: what an engine has opened is what was checked, or it is refused."""

from collections.abc import Mapping

from .bundle.reader import Bundle
from .bundle.schema import Model
from .cache import Cache
from .engines.onnx import Session, open_session
from .errors import IntegrityError

_ATTEMPTS = 2


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
        precision: str = "float32",
    ) -> Session:
        """As `open_session`, on exactly the bytes that were checked.

        Raises `IntegrityError`, `CacheFailure`, `EngineFailure`.
        """
        for _ in range(_ATTEMPTS):
            graph = self._cache.serving_graph(self._bundle, model)
            session = open_session(
                graph, provider, overrides=overrides, precision=precision, threads=self._threads
            )
            # Engines open files by name, after the check: this sees whatever was put there in between.
            if self._cache.is_unchanged(self._bundle, model):
                return session
        raise IntegrityError(
            f"{graph}: was changed while it was being opened, {_ATTEMPTS} times; "
            "stop what writes there, and try again"
        )
