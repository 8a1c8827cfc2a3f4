"""Every graph of an opened bundle: encoders and router at once, experts and decoder when first needed."""

import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .bundle.reader import Bundle
from .bundle.schema import Model
from .cache import Cache
from .encoding import Encoder, Encoding
from .engines.engine import Engine
from .engines.onnx import OnnxEngine, Session, open_session
from .engines.residency import Bucket, Residency
from .errors import EngineFailure
from .router import Route, Router

Float32 = npt.NDArray[np.float32]

_DECODER = "decoder"


class Models:
    """The bundle's graphs, experts and decoder on `provider`; open experts hold up to `memory` bytes."""

    def __init__(self, bundle: Bundle, cache: Cache, provider: str, memory: int, threads: int | None) -> None:
        self._bundle, self._cache, self._provider, self._threads = bundle, cache, provider, threads
        manifest = bundle.manifest
        self._inputs = {entry.input: entry.encoder for entry in manifest.conditioning}
        names = {manifest.router.encoder, *self._inputs.values()}
        self._encoders = {
            name: Encoder(bundle, manifest.encoders[name], cache, threads) for name in sorted(names)
        }
        self._router = Router(bundle, cache, threads)
        self._engines: Residency[OnnxEngine] = Residency(self._open_expert, self._cost, memory)
        self._decoders: Residency[Session] = Residency(self._open_decoder, self._cost, memory)

    def condition(self, prompt: str) -> tuple[dict[str, Float32], int]:
        """The UNet's conditioning inputs for a prompt, each [1, L, E], and how many tokens were dropped."""
        encodings = {name: self._encode(encoder, prompt) for name, encoder in self._inputs.items()}
        dropped = max((encoding.dropped for encoding in encodings.values()), default=0)
        return {name: encoding.embedding for name, encoding in encodings.items()}, dropped

    def route(self, prompt: str) -> Route:
        """The code that a prompt goes to."""
        return self._router(self._encode(self._bundle.manifest.router.encoder, prompt))

    def engine(self, expert: str, rows: int, height: int, width: int) -> Engine:
        """The engine for an expert; `rows` 0 leaves the batch open."""
        return self._engines[Bucket(expert, rows, height, width)]

    def decode(self, latents: Float32) -> tuple[Float32, float]:
        """Latents [C, H, W] to an unbounded image [3, scale·H, scale·W], and the seconds it took."""
        decoder = self._bundle.manifest.decoder
        scaled = latents[None] / np.float32(decoder.scaling_factor) + np.float32(decoder.shift_factor)
        _, height, width = latents.shape
        session = self._decoders[Bucket(_DECODER, 1, height, width)]
        start = time.perf_counter()
        image: Float32 = session.run("sample", {"latent_sample": scaled})[0]
        expected = (3, height * decoder.scale, width * decoder.scale)
        if image.shape != expected:
            raise EngineFailure(f"decoder: gave an image of shape {image.shape} instead of {expected}")
        return image, time.perf_counter() - start

    def close(self) -> None:
        """Close the sessions of experts and decoder."""
        self._engines.clear()
        self._decoders.clear()

    def _encode(self, name: str, prompt: str) -> Encoding:
        return self._encoders[name](prompt)

    def _open_expert(self, bucket: Bucket) -> OnnxEngine:
        session = self._open(self._bundle.manifest.experts[bucket.model].model, bucket, "fast")
        return OnnxEngine(session, list(self._inputs))

    def _open_decoder(self, bucket: Bucket) -> Session:
        # In float32 everywhere: it runs once per image, and low precision shows as banding.
        session = self._open(self._bundle.manifest.decoder.model, bucket, "float32")
        session.require(["latent_sample"], "sample")
        return session

    def _open(self, model: Model, bucket: Bucket, precision: str) -> Session:
        pinned: Mapping[str, int] = {"height": bucket.height, "width": bucket.width}
        overrides = {**pinned, "batch": bucket.rows} if bucket.rows else pinned
        graph = self._cache.serving_graph(self._bundle, model)
        session = open_session(
            graph, self._provider, overrides=overrides, precision=precision, threads=self._threads
        )
        # The engine has opened the files by name: had they been swapped since the check, this one sees it.
        self._cache.serving_graph(self._bundle, model)
        return session

    def _cost(self, bucket: Bucket) -> int:
        manifest = self._bundle.manifest
        model = manifest.decoder.model if bucket.model == _DECODER else manifest.experts[bucket.model].model
        # In memory the weights are float32, twice the float16 of the bundle.
        return 2 * manifest.files[model.weights].size if model.weights else manifest.files[model.graph].size
