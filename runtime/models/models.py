"""Every model of an opened bundle: encoders and router at once, experts and decoder when asked for."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from runtime.bundle.reader import Bundle
from runtime.cli.values import check_limit
from runtime.diffusion.schedule import Solver, SolverSteps
from runtime.engines import precision as precisions
from runtime.engines.choice import choose, provider_beside
from runtime.engines.engine import Engine, Graph
from runtime.engines.shape_bucket import ShapeBucket
from runtime.errors import EngineFailure, UsageError
from runtime.machine.memory import half_of_memory
from runtime.models.cache import Cache
from runtime.models.clock import Clock
from runtime.models.encoder import Encoder
from runtime.models.experts import Experts, memory_of
from runtime.models.router import Router, RouterOutput
from runtime.models.sessions import Sessions
from runtime.request.params import ResolvedParams
from runtime.scheduling.capacity import Capacity, default_batch

Float32 = npt.NDArray[np.float32]

DECODER = "decoder"
THREADS = 4096  # of one call: more than any machine has cores


class Models:
    """The bundle's models. Experts are on `engine`, where `batch` requests may share a call.

    `clock`: the time embeddings of experts; `capacity`: how many are worth a call, by bucket, as far as calls
    have shown.
    """

    def __init__(
        self,
        bundle: Bundle,
        cache: Cache,
        engine: str,
        *,
        precision: str | None = None,
        batch: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.bundle, self.engine = bundle, engine
        self._manifest = bundle.manifest
        self._sessions = Sessions(bundle, cache, threads)
        self._inputs = {entry.input: entry.encoder for entry in self._manifest.conditioning}
        names = {self._manifest.router.encoder, *self._inputs.values()}
        self._encoders = {
            name: Encoder(bundle, self._manifest.encoders[name], self._sessions) for name in sorted(names)
        }
        self._router = Router(self._manifest.router, self._sessions)
        self.experts = Experts(self._manifest, self._sessions, engine, tuple(self._inputs), precision)
        self.clock = Clock(self._manifest.experts, self._sessions)
        if batch is None:
            batch = default_batch(max(expert.macs for expert in self._manifest.experts.values()))
        self.batch = self.experts.fitting_batch(batch)
        self._solvers: dict[str, Solver] = {}
        self.capacity = Capacity()

    @classmethod
    def open(
        cls,
        bundle: str | Path = "bundle",
        *,
        engine: str = "auto",
        precision: str | None = None,
        cache: str | Path | None = None,
        cache_group_writable: bool = False,
        batch: int | None = None,
        threads: int | None = None,
    ) -> "Models":
        """Open the bundle at a path.

        `engine` is what runs the UNet: `cpu`, `openvino`, `cuda`, `tensorrt-ep`, `aoti`, `tensorrt`,
        `supernet` (one engine of all codes, whose requests share calls), or `auto` for the best that can be
        had here (`runtime.engines.choice`); `precision` what it computes in, `float32`, `bfloat16` or `int8`
        (default: the least that each expert has earned on this engine and class of processor); `cache` a
        folder for derived files, which is the user's or root's and which no other user can write, unless
        `cache_group_writable` trusts its group; `batch` how many requests may share a UNet call (default: 8
        if the largest expert takes fewer than 10^9 MACs, else 1: see `default_batch`); `threads` those of
        one call. Whether an image is the same alone and in a crowd is told in docs/GUARANTEES.md. Between
        `batch` 1, whose engines are pinned to one request, and the others 0.02 % of the values differed by
        1 of 255.
        Raises `UsageError`, `NotABundle`, `ManifestError`, `IntegrityError`, `EnvironmentMismatch`,
        `CacheFailure`, `EngineFailure`.
        """
        batch, threads = check_limit(batch, "batch"), check_limit(threads, "threads")
        if threads is not None and threads > THREADS:
            raise UsageError(f"threads {threads}: give an integer from 1 to {THREADS}")
        opened = Bundle.open(bundle)
        chosen = choose(engine, opened.manifest)
        precisions.check(precision, chosen, opened.manifest)
        folder = Cache(cache, group_writable=cache_group_writable)
        return cls(opened, folder, chosen, precision=precision, batch=batch, threads=threads)

    def condition(self, prompt: str) -> dict[str, Float32]:
        """Return the UNet's conditioning inputs for a prompt, each [1, L, E]."""
        return {name: self._encoders[encoder](prompt).embedding for name, encoder in self._inputs.items()}

    @property
    def routes_apart(self) -> bool:
        """Whether prompts are routed on an encoder that conditions nothing."""
        return self._manifest.router.encoder not in self._inputs.values()

    def route(self, prompt: str) -> RouterOutput:
        """Return the code that a prompt goes to."""
        return self._router(self._encoders[self._manifest.router.encoder](prompt))

    def dropped_tokens(self, prompt: str, *, routed: bool) -> int:
        """Return how many tokens of a prompt do not fit: the most of any encoder that reads it.

        Those are the ones that condition the UNet, and the router's own if the prompt is `routed`.
        """
        readers = {*self._inputs.values(), *([self._manifest.router.encoder] if routed else [])}
        return max((self._encoders[name](prompt).dropped for name in readers), default=0)

    def forget_prompts(self) -> None:
        """Let the encoders read every prompt anew from now on."""
        for encoder in self._encoders.values():
            encoder.forget()

    def solver_steps(self, params: ResolvedParams) -> SolverSteps:
        """Return the rows of a request's schedule. Raises `UsageError` where the solver lacks them."""
        if params.solver not in self._solvers:
            self._solvers[params.solver] = Solver.load(self.bundle, params.solver)
        return self._solvers[params.solver].steps(params)

    def bucket(self, expert: str, rows: int, height: int, width: int) -> ShapeBucket:
        """Return what the engine for calls of `rows` rows a request is specialised to. Raises
        `UsageError`.
        """
        self.experts.check(expert, rows, height, width)
        # An engine per group size would hold the weights once more each: with batching, one serves all.
        return self.experts.key(expert, rows if self.batch == 1 else 0, height, width)

    def decoder_bucket(self, height: int, width: int) -> ShapeBucket:
        """Return what the decoder of latents [C, height, width] is specialised to: one image a call."""
        return ShapeBucket(DECODER, 1, height, width)

    def open_engine(self, bucket: ShapeBucket) -> Engine:
        """Open the engine for an expert's bucket. Raises as `Sessions` does."""
        return self.experts.open(bucket)

    def open_decoder(self, bucket: ShapeBucket) -> Graph:
        """Open the decoder, in float32: it runs once per image, and low precision shows as banding."""
        graph = self._sessions.open(
            self._manifest.decoder.model,
            provider_beside(self.engine),
            overrides={"batch": bucket.rows, "height": bucket.height, "width": bucket.width},
        )
        graph.require(["latent_sample"], "sample")
        return graph

    def decode(self, graph: Graph, latents: Float32) -> tuple[Float32, float]:
        """Decode latents [C, H, W] to an unbounded image [3, scale·H, scale·W], and the seconds it took."""
        decoder = self._manifest.decoder
        scaled = latents[None] / np.float32(decoder.scaling_factor) + np.float32(decoder.shift_factor)
        start = time.perf_counter()
        image: Float32 = graph.run("sample", {"latent_sample": scaled})[0]
        expected = (3, latents.shape[1] * decoder.scale, latents.shape[2] * decoder.scale)
        if image.shape != expected:
            raise EngineFailure(f"decoder: gave an image of shape {image.shape} instead of {expected}")
        return image, time.perf_counter() - start

    def cost(self, bucket: ShapeBucket) -> int:
        """Return the bytes that the weights of an engine are expected to hold."""
        if bucket.model != DECODER:
            return self.experts.cost(bucket)
        return memory_of(self._manifest.decoder.model, self._manifest.files)

    def budget(self, memory: int | None) -> int:
        """Return the bytes for engines: `memory`, or half of the machine's. Raises `UsageError` for
        too few.
        """
        asked = check_limit(memory, "memory")
        budget = half_of_memory() if asked is None else asked
        buckets = [self.decoder_bucket(1, 1), *(self.experts.key(n, 1, 1, 1) for n in self._manifest.experts)]
        largest = max(buckets, key=self.cost)
        if self.cost(largest) > budget:
            raise UsageError(
                f"memory {budget}: the weights of {largest.model!r} alone hold {self.cost(largest)} bytes; "
                "give at least as many"
            )
        return budget
