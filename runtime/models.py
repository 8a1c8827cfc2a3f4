"""Every graph of an opened bundle: encoders and router at once, experts and decoder when first needed."""

import time

import numpy as np
import numpy.typing as npt

from .bundle.reader import Bundle
from .bundle.schema import Model
from .cache import Cache
from .encoding import Encoder
from .engines.engine import Engine
from .engines.onnx import OnnxEngine, Session
from .engines.residency import Bucket, Residency
from .errors import EngineFailure
from .router import Route, Router
from .sessions import Sessions

Float32 = npt.NDArray[np.float32]

_DECODER = "decoder"


class Models:
    """The bundle's graphs. Experts and decoder are on `provider`, and hold up to `memory` bytes together."""

    def __init__(self, bundle: Bundle, cache: Cache, provider: str, memory: int, threads: int | None) -> None:
        self._manifest, self._provider = bundle.manifest, provider
        self._sessions = Sessions(bundle, cache, threads)
        self._inputs = {entry.input: entry.encoder for entry in self._manifest.conditioning}
        names = {self._manifest.router.encoder, *self._inputs.values()}
        self._encoders = {
            name: Encoder(bundle, self._manifest.encoders[name], self._sessions) for name in sorted(names)
        }
        self._router = Router(self._manifest.router, self._sessions)
        self._resident: Residency[Session] = Residency(self._open, self._cost, memory)

    def condition(self, prompt: str) -> dict[str, Float32]:
        """The UNet's conditioning inputs for a prompt, each [1, L, E]."""
        return {name: self._encoders[encoder](prompt).embedding for name, encoder in self._inputs.items()}

    def route(self, prompt: str) -> Route:
        """The code that a prompt goes to."""
        return self._router(self._encoders[self._manifest.router.encoder](prompt))

    def dropped_tokens(self, prompt: str, *, routed: bool) -> int:
        """How many tokens of a prompt do not fit: the most of any encoder that reads it.

        Those are the ones that condition the UNet, and the router's own if the prompt is `routed`.
        """
        readers = {*self._inputs.values(), *([self._manifest.router.encoder] if routed else [])}
        return max((self._encoders[name](prompt).dropped for name in readers), default=0)

    def forget_prompts(self) -> None:
        """Let the encoders read every prompt anew from now on."""
        for encoder in self._encoders.values():
            encoder.forget()

    def engine(self, expert: str, rows: int, height: int, width: int) -> Engine:
        """The engine for an expert; `rows` 0 leaves the batch open."""
        return OnnxEngine(self._resident[Bucket(expert, rows, height, width)])

    def decode(self, latents: Float32) -> tuple[Float32, float]:
        """Latents [C, H, W] to an unbounded image [3, scale·H, scale·W], and the seconds it took."""
        decoder = self._manifest.decoder
        scaled = latents[None] / np.float32(decoder.scaling_factor) + np.float32(decoder.shift_factor)
        _, height, width = latents.shape
        session = self._resident[Bucket(_DECODER, 1, height, width)]
        start = time.perf_counter()
        image: Float32 = session.run("sample", {"latent_sample": scaled})[0]
        expected = (3, height * decoder.scale, width * decoder.scale)
        if image.shape != expected:
            raise EngineFailure(f"decoder: gave an image of shape {image.shape} instead of {expected}")
        return image, time.perf_counter() - start

    def close(self) -> None:
        """Close the sessions of experts and decoder."""
        self._resident.clear()

    def _open(self, bucket: Bucket) -> Session:
        sides = {"height": bucket.height, "width": bucket.width}
        overrides = {**sides, "batch": bucket.rows} if bucket.rows else sides
        decodes = bucket.model == _DECODER
        session = self._sessions.open(
            self._model(bucket),
            self._provider,
            overrides=overrides,
            precision=self._precision(bucket),
        )
        if decodes:
            session.require(["latent_sample"], "sample")
        else:
            session.require(["sample", "timestep", *self._inputs], "out_sample")
        return session

    def _precision(self, bucket: Bucket) -> str:
        """`fast` only for experts that have shown it does them no harm (BUNDLE.md, "reduced_precision").

        The decoder runs once per image, and low precision shows as banding.
        """
        if bucket.model == _DECODER:
            return "float32"
        expert = self._manifest.experts[bucket.model]
        return "fast" if self._provider in expert.reduced_precision else "float32"

    def _model(self, bucket: Bucket) -> Model:
        manifest = self._manifest
        return manifest.decoder.model if bucket.model == _DECODER else manifest.experts[bucket.model].model

    def _cost(self, bucket: Bucket) -> int:
        model, files = self._model(bucket), self._manifest.files
        # In memory the weights are float32, twice the float16 of the bundle.
        return 2 * files[model.weights].size if model.weights else files[model.graph].size
