"""Memory of stage 2 on SD 2.1: parameters as `aptp.trainer.memory` counts them, activations of one row.

    python -m bench.memory

Nothing runs: modules lie on the meta device, and what autograd keeps of an expert's pass for the way back is
added up, in bfloat16. Attention counts as fused kernels keep it: without the matrix of all pairs.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from aptp.finetune.learner import ExpertLearner
from aptp.finetune.stage import RECIPE
from aptp.finetune.weights import ExpertLossWeights
from aptp.model.sliced import SlicedUNet, config_of
from aptp.pipeline import untrained_pipeline
from aptp.presets import PRESETS
from aptp.space.cost import mac_cost
from aptp.space.discover import discover
from aptp.space.random_architectures import draw
from aptp.trainer.memory import GIB, footprint
from aptp.trainer.recipe import OPTIMIZERS
from bench.report import save
from runtime.cli.parser import Parser, run

TOKENS, WIDTH, CHANNELS = 77, 1024, 4
SIDES = (32, 64)  # of latents, for 256 and 512 pixels
SETS: Sequence[tuple[float, ...]] = ((0.5,), (0.75,), (0.5, 0.55, 0.65, 0.7))


class _Fused(torch.autograd.Function):
    """Attention as autograd sees a fused kernel: it keeps what went in and what came out."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, output)
        return output


def _attention(query: Tensor, key: Tensor, value: Tensor, **ignored: Any) -> Tensor:
    return _Fused.apply(query, key, value)  # type: ignore[no-any-return, no-untyped-call]


def activations(unet: nn.Module, side: int) -> int:
    """Return the bytes that autograd keeps of a pass of one row; each storage counts once."""
    weights = {parameter.untyped_storage()._cdata for parameter in unet.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage  # held, so that no other gets its number
        return tensor

    settings: dict[str, Any] = {"device": "meta", "dtype": torch.bfloat16}
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        patch("torch.nn.functional.scaled_dot_product_attention", _attention),
    ):
        unet(
            torch.empty(1, CHANNELS, side, side, **settings),
            torch.zeros(1, device="meta"),
            torch.empty(1, TOKENS, WIDTH, **settings),
        )
    return sum(storage.nbytes() for storage in kept.values())


def main() -> None:
    Parser(prog="python -m bench.memory", description=__doc__).parse_args()
    with torch.device("meta"):
        pipeline = untrained_pipeline(PRESETS["sd21"], 0)
        config = dict(pipeline.unet.config)
        cost = mac_cost(config, discover(pipeline.unet), SIDES[-1], SIDES[-1], TOKENS)
    rows = []
    for budgets in SETS:
        codes = [draw(cost, budget, np.random.default_rng(0)) for budget in budgets]
        with torch.device("meta"):
            experts = {i: SlicedUNet(architecture=config_of(code), **config) for i, code in enumerate(codes)}
        learner = ExpertLearner(pipeline, experts, ExpertLossWeights())
        for optimizer in OPTIMIZERS:
            found = footprint(learner, replace(RECIPE, optimizer=optimizer))
            names = ("frozen", "weights", "gradients", "moments", "average", "total", "state")
            held = {name: f"{getattr(found, name) / GIB:.1f}" for name in names}
            rows.append({"experts": ", ".join(map(str, budgets)), "optimizer": optimizer, **held})
    passes = []
    for budget in (1.0, 0.75, 0.5):
        with torch.device("meta"):
            code = config_of(draw(cost, budget, np.random.default_rng(0)))
            expert = SlicedUNet(architecture=code, **config).to(torch.bfloat16)
        row = {"cost, of dense": str(budget)}
        for recompute in (False, True):
            if recompute:
                expert.enable_gradient_checkpointing()
            for side in SIDES:
                name = f"{8 * side} px{', --recompute' if recompute else ''}"
                row[name] = f"{activations(expert.train(), side) / GIB:.2f}"
        passes.append(row)
    save(
        "memory",
        "What stage 2 holds for SD 2.1, in GiB",
        {"Parameters": rows, "Activations of a row": passes},
        {},
    )


if __name__ == "__main__":
    run(main)
