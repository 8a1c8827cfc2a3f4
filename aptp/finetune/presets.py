"""Presets of stage 2: the default's, and the published ones."""

from dataclasses import dataclass

from aptp.finetune.stage import RECIPE
from aptp.finetune.weights import ExpertLossWeights
from aptp.trainer.recipe import Recipe
from runtime.errors import UsageError, nearest


@dataclass(frozen=True, slots=True)
class TuningPreset:
    """A recipe of stage 2, the weights of its loss, and the `precision` of autocast."""

    recipe: Recipe
    weights: ExpertLossWeights
    precision: str = "bf16"


_PUBLISHED = Recipe(
    steps=30_000,
    batch=256,
    rate=1e-5,  # times the square root of 256: 1.6e-4
    scaling="sqrt",
    warmup=250,
    clip=0.0,
    betas=(0.9, 0.999),
    weight_decay=0.0,
    timesteps="uniform",
)

PRESETS = {
    "tiny": TuningPreset(RECIPE, ExpertLossWeights()),
    "paper-coco": TuningPreset(_PUBLISHED, ExpertLossWeights(1.0, 0.2, 0.2, False), "no"),
    "paper-cc3m": TuningPreset(_PUBLISHED, ExpertLossWeights(0.01, 0.5, 0.5, False), "no"),
}


def preset(name: str) -> TuningPreset:
    """Return the preset of that name. Raises UsageError."""
    if name not in PRESETS:
        known = ", ".join(PRESETS)
        raise UsageError(f"unknown preset '{name}'{nearest(name, PRESETS)}; choose from {known}")
    return PRESETS[name]
