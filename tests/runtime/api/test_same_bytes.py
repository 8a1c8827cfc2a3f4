"""The conditions under which an image has the same bytes alone and in a crowd (docs/GUARANTEES.md)."""

from pathlib import Path

import pytest

from runtime import Pipeline
from runtime.request.params import GenerationParams


@pytest.mark.parametrize(("threads", "guidance"), [(1, 1.0), (1, 3.0), (2, 3.0)])
def test_guidance_or_one_thread_makes_a_crowd_invisible(
    bundle_path: Path, cache_path: Path, threads: int, guidance: float
) -> None:
    prompts = ["a large cyan cross", "a green circle", "two yellow circles", "two yellow circles"]
    with Pipeline.open(bundle_path, engine="cpu", cache=cache_path, threads=threads, batch=4) as pipeline:
        latent, scale = pipeline.bundle.manifest.latent, pipeline.bundle.manifest.decoder.scale
        for side in (latent.minimum, latent.width, latent.width + latent.multiple):
            size = (side * scale, side * scale)
            params = GenerationParams(steps=3, code=1, guidance=guidance, size=size)
            together = pipeline.generate(prompts, params)
            for index, image in enumerate(together):
                (alone,) = pipeline.generate(prompts[index], params.numbered(index))
                assert image.pixels.tobytes() == alone.pixels.tobytes()
