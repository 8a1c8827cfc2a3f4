"""The choices of stage 1: the published method, our corrections of it, and their presets.

Each choice has a name; an unknown one is refused. Every correction is one field,
so that an ablation changes one field.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from aptp.space.random_architectures import check_budget
from aptp.trainer.recipe import Recipe
from runtime.errors import UsageError, nearest

TRANSPORTS = ("sinkhorn", "exact", "none")


@dataclass(frozen=True, slots=True)
class RouterLossWeights:
    """The weights of the loss terms (the published ones by default)."""

    diffusion: float = 1.0
    output: float = 0.2
    blocks: float = 0.2
    budget: float = 2.0
    contrast: float = 100.0
    deviation: float = 0.1
    largest: float = 0.1
    gain: float = 1.0


@dataclass(frozen=True, slots=True)
class Method:
    """The published method, as its defaults say; `PRESETS` holds ours.

    Corrections (published → ours):

    - `hard`: the UNet runs under hard gates with straight-through gradients, so it learns what it serves;
    - `exact_placement`: gates act where mask equals slice, not before a norm that cancels them;
    - `true_macs`: the budget is in MACs that exist (cross-attention at its true key length) and in shares
      of all of them; needed where a profile counts seconds instead;
    - `served_budget`: the budget is counted at the size that is served, not at that of the pictures in
      training;
    - `noise`: whether scores get Gumbel noise in training; `noisy_codes`: whether the experts are one
      noisy sample, instead of what the scores say;
    - `ordered_depth`: whether sublayers can only be dropped in a fixed order, innermost first;
    - `task_gradient`: the predictor goes on learning from the task after `warm_up`: a prompt's scores
      learn what it gains, under a rival code drawn at random, over its own;
    - `linear_routing`: a prompt's score for a code is linear in its embedding, as a served router's is,
      not the cosine of two hardened gate vectors;
    - `balanced`: each code keeps its share of prompts when prompts come one at a time;
    - `transport`: how prompts are assigned: by `iterations` of Sinkhorn at `epsilon`; by exact optimal
      transport, which balances a batch to the prompt; or by none, each to the code it fits best;
    - `centred`: the predictor reads embeddings less their mean, at unit mean square length;
    - `relative_blocks`: block distillation in units of each block's own power;
    - `fitted`: when learning is done all scores are shifted by one number, so that the mean budget is met;
    - `spread`: the standard deviation that the codes' shares of dense should have, from both sides; at 0
      it is pushed up without bound, until the dearest code is dense and the others pay for it;
    - `align`: kept channels are rounded up to a multiple of this while they are learned.

    `budget`: share of the dense cost aimed at. `offset` and `temperature`: a gate is
    sigmoid((score + offset) / temperature). `warm_up`: steps in which the predictor's own vector gates the
    UNet. `dropped`: share of captions the UNet (not the router) sees emptied.
    """

    codes: int = 8
    budget: float = 0.6
    hard: bool = False
    exact_placement: bool = False
    true_macs: bool = False
    served_budget: bool = False
    noise: bool = True
    noisy_codes: bool = True
    ordered_depth: bool = True
    task_gradient: bool = False
    linear_routing: bool = False
    balanced: bool = False
    transport: str = "sinkhorn"
    centred: bool = False
    relative_blocks: bool = False
    fitted: bool = False
    spread: float = 0.0
    align: int = 1
    offset: float = 3.0
    temperature: float = 0.4
    warm_up: int = 500
    epsilon: float = 0.05
    iterations: int = 3
    contrast_temperature: float = 0.03
    dropped: float = 0.0
    weights: RouterLossWeights = field(default_factory=RouterLossWeights)

    def __post_init__(self) -> None:
        check_budget(self.budget)
        if self.transport not in TRANSPORTS:
            meant = nearest(self.transport, TRANSPORTS)
            raise UsageError(f"there is no transport '{self.transport}'{meant}: {', '.join(TRANSPORTS)}")
        for name in ("codes", "align", "iterations"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("temperature", "epsilon", "contrast_temperature"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0 <= self.spread < 1:
            raise UsageError(f"spread is {self.spread}; it must be a share in [0, 1)")
        if self.warm_up < 0:
            raise UsageError(f"warm_up is {self.warm_up}; it must be a number of steps")
        if not 0 <= self.dropped < 1:
            raise UsageError(f"dropped is {self.dropped}; it must be a share in [0, 1)")

    def identity(self) -> dict[str, Any]:
        """Return what a resumed run must have in common with the run it resumes."""
        return asdict(self)


PRESETS: dict[str, Method] = {
    "paper": Method(),
    "tiny": Method(
        codes=4,
        hard=True,
        exact_placement=True,
        true_macs=True,
        served_budget=True,
        noise=False,
        noisy_codes=False,
        ordered_depth=False,
        task_gradient=True,
        linear_routing=True,
        balanced=True,
        transport="exact",
        centred=True,
        relative_blocks=True,
        fitted=True,
        spread=0.1,
        weights=RouterLossWeights(deviation=1.0, largest=0.0),
        offset=1.0,
        temperature=1.0,
        warm_up=0,
        dropped=0.1,
    ),
}


RECIPES: dict[str, Recipe] = {
    "paper": Recipe(
        steps=5_000,
        batch=128,
        rate=2e-4,
        scaling="sqrt",
        warmup=100,
        clip=0.0,
        betas=(0.9, 0.999),
        weight_decay=0.0,
        timesteps="uniform",
    ),
    "tiny": Recipe(steps=2_000, batch=64, rate=1e-2, warmup=20, decay=1_000, weight_decay=0.0),
}

# Of autocast; the published code trains in float32.
PRECISIONS = {"paper": "no", "tiny": "bf16"}


def method(preset: str, changes: Sequence[str] = ()) -> Method:
    """Return the preset of that name with `changes`, each `name=value` (`weights.budget=1`, `hard=false`).

    Raises UsageError, with the nearest name, for what does not exist or is not of its field's type.
    """
    if preset not in PRESETS:
        known = ", ".join(PRESETS)
        raise UsageError(f"unknown preset '{preset}'{nearest(preset, PRESETS)}; choose from {known}")
    found = PRESETS[preset]
    for change in changes:
        name, separator, value = change.partition("=")
        if not separator:
            raise UsageError(f"'{change}' is not a change to the method: write name=value")
        group, dot, term = name.partition(".")
        if dot and group == "weights":
            found = replace(found, weights=_changed(found.weights, term, value))
        else:
            found = _changed(found, name, value)
    return found


def _changed(settings: Any, name: str, text: str) -> Any:
    known = [item.name for item in fields(settings) if item.name != "weights"]
    if name not in known:
        raise UsageError(f"the method has no setting '{name}'{nearest(name, known)}")
    kind = type(getattr(settings, name))
    try:
        value = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError) as error:
        raise UsageError(f"{name}={text}: it must be a {kind.__name__}") from error
    return replace(settings, **{name: value})
