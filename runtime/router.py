"""Which code a prompt goes to, whatever other prompts there are (docs/BUNDLE.md, "Routing")."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .bundle.schema import RouterEntry
from .encoding import Encoding
from .errors import EngineFailure
from .sessions import Sessions


class Route(NamedTuple):
    """A code, and by how much its similarity beats that of every other (None if there is no other)."""

    code: int
    margin: float | None


class Router:
    """The router's graph, on the CPU provider in float32 whatever serves the UNet."""

    def __init__(self, entry: RouterEntry, sessions: Sessions) -> None:
        self.entry = entry
        self._session = sessions.open(entry.model)
        self._session.require(["embedding", "attention_mask"], "similarity")

    def __call__(self, encoding: Encoding) -> Route:
        """Route an encoded prompt. Raises `EngineFailure` for similarities that are no numbers."""
        similarity = self._session.run(
            "similarity", {"embedding": encoding.embedding, "attention_mask": encoding.mask}
        )
        codes = self.entry.codes
        if similarity.shape != (1, codes) or not np.isfinite(similarity).all():
            raise EngineFailure(f"router: gave {similarity.shape} values, not {codes} finite similarities")
        return choose(similarity[0], self.entry.tie)


def choose(similarity: npt.NDArray[np.float32], tie: float) -> Route:
    """The lowest code whose similarity [codes] lies within `tie` of the best."""
    best = similarity.max()
    code = int(np.flatnonzero(best - similarity <= tie)[0])
    # Of the best, not of the winner of a tie: a tie's margin is tiny, never negative.
    others = np.delete(similarity, similarity.argmax())
    return Route(code, float(best - others.max()) if others.size else None)
