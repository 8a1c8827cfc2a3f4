"""The clock: the time embedding of each of a schedule's rows, computed in float32 outside the network.

Engines that round the product of timestep and frequency take sines of wrong angles (docs/BUNDLE.md, "The
clock"). The rows of a solver's steps are one call, once per expert, so that a step looks its row up.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from runtime.bundle.schema import Expert
from runtime.diffusion.schedule import SolverSteps
from runtime.engines.engine import Graph
from runtime.errors import EngineFailure
from runtime.models.sessions import Sessions

Float32 = npt.NDArray[np.float32]

KEPT = 32  # tables; 50 rows of 1,280 floats are 0.25 MB


class Clock:
    """The clocks of all experts, each opened when it is first needed. Any thread may ask."""

    def __init__(self, experts: Mapping[str, Expert], sessions: Sessions) -> None:
        self._experts, self._sessions = experts, sessions
        self._graphs: dict[str, Graph] = {}
        self._kept: OrderedDict[tuple[str, tuple[float, ...]], Float32] = OrderedDict()
        self._width: int | None = None
        self._lock = threading.Lock()

    def __call__(self, expert: str, steps: SolverSteps) -> Float32:
        """Return the time embeddings [rows, E] of a solver's steps by an expert.

        Raises `EngineFailure`, and what opening a graph raises.
        """
        timesteps = tuple(row.timestep for row in steps.rows)
        key = expert, timesteps
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._compute(expert, timesteps)
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def _compute(self, expert: str, timesteps: tuple[float, ...]) -> Float32:
        if expert not in self._graphs:
            graph = self._sessions.open(self._experts[expert].clock)
            graph.require(["timestep"], "time_embedding")
            self._graphs[expert] = graph
        found = self._graphs[expert].run("time_embedding", {"timestep": np.array(timesteps, np.float32)})
        if found.ndim != 2 or len(found) != len(timesteps) or not np.isfinite(found).all():
            raise EngineFailure(
                f"the clock of expert {expert!r}: gave {found.shape} values, not {len(timesteps)} rows of "
                "finite ones; build the bundle again"
            )
        self._width = self._width or found.shape[1]
        if found.shape[1] != self._width:  # rows of several experts may share a call
            raise EngineFailure(
                f"the clock of expert {expert!r}: gave {found.shape[1]} values a row, and others "
                f"{self._width}; build the bundle again"
            )
        return found
