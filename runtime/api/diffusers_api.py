"""Calls like those of diffusers' pipelines: their argument names, callback and output, with images of ours.

Takes nothing that it would not do: whatever changes latents on the way is refused.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from runtime.cli.values import integer
from runtime.errors import UsageError
from runtime.request.params import check_seed
from runtime.service.events import Step
from runtime.service.generated import Generated
from runtime.text.tokenizer import check_prompt

if TYPE_CHECKING:
    from PIL.Image import Image

OnStepEnd = Callable[[Any, int, float, dict[str, Any]], dict[str, Any] | None]
OUTPUTS = ("pil", "np")


class Generator(Protocol):
    """A random generator of torch."""

    def initial_seed(self) -> int:
        """Return the seed that it was made with."""
        ...


class Output(NamedTuple):
    """`images`: of PIL, or with `np` float32 [N, H, W, 3] from 0 to 1; `details`: how each came to be."""

    images: "list[Image] | npt.NDArray[np.float32]"
    details: list[Generated]


def to_output(made: Sequence[Generated], kind: str) -> Output:
    """Return the images as the caller wants them."""
    if kind == "np":
        return Output(
            np.stack([each.pixels for each in made], dtype=np.float32) / np.float32(255), list(made)
        )
    from PIL import Image

    return Output([Image.fromarray(each.pixels) for each in made], list(made))


def check_output_type(kind: str) -> str:
    """Return `kind` if images can be had as that. Raises `UsageError`."""
    if kind not in OUTPUTS:
        raise UsageError(f"output_type {kind!r}: give one of {', '.join(OUTPUTS)}")
    return kind


def repeated(prompt: str | Sequence[str], times: int) -> list[str]:
    """Return every prompt so many times, one after another. Raises `UsageError`."""
    found = integer(times)
    if found is None or found < 1:
        raise UsageError(f"num_images_per_prompt {times!r}: give an integer of at least 1")
    return [each for each in listed(prompt) for _ in range(found)]


def listed(prompts: str | Sequence[str]) -> list[str]:
    """Return one or more prompts as a list. Raises `UsageError`."""
    if not isinstance(prompts, Iterable):
        raise UsageError(f"prompts {prompts!r}: give a string, or a list of them")
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not texts:
        raise UsageError("no prompt was given; give at least one (an empty string is one)")
    return [check_prompt(text) for text in texts]


class Start(NamedTuple):
    """The start of an image: the noise of a seed, or latents, float32 [C, H, W], in its place."""

    seed: int
    latents: npt.NDArray[np.float32] | None


def starts(latents: Any, seed: int | Sequence[int], count: int) -> list[Start]:
    """Give each image its start. Raises `UsageError`.

    Image i has seed `seed` + i, or the i-th of a sequence; `latents` are [C, H, W] for all, or [N, C, H, W].
    """
    seeds = [check_seed(each) for each in seed] if isinstance(seed, Sequence) else None
    if seeds is not None and len(seeds) != count:
        raise UsageError(f"{len(seeds)} seeds for {count} prompts: give one integer, or one seed per prompt")
    if seeds is None:
        first = check_seed(cast(int, seed))
        seeds = list(range(first, first + count))
    given = to_latents(latents)
    if given is not None and given.ndim == 4 and len(given) != count:
        raise UsageError(f"latents of shape {given.shape}: give [C, H, W], or [{count}, C, H, W]")
    own = given is not None and given.ndim == 4
    return [Start(each, given[i] if given is not None and own else given) for i, each in enumerate(seeds)]


def seeds_of(
    seed: int | Sequence[int] | None, generator: Generator | Sequence[Generator] | None
) -> int | list[int]:
    """Return the seeds that are asked for. Raises `UsageError` where both are given.

    Of a torch generator only the seed is used, with a warning: start noise is ours, and so are the images.
    """
    if generator is None:
        single = 0 if seed is None else integer(seed)
        return _several(seed, "seed") if single is None else single
    if seed is not None:
        raise UsageError("seed and generator are both given; give one of them")
    warnings.warn(
        "only the seed of a torch generator is used: start noise is this project's own, the same in every "
        "language, and images differ from those of torch's noise; pass latents= to start from that",
        stacklevel=3,
    )
    generators = generator if isinstance(generator, Sequence) else [generator]
    seeds = [each.initial_seed() for each in generators]
    return seeds if isinstance(generator, Sequence) else seeds[0]


def _several(seeds: Any, name: str) -> list[int]:
    if not isinstance(seeds, Iterable):
        raise UsageError(f"{name} {seeds!r}: give an integer, or one for each image")
    return list(seeds)


def to_latents(latents: Any) -> npt.NDArray[np.float32] | None:
    """Start latents from an array or a tensor in this machine's memory. Raises `UsageError`."""
    if latents is None:
        return None
    try:
        return np.ascontiguousarray(latents, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"latents of {type(latents).__name__} are no array of numbers: {error}") from error


def tell(callback: OnStepEnd, pipeline: Any, step: Step) -> None:
    """Call a callback as diffusers does, with `latents` [1, C, H, W] of one image. Raises `UsageError`."""
    assert step.latents is not None
    given = {"latents": step.latents[None]}
    returned = callback(pipeline, step.done - 1, step.timestep, given)
    if returned and returned.get("latents", given["latents"]) is not given["latents"]:
        raise UsageError(
            "callback_on_step_end returned other latents: they cannot be changed on the way; "
            "raise an exception to stop"
        )
