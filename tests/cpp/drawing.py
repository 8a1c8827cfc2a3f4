"""Images of the library and of the Python runtime, side by side."""

import json
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from runtime import Pipeline
from runtime.errors import RuntimeFailure
from runtime.formats import PNG_KEY
from runtime.images.encoding import describe
from runtime.request.params import GenerationParams
from runtime.service.generated import Generated

Asked = dict[str, Any]  # a prompt, and what the driver `draw` takes besides
Draw = Callable[..., list[dict[str, Any]]]


def drawn_by_library(
    driver: Path,
    folder: Path,
    bundle: Path,
    cache: Path,
    requests: Sequence[Asked],
    *,
    batch: int,
    engine: str,
    precision: str | None = None,
) -> list[dict[str, Any]]:
    """Return what the library tells of each request, all under way at once; with `pixels`, and the PNG's
    `text`.
    """
    done = subprocess.run(
        [driver, bundle, cache, str(batch), folder, engine, *([precision] if precision else [])],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    for index, one in enumerate(told):
        if one["status"] == 0:
            flat = np.fromfile(folder / f"{index}.rgb", np.uint8)
            one["pixels"] = flat.reshape(one["height"], one["width"], 3)
            with Image.open(folder / f"{index}.png") as png:
                one["text"] = json.loads(png.text[PNG_KEY])
                assert np.array_equal(np.asarray(png), one["pixels"])
    return told


def drawn_by_python(
    bundle: Path,
    cache: Path,
    requests: Sequence[Asked],
    batch: int = 8,
    engine: str = "cpu",
    precision: str | None = None,
) -> list[Generated | RuntimeFailure]:
    """The same requests from as many threads at once."""

    def one(pipeline: Pipeline, asked: Asked) -> Generated | RuntimeFailure:
        options = dict(asked)
        prompt = options.pop("prompt")
        if "height" in options:
            options["size"] = options.pop("width"), options.pop("height")
        if "code" in options and options["code"] != "dense":
            options["code"] = int(options["code"])
        if "latents" in options:
            options["latents"] = np.fromfile(options["latents"], np.float32).reshape(options.pop("shape"))
        try:
            return pipeline.generate([prompt], GenerationParams(**options))[0]
        except RuntimeFailure as failure:
            return failure

    with (
        Pipeline.open(bundle, engine=engine, precision=precision, cache=cache, batch=batch) as pipeline,
        ThreadPoolExecutor(len(requests)) as pool,
    ):
        return list(pool.map(lambda asked: one(pipeline, asked), requests))


def assert_same(told: dict[str, Any], image: Generated | RuntimeFailure) -> None:
    assert isinstance(image, Generated), image
    assert told["status"] == 0, told
    assert np.array_equal(told["pixels"], image.pixels)
    assert told["text"] == json.loads(json.dumps(describe(image)))
    choice = image.choice
    assert (told["expert"], told["fell_back"]) == (choice.expert, choice.fell_back)


def assert_agree(
    draw: Draw, bundle: Path, cache: Path, requests: Sequence[Asked], batch: int = 8, engine: str = "cpu"
) -> None:
    expected = drawn_by_python(bundle, cache, requests, batch, engine)
    told = draw(bundle, requests, batch, engine)
    assert len(told) == len(expected)
    for one, image in zip(told, expected, strict=True):
        assert_same(one, image)
