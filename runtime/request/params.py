"""The parameters of an image: the one place that lists what a request may say of it, and checks that.

Refusals name value, range and remedy.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from runtime.bundle.schema import DENSE, GUIDANCE, Latent, Manifest
from runtime.cli.size import Size
from runtime.cli.values import integer, number
from runtime.errors import FieldError, nearest
from runtime.text.tokenizer import check_prompt

SEED = 2**64

Float32 = npt.NDArray[np.float32]
Code = int | Literal["dense"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationParams:
    """The parameters of an image. None: the bundle's default.

    `latents`, float32 [C, H, W], replace the noise of `seed`. `guidance` of 1 or less switches guidance off,
    and `negative_prompt` with it. `size` is (width, height) in pixels. `code` overrides the router.
    """

    seed: int = 0
    latents: Float32 | None = field(default=None, compare=False)
    solver: str | None = None
    steps: int | None = None
    guidance: float | None = None
    size: tuple[int, int] | None = None
    negative_prompt: str | None = ""
    code: Code | None = None

    def numbered(self, index: int) -> "GenerationParams":
        """Return those of image `index` of several: its seed is `seed` + `index`. Raises `FieldError`."""
        return replace(self, seed=check_seed(self.seed) + index)

    def resolve(self, manifest: Manifest) -> "ResolvedParams":
        """Fill in the bundle's defaults. Raises `FieldError`, or `UsageError` for a prompt.

        Guidance that is off is 1 from here on. The solver's own table says whether it offers `steps`.
        """
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        given["negative_prompt"] = check_prompt("" if self.negative_prompt is None else self.negative_prompt)
        defaults, scale = manifest.defaults, manifest.decoder.scale
        given["seed"] = check_seed(self.seed)
        given["solver"] = _solver(defaults.solver if self.solver is None else self.solver, manifest)
        given["steps"] = defaults.steps if self.steps is None else _integer(self.steps, "steps")
        given["guidance"] = _guidance(defaults.guidance if self.guidance is None else self.guidance)
        size = self.size
        if size is None and self.latents is not None:
            size = _latents_size(self.latents, scale)
        if size is None:
            size = manifest.latent.width * scale, manifest.latent.height * scale
        given["size"] = size = _check_size(size, manifest.latent, scale)
        if self.latents is not None:
            shape = manifest.latent.channels, size.height // scale, size.width // scale
            given["latents"] = _check_latents(self.latents, shape)
        given["code"] = check_code(self.code, manifest.router.codes)
        return ResolvedParams(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedParams(GenerationParams):
    """Parameters that were checked against a bundle: only `latents` and `code` may be None."""

    steps: int
    guidance: float
    size: Size
    solver: str
    negative_prompt: str = ""

    @property
    def expert(self) -> str | None:
        """The name of the expert that was asked for; None leaves it to the router."""
        return None if self.code is None else str(self.code)

    def shape(self, manifest: Manifest) -> tuple[int, int, int]:
        """Return the latents' shape, [C, H, W]."""
        scale = manifest.decoder.scale
        return manifest.latent.channels, self.size.height // scale, self.size.width // scale

    def recorded(self) -> dict[str, Any]:
        """List what is worth telling of an image beside its routing, as plain values for JSON.

        `seed` is None where latents were given.
        """
        told: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            match each.name:
                case "seed":
                    told["seed"] = value if self.latents is None else None
                case "size":
                    told |= {"height": value.height, "width": value.width}
                case "latents" | "code":  # too large; and the routing tells who made the image
                    continue
                case name:
                    told[name] = value
        return told


def code_of(expert: str) -> Code:
    """Return the code that asks for the expert of this name."""
    return "dense" if expert == DENSE else int(expert)


def check_code(code: Code | None, codes: int) -> Code | None:
    """Return a code that is asked for, if there are so many. Raises `FieldError`."""
    if code is None or code == DENSE:
        return code
    found = integer(code)
    if found is None or not 0 <= found < codes:
        raise FieldError("code", f"code {code!r}: give an integer from 0 to {codes - 1}, or {DENSE!r}")
    return found


def random_seed() -> int:
    """Return a seed that nobody chose: below 2^32, so that it is short, and exact in JavaScript."""
    return secrets.randbelow(2**32)


def check_seed(seed: int) -> int:
    """Return `seed` if it is an integer from 0 to 2^64 - 1. Raises `FieldError`."""
    if not 0 <= _integer(seed, "seed") < SEED:
        raise FieldError("seed", f"seed {seed}: every image's seed must be from 0 to 2^64 - 1")
    return int(seed)


def _solver(name: str, manifest: Manifest) -> str:
    if name not in manifest.schedules:
        offered = ", ".join(sorted(manifest.schedules))
        raise FieldError(
            "solver", f"solver {name!r}: this bundle has {offered}{nearest(str(name), manifest.schedules)}"
        )
    return name


def _guidance(value: float) -> float:
    found = number(value)
    if found is None or not 0 <= found <= GUIDANCE:
        raise FieldError(
            "guidance",
            f"guidance {value!r}: give a number from 0 to {GUIDANCE:g}; 1 or less switches guidance off",
        )
    return max(1.0, found)  # as diffusers: at 1 and below, no image has a negative half


def _check_size(size: tuple[int, int], latent: Latent, scale: int) -> Size:
    if not isinstance(size, Sequence) or len(size) != 2:
        raise FieldError("size", f"size {size!r}: give width and height in pixels")
    low, high, multiple = latent.minimum * scale, latent.maximum * scale, latent.multiple * scale
    for name, value in zip(("width", "height"), size, strict=True):
        side = _integer(value, name, "size")
        if side % multiple or not low <= side <= high:
            raise FieldError(
                "size", f"{name} {side}: give a multiple of {multiple} from {low} to {high} pixels"
            )
    return Size(int(size[0]), int(size[1]))


def _latents_size(latents: Float32, scale: int) -> tuple[int, int]:
    """Return the (width, height) in pixels that start latents [C, H, W] ask for."""
    if np.ndim(latents) < 2:
        raise FieldError("latents", f"latents with {np.ndim(latents)} dimensions: give [C, H, W]")
    height, width = np.shape(latents)[-2:]
    return width * scale, height * scale


def _check_latents(latents: Float32, shape: tuple[int, int, int]) -> Float32:
    if not isinstance(latents, np.ndarray) or latents.dtype != np.float32:
        kind = getattr(latents, "dtype", type(latents).__name__)
        raise FieldError("latents", f"latents of {kind}: give a numpy array of float32")
    if latents.shape != shape:
        raise FieldError("latents", f"latents of shape {latents.shape}: give {shape}, or another size")
    if not np.isfinite(latents).all():
        raise FieldError("latents", "latents: hold a value that is not finite")
    return latents


def _integer(value: Any, name: str, field: str | None = None) -> int:
    found = integer(value)
    if found is None:
        raise FieldError(field or name, f"{name} {value!r}: give an integer")
    return found
