"""Every model of an opened bundle: encoders and router at once, experts and decoder when first needed."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from .bundle.reader import Bundle
from .cache import Cache
from .encoding import Encoder
from .engines.choice import provider_beside
from .engines.engine import Engine
from .engines.onnx import Session
from .engines.residency import Bucket, Residency
from .errors import EngineFailure
from .experts import Experts, memory_of
from .request import Request, constant_plan
from .router import Route, Router
from .schedule import Trajectory
from .sessions import Sessions

Float32 = npt.NDArray[np.float32]

_DECODER = "decoder"


class Models:
    """The bundle's models. Experts are on `engine`; with the decoder they hold up to `memory` bytes."""

    def __init__(self, bundle: Bundle, cache: Cache, engine: str, memory: int, threads: int | None) -> None:
        self._manifest = bundle.manifest
        self._sessions = Sessions(bundle, cache, threads)
        self._inputs = {entry.input: entry.encoder for entry in self._manifest.conditioning}
        names = {self._manifest.router.encoder, *self._inputs.values()}
        self._encoders = {
            name: Encoder(bundle, self._manifest.encoders[name], self._sessions) for name in sorted(names)
        }
        self._router = Router(self._manifest.router, self._sessions)
        self.experts = Experts(self._manifest, self._sessions, engine, tuple(self._inputs))
        self._provider = provider_beside(engine)
        self._resident: Residency[Any] = Residency(self._open, self._cost, memory)

    def condition(self, prompt: str) -> dict[str, Float32]:
        """The UNet's conditioning inputs for a prompt, each [1, L, E]."""
        return {name: self._encoders[encoder](prompt).embedding for name, encoder in self._inputs.items()}

    @property
    def routes_apart(self) -> bool:
        """Whether prompts are routed on an encoder that conditions nothing."""
        return self._manifest.router.encoder not in self._inputs.values()

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

    def request(
        self, expert: str, trajectory: Trajectory, prompt: str, negative: str, guidance: float
    ) -> Request:
        """The request for an image of `prompt` by an expert; `negative` is not read where guidance is 1."""
        own = self.experts.conditioning(expert)
        wanted = {**self.condition(prompt), **own}
        unwanted = {**self.condition(negative), **own} if guidance != 1.0 else None
        plan = constant_plan(self.experts.engine_of(expert), len(trajectory.course.rows))
        return Request(plan, trajectory, wanted, unwanted, guidance)

    def engine(self, expert: str, rows: int, height: int, width: int) -> Engine:
        """The engine for an expert; `rows` 0 leaves the batch open."""
        engine: Engine = self._resident[self.experts.key(expert, rows, height, width)]
        return engine

    def decode(self, latents: Float32) -> tuple[Float32, float]:
        """Latents [C, H, W] to an unbounded image [3, scale·H, scale·W], and the seconds it took."""
        decoder = self._manifest.decoder
        scaled = latents[None] / np.float32(decoder.scaling_factor) + np.float32(decoder.shift_factor)
        _, height, width = latents.shape
        session: Session = self._resident[Bucket(_DECODER, 1, height, width)]
        start = time.perf_counter()
        image: Float32 = session.run("sample", {"latent_sample": scaled})[0]
        expected = (3, height * decoder.scale, width * decoder.scale)
        if image.shape != expected:
            raise EngineFailure(f"decoder: gave an image of shape {image.shape} instead of {expected}")
        return image, time.perf_counter() - start

    def close(self) -> None:
        """Close the engines of experts and decoder."""
        self._resident.clear()

    def _open(self, bucket: Bucket) -> Engine | Session:
        if bucket.model != _DECODER:
            return self.experts.open(bucket)
        # In float32: it runs once per image, and low precision shows as banding.
        session = self._sessions.open(
            self._manifest.decoder.model,
            self._provider,
            overrides={"batch": bucket.rows, "height": bucket.height, "width": bucket.width},
        )
        session.require(["latent_sample"], "sample")
        return session

    def _cost(self, bucket: Bucket) -> int:
        if bucket.model != _DECODER:
            return self.experts.cost(bucket)
        return memory_of(self._manifest.decoder.model, self._manifest.files)
