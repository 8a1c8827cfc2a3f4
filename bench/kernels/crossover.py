"""A batch of mixed codes: through the masked supernet at once, or sliced and grouped by code.

Whole UNet calls on SD 2.1's geometry with random weights, in bfloat16, without a compiler. The best possible
curve charges every sample its own code's MACs at the rate that the dense UNet reaches in its largest batch:
slicing without any loss to small groups. The supernet computes every channel and skips only the products of
closed heads, so it can win only where groups are too small to fill the GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from aptp.model.gates import GatedUNet
from aptp.model.initial import randomise
from aptp.model.sliced import gates_of, slice_unet
from aptp.presets import DEFAULT_BUDGETS, PRESETS
from aptp.space.cost import mac_cost
from aptp.space.discover import discover
from aptp.space.draw import draw
from bench.kernels import timing
from bench.kernels.shapes import TOKENS
from bench.kernels.timing import Timed, Work, in_turns

PRESET, LATENT = "sd21", 64  # 512 pixels
BATCHES = (1, 2, 4, 8, 16)
CODES = (1, 2, 4)
MASKED, GROUPED, DENSE = "masked supernet", "slice and group", "dense"


@dataclass(frozen=True)
class Mixture:
    """One batch: ``codes`` of its rows, and how long each way took."""

    batch: int
    codes: int
    times: dict[str, Timed]
    best: float = 0.0  # seconds


def spread_codes(batch: int, codes: int) -> list[int]:
    """The code of each row: as evenly mixed as a batch can be."""
    return [row % codes for row in range(batch)]


def best_possible(rows: list[int], macs: list[float], dense_macs: float, dense: float, largest: int) -> float:
    """Seconds for ``rows``, each at its code's ``macs``, if a MAC costs what it does in ``largest`` dense
    rows that take ``dense`` seconds.
    """
    return sum(macs[code] for code in rows) * dense / (largest * dense_macs)


class Supernet:
    """The dense UNet, its slices, and the gated one, with the same weights on the GPU."""

    def __init__(self) -> None:
        unet = UNet2DConditionModel(**PRESETS[PRESET].unet).eval()
        randomise(unet, torch.Generator().manual_seed(0))
        unet.to(timing.DEVICE, torch.bfloat16).requires_grad_(False)
        space = discover(unet)
        cost = mac_cost(unet.config, space, LATENT, LATENT, TOKENS)
        rng = np.random.default_rng(0)
        architectures = [draw(cost, budget, rng) for budget in DEFAULT_BUDGETS]
        self.macs = [cost.of(architecture) for architecture in architectures]
        self.dense_macs = cost.dense
        self.slices = [slice_unet(unet, architecture) for architecture in architectures]
        self.gates = torch.cat([gates_of(architecture) for architecture in architectures]).to(timing.DEVICE)
        self.masked = GatedUNet(unet, space)
        with torch.device("meta"):
            self.dense = UNet2DConditionModel.from_config(unet.config).eval()
        self.dense.load_state_dict(unet.state_dict(), assign=True)

    def works(self, batch: int, codes: int) -> dict[str, Work]:
        rows = torch.tensor(spread_codes(batch, codes), device=timing.DEVICE)
        inputs = _inputs(batch)
        gates = self.gates[rows]
        groups = [{name: x[rows == code] for name, x in inputs.items()} for code in range(codes)]
        return {
            MASKED: _without_grad(lambda: self.masked(**inputs, gates=gates)),
            GROUPED: _without_grad(lambda: [self.slices[i](**part) for i, part in enumerate(groups)]),
            DENSE: _without_grad(lambda: self.dense(**inputs)),
        }


def measure() -> Iterator[Mixture]:
    """Largest batches first, because they say what the best possible is."""
    supernet = Supernet()
    largest, dense = max(BATCHES), None
    for batch in sorted(BATCHES, reverse=True):
        for codes in (count for count in CODES if count <= batch):
            timed = in_turns(supernet.works(batch, codes), rounds=5)
            times = {name: found for name, found in timed.items() if isinstance(found, Timed)}
            if len(times) < len(timed):
                raise RuntimeError(f"batch {batch}, {codes} codes: {timed}")
            dense = times[DENSE].seconds if dense is None else dense
            rows = spread_codes(batch, codes)
            best = best_possible(rows, supernet.macs, supernet.dense_macs, dense, largest)
            yield Mixture(batch, codes, times, best)


def table(mixtures: list[Mixture]) -> list[dict[str, Any]]:
    return [
        {
            "batch": mixture.batch,
            "codes": mixture.codes,
            **{f"{name}, ms": f"{1e3 * found.seconds:.2f}" for name, found in mixture.times.items()},
            "best possible, ms": f"{1e3 * mixture.best:.2f}",
            "masked to grouped": f"{_ratio(mixture.times[MASKED], mixture.times[GROUPED]):.2f}",
            "choose": _choice(mixture),
        }
        for mixture in sorted(mixtures, key=lambda mixture: (mixture.codes, mixture.batch))
    ]


def _ratio(one: Timed, other: Timed) -> float:
    """Of neighbours in time, which see the same clocks."""
    return median(a / b for a, b in zip(one.samples, other.samples, strict=True))


def _choice(mixture: Mixture) -> str:
    return MASKED if _ratio(mixture.times[MASKED], mixture.times[GROUPED]) < 1 else GROUPED


def _inputs(batch: int) -> dict[str, Tensor]:
    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, device=timing.DEVICE, dtype=torch.bfloat16)

    return {
        "sample": normal(4, LATENT, LATENT),
        "timestep": torch.full((batch,), 500.0, device=timing.DEVICE),
        "encoder_hidden_states": normal(TOKENS, PRESETS[PRESET].unet["cross_attention_dim"]),
    }


def _without_grad(work: Work) -> Work:
    def run() -> object:
        with torch.no_grad():
            return work()

    return run
