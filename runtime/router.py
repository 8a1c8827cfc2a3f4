"""Which code a prompt goes to, whatever other prompts there are (docs/BUNDLE.md, "Routing")."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .bundle.reader import Bundle
from .cache import Cache
from .encoding import Encoding
from .engines.onnx import open_session
from .errors import EngineFailure


class Route(NamedTuple):
    """A code, and by how much its similarity beats that of every other (None if there is no other)."""

    code: int
    margin: float | None


class Router:
    """The router's graph, on the CPU provider in float32 whatever serves the UNet."""

    def __init__(self, bundle: Bundle, cache: Cache, threads: int | None = None) -> None:
        self.settings = bundle.manifest.router
        self._session = open_session(cache.serving_graph(bundle, self.settings.model), "cpu", threads=threads)
        self._session.require(["embedding", "attention_mask"], "similarity")

    def __call__(self, encoding: Encoding) -> Route:
        """Route an encoded prompt. Raises `EngineFailure` for similarities that are no numbers."""
        similarity = self._session.run(
            "similarity", {"embedding": encoding.embedding, "attention_mask": encoding.mask}
        )
        codes = self.settings.codes
        if similarity.shape != (1, codes) or not np.isfinite(similarity).all():
            raise EngineFailure(f"router: gave {similarity.shape} values, not {codes} finite similarities")
        return choose(similarity[0], self.settings.tie)


def choose(similarity: npt.NDArray[np.float32], tie: float) -> Route:
    """The lowest code whose similarity [codes] lies within `tie` of the best."""
    best = similarity.max()
    code = int(np.flatnonzero(best - similarity <= tie)[0])
    # Of the best, not of the winner of a tie: a tie's margin is tiny, never negative.
    others = np.delete(similarity, similarity.argmax())
    return Route(code, float(best - others.max()) if others.size else None)
