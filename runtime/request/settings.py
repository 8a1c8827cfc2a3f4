"""What a caller asks for, checked against what the bundle offers. Refusals name value, range and remedy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.bundle.schema import DENSE, GUIDANCE, Latent, Manifest
from runtime.errors import UsageError, nearest

SEED = 2**64

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Settings:
    """How images are made. `height` and `width` are pixels."""

    solver: str
    steps: int
    guidance: float
    height: int
    width: int
    negative_prompt: str


def resolve(
    manifest: Manifest,
    *,
    solver: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    size: tuple[int, int] | None = None,
    negative_prompt: str = "",
) -> Settings:
    """Settings with the bundle's defaults for whatever is None. Raises `UsageError`.

    Whether the solver offers `steps` is for its table to say.
    """
    defaults = manifest.defaults
    solver = defaults.solver if solver is None else solver
    if solver not in manifest.schedules:
        offered = ", ".join(sorted(manifest.schedules))
        raise UsageError(
            f"solver {solver!r}: this bundle has {offered}{nearest(str(solver), manifest.schedules)}"
        )
    guidance = defaults.guidance if guidance is None else guidance
    if not _is_number(guidance) or not 0 <= guidance <= GUIDANCE:
        raise UsageError(
            f"guidance {guidance!r}: give a number from 0 to {GUIDANCE:g}; 1 switches guidance off"
        )
    scale = manifest.decoder.scale
    if size is None:
        size = manifest.latent.height * scale, manifest.latent.width * scale
    height, width = _check_size(size, manifest.latent, scale)
    steps = defaults.steps if steps is None else _integer(steps, "steps")
    return Settings(solver, steps, float(guidance), height, width, negative_prompt)


def _check_size(size: tuple[int, int], latent: Latent, scale: int) -> tuple[int, int]:
    if not isinstance(size, Sequence) or len(size) != 2:
        raise UsageError(f"size {size!r}: give height and width in pixels")
    low, high, multiple = latent.minimum * scale, latent.maximum * scale, latent.multiple * scale
    for name, value in zip(("height", "width"), size, strict=True):
        side = _integer(value, name)
        if side % multiple or not low <= side <= high:
            raise UsageError(f"{name} {side}: give a multiple of {multiple} from {low} to {high} pixels")
    return int(size[0]), int(size[1])


def check_code(code: int | str | None, codes: int) -> str | None:
    """The expert's name for a code that is asked for; None stays None, for routing. Raises `UsageError`."""
    if code is None or code == DENSE:
        return code
    if isinstance(code, bool) or not isinstance(code, int | np.integer) or not 0 <= code < codes:
        raise UsageError(f"code {code!r}: give an integer from 0 to {codes - 1}, or {DENSE!r}")
    return str(code)


def check_seeds(seed: int | Sequence[int], count: int) -> list[int]:
    """One seed per image: `seed`, `seed` + 1, … or the sequence itself. Raises `UsageError`."""
    if isinstance(seed, Sequence):
        seeds = [_integer(item, "seed") for item in seed]
        if len(seeds) != count:
            raise UsageError(
                f"{len(seeds)} seeds for {count} prompts: give one integer, or one seed per prompt"
            )
    else:
        seeds = list(range(first := _integer(seed, "seed"), first + count))
    for value in seeds:
        if not 0 <= value < SEED:
            raise UsageError(f"seed {value}: every image's seed must be from 0 to 2^64 - 1")
    return seeds


def latents_size(latents: Float32, scale: int) -> tuple[int, int]:
    """The (height, width) in pixels that start latents [..., H, W] ask for. Raises `UsageError`."""
    if np.ndim(latents) < 2:
        raise UsageError(f"latents with {np.ndim(latents)} dimensions: give [C, H, W], or [N, C, H, W]")
    height, width = np.shape(latents)[-2:]
    return height * scale, width * scale


def check_latents(latents: Float32, count: int, shape: tuple[int, int, int]) -> Float32:
    """Start latents for each image, [N, C, H, W], where `shape` is [C, H, W]. Raises `UsageError`."""
    if not isinstance(latents, np.ndarray) or latents.dtype != np.float32:
        kind = getattr(latents, "dtype", type(latents).__name__)
        raise UsageError(f"latents of {kind}: give a numpy array of float32")
    if latents.shape not in (shape, (count, *shape)):
        raise UsageError(
            f"latents of shape {latents.shape}: give {shape}, or {(count, *shape)}, or another size"
        )
    if not np.isfinite(latents).all():
        raise UsageError("latents: hold a value that is not finite")
    return np.broadcast_to(latents, (count, *shape))


def check_limit(value: int | None, name: str) -> int | None:
    """`value` if it is None or an integer of at least 1. Raises `UsageError`."""
    if value is not None and _integer(value, name) < 1:
        raise UsageError(f"{name} {value}: give an integer of at least 1")
    return value


def check_priority(value: int) -> int:
    """`value` if it is an integer from -1 to 1. Raises `UsageError`."""
    if not -1 <= _integer(value, "priority") <= 1:
        raise UsageError(f"priority {value}: give -1, 0 or 1")
    return value


def check_deadline(seconds: float | None) -> float | None:
    """`seconds` if they are None or more than 0. Raises `UsageError`."""
    if seconds is not None and not (_is_number(seconds) and seconds > 0):
        raise UsageError(f"deadline {seconds!r}: give a number of seconds above 0")
    return seconds


def check_previews(count: int) -> int:
    """`count` if it is an integer of at least 0. Raises `UsageError`."""
    if _integer(count, "previews") < 0:
        raise UsageError(f"previews {count}: give an integer of at least 0")
    return count


def _integer(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise UsageError(f"{name} {value!r}: give an integer")
    return int(value)


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return is_real and math.isfinite(value)
