"""The parameters of an image, checked against a bundle without drawing it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from runtime.bundle.reader import Bundle
from runtime.errors import FieldError
from runtime.request.params import GenerationParams, random_seed


@pytest.mark.parametrize(
    ("asked", "found"), [(0, 1.0), (0.5, 1.0), (1, 1.0), (np.float32(0.25), 1.0), (1.5, 1.5), (1000, 1000.0)]
)
def test_guidance_of_one_or_less_is_off(bundle: Bundle, asked: float, found: float) -> None:
    assert GenerationParams(guidance=asked).resolve(bundle.manifest).guidance == found


def test_a_bundle_may_draw_without_guidance_by_default(bundle: Bundle) -> None:
    manifest = replace(bundle.manifest, defaults=replace(bundle.manifest.defaults, guidance=0.0))
    assert GenerationParams().resolve(manifest).guidance == 1.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("seed", 2**64),
        ("seed", "7"),
        ("steps", 2.5),
        ("guidance", -1),
        ("solver", "eular"),
        ("size", (64,)),
        ("size", (9, 16)),
        ("size", (16, "16")),
        ("code", 9),
    ],
)
def test_a_refusal_names_its_field(bundle: Bundle, field: str, value: Any) -> None:
    with pytest.raises(FieldError) as refused:
        GenerationParams(**{field: value}).resolve(bundle.manifest)
    assert refused.value.field == field


def test_so_does_one_of_latents(bundle: Bundle) -> None:
    latent = bundle.manifest.latent
    latents = np.zeros((latent.channels, latent.height, latent.width), np.float64)
    with pytest.raises(FieldError, match="float64") as refused:
        GenerationParams(latents=latents).resolve(bundle.manifest)
    assert refused.value.field == "latents"


def test_seeds_left_to_chance_are_short() -> None:
    seeds = [random_seed() for _ in range(20)]
    assert len(set(seeds)) > 1
    assert all(0 <= seed < 2**32 for seed in seeds)
