"""The variants that are compared: our method, and the same with one choice undone. Each variant names what it
changes.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from aptp.finetune.weights import ExpertLossWeights
from aptp.train.method import PRESETS, RECIPES, Method, method
from aptp.trainer.recipe import Recipe

OURS, DENSE = "ours", "dense"
TASK_ONLY = ExpertLossWeights(diffusion=1.0, output=0.0, blocks=0.0)


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant of the method: `changes` of `preset`; `tuning`: of stage 2's loss; `seconds`: the budget is
    in seconds of a profile, not in MACs.
    """

    name: str
    preset: str = "tiny"
    changes: tuple[str, ...] = ()
    tuning: ExpertLossWeights = ExpertLossWeights()
    seconds: bool = False

    def method(self, steps: int) -> Method:
        """Return the method of a variant: a tenth of `steps` are warm-up where there is one, as published."""
        found = method(self.preset, self.changes)
        return replace(found, warm_up=steps // 10) if found.warm_up else found

    def recipe(self, steps: int, batch: int, seed: int) -> Recipe:
        usual = RECIPES[self.preset]
        decay = round(usual.decay * steps / usual.steps)
        return replace(usual, steps=steps, batch=batch, decay=decay, seed=seed)

    def profile(self, path: Path) -> Path | None:
        return path if self.seconds else None


GATES = ("hard", "exact_placement", "noise", "noisy_codes", "ordered_depth", "offset", "temperature")

VARIANTS = (
    Variant(OURS),
    Variant("as published", "paper", ("codes=4",)),
    Variant("published gates", changes=tuple(f"{name}={getattr(PRESETS['paper'], name)}" for name in GATES)),
    Variant("no transport", changes=("transport=none", "balanced=false")),
    Variant("not balanced when served", changes=("balanced=false",)),
    Variant("no contrastive loss", changes=("weights.contrast=0",)),
    Variant("no distillation", changes=("weights.output=0", "weights.blocks=0"), tuning=TASK_ONLY),
    Variant("budget in seconds", seconds=True),
    Variant("1 code", changes=("codes=1",)),
    Variant("2 codes", changes=("codes=2",)),
    Variant("8 codes", changes=("codes=8",)),
)
IN_SECONDS = {variant.name for variant in VARIANTS if variant.seconds}
