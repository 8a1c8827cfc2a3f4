"""Calls as diffusers' pipelines take them."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from runtime import Pipeline
from runtime.diffusion.noise import normal
from runtime.errors import UsageError
from runtime.request.params import GenerationParams
from tests.bundles import CHANNELS


def test_the_arguments_of_diffusers_are_those_of_the_runtime(runtime: Pipeline) -> None:
    output = runtime(
        "red", negative_prompt="blue", height=16, width=24, num_inference_steps=3, guidance_scale=4.0, seed=5
    )
    (wanted,) = runtime.generate(
        "red", GenerationParams(negative_prompt="blue", size=(24, 16), steps=3, guidance=4.0, seed=5)
    )
    (image,) = output.images
    assert isinstance(image, Image.Image)
    assert np.asarray(image).tobytes() == wanted.pixels.tobytes()
    assert output.details[0].choice == wanted.choice


def test_one_side_alone_leaves_the_other_as_it_is(runtime: Pipeline) -> None:
    assert runtime("red", height=24).images[0].size == (16, 24)
    assert runtime("red", width=24).images[0].size == (24, 16)


def test_arrays(runtime: Pipeline) -> None:
    images = runtime(["red", "blue"], output_type="np").images
    assert isinstance(images, np.ndarray)
    assert images.shape == (2, 16, 16, 3)
    assert images.dtype == np.float32
    assert 0 <= images.min() < images.max() <= 1


def test_several_images_of_each_prompt(runtime: Pipeline) -> None:
    details = runtime(["red", "blue"], num_images_per_prompt=2, seed=3).details
    assert [(each.prompt, each.seed) for each in details] == [
        ("red", 3),
        ("red", 4),
        ("blue", 5),
        ("blue", 6),
    ]


def test_integers_of_numpy_and_nothing_for_a_default(runtime: Pipeline) -> None:
    details = runtime(
        "red",
        seed=np.int64(3),
        num_images_per_prompt=np.int32(2),  # type: ignore[arg-type]
        height=np.int64(16),  # type: ignore[arg-type]
        width=np.int64(16),  # type: ignore[arg-type]
        num_inference_steps=np.int64(1),  # type: ignore[arg-type]
        guidance_scale=np.float32(2.5),  # type: ignore[arg-type]
        negative_prompt=None,
    ).details
    assert [each.seed for each in details] == [3, 4]
    assert {(each.params.guidance, each.params.negative_prompt, each.params.steps) for each in details} == {
        (2.5, "", 1)
    }
    assert [each.seed for each in runtime(["red"] * 2, seed=np.array([5, 9])).details] == [5, 9]  # type: ignore[arg-type]
    plain = GenerationParams(seed=np.int64(1), steps=np.int64(1), code=np.int64(0), negative_prompt=None)  # type: ignore[arg-type]
    (drawn,) = runtime.generate("red", plain)
    assert (drawn.seed, drawn.choice.code, type(drawn.params.code)) == (1, 0, int)


def test_a_torch_generator_gives_its_seed_and_one_warning(runtime: Pipeline) -> None:
    with pytest.warns(UserWarning, match="only the seed of a torch generator is used") as caught:
        details = runtime("red", generator=torch.Generator().manual_seed(9)).details
    assert [each.seed for each in details] == [9]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="only the seed"):
        details = runtime(["red"] * 2, generator=[torch.Generator().manual_seed(n) for n in (4, 2)]).details
    assert [each.seed for each in details] == [4, 2]


@pytest.mark.parametrize("given", [torch.from_numpy, np.float64])
def test_latents_of_torch_and_numpy(runtime: Pipeline, given: Any) -> None:
    noise = normal(7, (1, CHANNELS, 8, 8))
    (image,) = runtime("red", latents=given(noise), output_type="np").details
    (wanted,) = runtime.generate("red", GenerationParams(latents=noise[0]))
    assert image.pixels.tobytes() == wanted.pixels.tobytes()


def test_the_callback_sees_every_step(runtime: Pipeline) -> None:
    seen: list[tuple[int, float]] = []
    last: list[np.ndarray] = []

    def callback(pipeline: Any, step: int, timestep: float, given: dict[str, Any]) -> dict[str, Any]:
        assert pipeline is runtime
        assert given["latents"].shape == (1, CHANNELS, 8, 8)
        seen.append((step, timestep))
        last.append(given["latents"])
        return given

    (image,) = runtime("red", num_inference_steps=3, callback_on_step_end=callback).details
    rows = runtime.models.solver_steps(GenerationParams(steps=3).resolve(runtime.bundle.manifest)).rows
    assert seen == [(index, row.timestep) for index, row in enumerate(rows)]
    decoder = runtime.models.open_decoder(runtime.models.decoder_bucket(8, 8))
    decoded, _ = runtime.models.decode(decoder, last[-1][0])
    assert np.abs(image.pixels - 255 * (decoded.transpose(1, 2, 0) / 2 + 0.5).clip(0, 1)).max() <= 0.51


def test_a_callback_that_raises_stops(runtime: Pipeline) -> None:
    def callback(*_: Any) -> None:
        raise StopIteration

    with pytest.raises(StopIteration):
        runtime("red", callback_on_step_end=callback)
    assert runtime.core.dispatcher.look(len) == 0


BAD: list[tuple[dict[str, Any], str]] = [
    ({"output_type": "latent"}, "output_type 'latent': give one of pil, np"),
    ({"num_images_per_prompt": 0}, "num_images_per_prompt 0: give an integer of at least 1"),
    ({"seed": 1, "generator": torch.Generator()}, "seed and generator are both given"),
    ({"latents": "noise"}, "latents of str are no array of numbers"),
    (
        {"callback_on_step_end": lambda pipe, step, time, given: {"latents": given["latents"] + 1}},
        "callback_on_step_end returned other latents",
    ),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[next(iter(case[0])) for case in BAD])
def test_what_cannot_be_done_is_refused(runtime: Pipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        runtime("red", **options)
