"""What a caller asks for, checked against the bundle before anything is spent on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np
import numpy.typing as npt

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import DENSE
from runtime.diffusion.schedule import SolverSteps
from runtime.errors import CodeUnavailable, UsageError, nearest
from runtime.models.models import Models
from runtime.request.settings import Settings, check_code, check_latents, check_seeds, latents_size, resolve
from runtime.text.tokenizer import check_prompt

Float32 = npt.NDArray[np.float32]


class Asked(TypedDict, total=False):
    """What callers may ask besides a prompt. None, or nothing: the bundle's default.

    `latents` float32 [C, H, W] replace the noise of `seed`. `size` is (height, width) in pixels. `code`
    overrides the router.
    """

    negative_prompt: str
    seed: int
    latents: Float32 | None
    steps: int | None
    guidance: float | None
    size: tuple[int, int] | None
    solver: str | None
    code: int | Literal["dense"] | None


@dataclass(frozen=True, eq=False, slots=True)
class Order:
    """One image, as asked for. `expert` overrides the router; `latents` replace the noise of `seed`."""

    prompt: str
    settings: Settings
    course: SolverSteps
    shape: tuple[int, int, int]  # of latents, [C, H, W]
    expert: str | None
    seed: int | None
    latents: Float32 | None


def take(models: Models, prompt: str, asked: Asked) -> Order:
    """The order for `prompt`. Raises `UsageError`, `CodeUnavailable`, `ManifestError`, `IntegrityError`."""
    check_names(asked)
    bundle, (seed,) = models.bundle, check_seeds([asked.get("seed", 0)], 1)
    settings = settings_of(bundle, asked)
    scale = bundle.manifest.decoder.scale
    shape = bundle.manifest.latent.channels, settings.height // scale, settings.width // scale
    latents = asked.get("latents")
    if latents is not None:
        latents = check_latents(latents, 1, shape)[0]
    return Order(
        check_prompt(prompt),
        settings,
        models.course(settings.solver, settings.steps),
        shape,
        _expert(bundle, asked.get("code")),
        None if latents is not None else seed,
        latents,
    )


def settings_of(bundle: Bundle, asked: Asked) -> Settings:
    """What is asked, with the bundle's defaults. Raises `UsageError`."""
    latents, size = asked.get("latents"), asked.get("size")
    if latents is not None and size is None:
        size = latents_size(latents, bundle.manifest.decoder.scale)
    return resolve(
        bundle.manifest,
        solver=asked.get("solver"),
        steps=asked.get("steps"),
        guidance=asked.get("guidance"),
        size=size,
        negative_prompt=check_prompt(asked.get("negative_prompt", "")),
    )


def check_names(asked: Mapping[str, object]) -> None:
    """Refuse what nobody may ask. Raises `UsageError`."""
    known = Asked.__annotations__
    for name in asked:
        if name not in known:
            raise UsageError(f"{name!r} is none of {', '.join(known)}{nearest(name, known)}")


def code_of(expert: str) -> int | Literal["dense"]:
    """What to ask for, to get an expert of this name."""
    return "dense" if expert == DENSE else int(expert)


def unavailable(bundle: Bundle, name: str, more: str = "") -> CodeUnavailable:
    """The failure of an order for an expert that the bundle does not hold."""
    built = ", ".join(sorted(bundle.manifest.experts))
    codes = "all,dense" if name == DENSE else "all"
    return CodeUnavailable(
        f"the bundle has no expert for code {name!r}{more}; it holds {built}. "
        f"Build it with `python -m export.build --codes {codes}`, or ask for one that is there"
    )


def _expert(bundle: Bundle, code: int | str | None) -> str | None:
    expert = check_code(code, bundle.manifest.router.codes)
    if expert is not None and expert not in bundle.manifest.experts:
        raise unavailable(bundle, expert)
    return expert
