"""The router: it sends a prompt to a code, whatever other prompts there are (docs/BUNDLE.md, "Routing")."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from runtime.bundle.schema import RouterEntry
from runtime.errors import EngineFailure
from runtime.models.encoder import Encoding
from runtime.models.sessions import Sessions


class RouterOutput(NamedTuple):
    """A code, and by how much its similarity beats that of every other (None if there is no other).

    `distance`: how far the prompt lies from those of the training (about 1: like them); None where the bundle
    cannot tell.
    """

    code: int
    margin: float | None
    distance: float | None = None


class Router:
    """The router's graph, on the CPU provider in float32 whatever serves the UNet."""

    def __init__(self, entry: RouterEntry, sessions: Sessions) -> None:
        self.entry = entry
        self._session = sessions.open(entry.model)
        self._outputs = ("similarity", *(["distance"] if entry.out_of_distribution else []))
        for output in self._outputs:
            self._session.require(["embedding", "attention_mask"], output)

    def __call__(self, encoding: Encoding) -> RouterOutput:
        """Route an encoded prompt. Raises `EngineFailure` for outputs that are no numbers."""
        similarity, *distance = self._session.run_all(
            self._outputs, {"embedding": encoding.embedding, "attention_mask": encoding.mask}
        )
        codes = self.entry.codes
        if similarity.shape != (1, codes) or not np.isfinite(similarity).all():
            raise EngineFailure(f"router: gave {similarity.shape} values, not {codes} finite similarities")
        route = choose(similarity[0], self.entry.tie)
        if not distance:
            return route
        if distance[0].shape != (1,) or not np.isfinite(distance[0]).all():
            raise EngineFailure(f"router: gave {distance[0].shape} values, not one finite distance")
        return route._replace(distance=float(distance[0][0]))


def choose(similarity: npt.NDArray[np.float32], tie: float) -> RouterOutput:
    """Choose the lowest code whose similarity [codes] lies within `tie` of the best."""
    best = similarity.max()
    code = int(np.flatnonzero(best - similarity <= tie)[0])
    # Of the best, not of the winner of a tie: a tie's margin is tiny, never negative.
    others = np.delete(similarity, similarity.argmax())
    return RouterOutput(code, float(best - others.max()) if others.size else None)


def wanted(entry: RouterEntry, route: RouterOutput) -> tuple[str, bool]:
    """Return the expert of a prompt's code, or (true) that of prompts out of the training's distribution."""
    rule = entry.out_of_distribution
    if rule and route.distance is not None and route.distance > rule.threshold:
        return rule.expert, True
    return str(route.code), False
