"""The experts of a bundle as engines: a graph on OpenVINO or ONNX Runtime, or a compiled file."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from runtime.bundle.compiled import SUPERNET
from runtime.bundle.earned import INT8
from runtime.bundle.schema import Compiled, Expert, Manifest, Model
from runtime.engines import openvino, precision
from runtime.engines.choice import ON_GRAPHS, PROVIDER_OF, fitting
from runtime.engines.engine import Engine, GraphEngine
from runtime.engines.providers import ON_GPU
from runtime.engines.session import BoundEngine, Session
from runtime.engines.shape_bucket import ShapeBucket
from runtime.errors import EngineFailure, FieldError
from runtime.files.verified import FileEntry
from runtime.models.sessions import Sessions

Float32 = npt.NDArray[np.float32]


class Experts:
    """Opens engines of the kind `engine` (not `auto`); `inputs` are the names of the conditioning.

    `asked` is what graphs are computed in, None for the least that each expert has earned. Each expert has
    its own engine, but for the supernet: one for all, known by that name, whose rows follow the gates that
    come with them.
    """

    def __init__(
        self,
        manifest: Manifest,
        sessions: Sessions,
        engine: str,
        inputs: Sequence[str],
        asked: str | None = None,
    ) -> None:
        self._manifest, self._sessions = manifest, sessions
        self._engine, self._inputs, self._asked = engine, inputs, asked

    def engine_of(self, expert: str) -> str:
        """Return the name of the engine that serves an expert: experts of one engine share its calls."""
        return SUPERNET if self._engine == SUPERNET else expert

    def conditioning(self, expert: str) -> dict[str, Float32]:
        """Return what a call for the expert gets besides its prompt: for the supernet its `gates` [1, G]."""
        if self._engine != SUPERNET:
            return {}
        gates = self._manifest.experts[expert].gates
        assert gates is not None, "where there is a supernet, the manifest has every expert's gates"
        return {"gates": np.array([gates.kept], np.float32)}

    def open(self, bucket: ShapeBucket) -> Engine:
        """Open the engine for a bucket. Raises as `Sessions` does, and `FieldError` for what it does not
        take.
        """
        if self._engine in ON_GRAPHS:
            return self._graph(bucket)
        return self._sessions.open_compiled(self._compiled(bucket.model))

    def check(self, expert: str, rows: int, height: int, width: int) -> None:
        """Refuse a call that the expert's engine does not take. Raises `FieldError`."""
        if self._engine in ON_GRAPHS:
            return
        profile = self._compiled(expert).profile
        for axis, size in (("batch", rows), ("height", height), ("width", width)):
            if not profile[axis].takes(size):
                least, _, most = profile[axis]
                raise FieldError(
                    "size",
                    f"engine {self._engine!r} of expert {expert!r} takes a {axis} of {least} to {most} "
                    f"(of latents), not {size}; ask for another size, or open the bundle with engine 'auto'",
                )

    def fitting_batch(self, batch: int) -> int:
        """As many of `batch` requests as fit into one call: guidance makes two rows of each."""
        if self._engine in ON_GRAPHS:
            return batch
        most = min(self._compiled(name).profile["batch"].most for name in self._manifest.experts)
        return max(1, min(batch, most // 2))

    def cost(self, bucket: ShapeBucket) -> int:
        """Return the bytes that the engine's weights are expected to hold."""
        files = self._manifest.files
        if self._engine not in ON_GRAPHS:
            return files[self._compiled(bucket.model).file].size
        expert = self._manifest.experts[bucket.model]
        if self._engine != "openvino":
            return memory_of(expert.model, files)
        computed = precision.of(expert, self._engine, self._asked)
        if computed == INT8:
            return memory_of(_int8(expert), files)
        assert expert.model.weights is not None, "experts are served from weights"
        return int(openvino.HELD[computed] / 2 * files[expert.model.weights].size)

    def key(self, expert: str, rows: int, height: int, width: int) -> ShapeBucket:
        """Return the shapes that an engine for the call is specialised to: a compiled one serves all that its
        profile takes.
        """
        if self._engine in ON_GRAPHS:
            return ShapeBucket(expert, rows, height, width)
        return ShapeBucket(self.engine_of(expert), 0, 0, 0)

    def _graph(self, bucket: ShapeBucket) -> Engine:
        expert = self._manifest.experts[bucket.model]
        sides = {"height": bucket.height, "width": bucket.width}
        computed = precision.of(expert, self._engine, self._asked)
        graph = self._sessions.open_on(
            self._engine,
            _int8(expert) if computed == INT8 else expert.model,
            overrides={**sides, "batch": bucket.rows} if bucket.rows else sides,
            precision=computed,
        )
        graph.require(["sample", "time_embedding", *self._inputs], "out_sample")
        if isinstance(graph, Session) and PROVIDER_OF[self._engine] in ON_GPU:
            return BoundEngine(graph)
        return GraphEngine(graph)

    def _compiled(self, expert: str) -> Compiled:
        name = next(iter(self._manifest.experts)) if expert == SUPERNET else expert
        entry = fitting(self._manifest.experts[name], self._engine)
        if entry is None:  # the choice of the engine has seen one
            raise EngineFailure(f"expert {expert!r} has no engine {self._engine!r} for this machine any more")
        return entry


def _int8(expert: Expert) -> Model:
    assert expert.int8 is not None, "who asks for it was checked, and who earned it has it"
    return expert.int8


def memory_of(model: Model, files: Mapping[str, FileEntry]) -> int:
    """Return the bytes that a graph's weights hold when it is open: float32, twice the float16 of
    the bundle; in eight bits, twice what is stored, for products have a layout of their own.
    """
    return 2 * files[model.weights].size if model.weights else files[model.graph].size
