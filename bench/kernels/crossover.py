"""A batch of mixed codes: through the masked supernet at once, or sliced and grouped by code.

Whole UNet calls on SD 2.1's geometry with random weights, in bfloat16, without a compiler, each way as one
CUDA graph: what the GPU takes. Without a graph the CPU's time to submit is the least that a call takes; it is
a column of its own. The best possible curve charges every sample its own code's MACs at the rate that the
dense UNet reaches in its largest batch: slicing without any loss to small groups. The supernet computes every
channel and skips only the products of closed heads, so it can win only where groups are too small to fill the
GPU.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
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
from aptp.space.random_architectures import draw
from bench.kernels import charts, timing
from bench.kernels.shapes import TOKENS
from bench.kernels.timing import KernelWork, Run, Timing, in_turns

PRESET, LATENT = "sd21", 64  # 512 pixels
BATCHES = (1, 2, 4, 8, 16)
CODES = (1, 2, 4)
CHART = "kernels.crossover.png"
MASKED, GROUPED, DENSE = "masked supernet", "slice and group", "dense"


@dataclass(frozen=True, slots=True)
class Mixture:
    """One batch: the `codes` of its rows, and the seconds of each way."""

    batch: int
    codes: int
    times: dict[str, Timing]
    best: float = 0.0  # seconds

    @property
    def ratios(self) -> list[float]:
        """Return masked to grouped, round by round."""
        return self.times[MASKED].ratios(self.times[GROUPED])


def spread_codes(batch: int, codes: int) -> list[int]:
    """Return the code of each row: as evenly mixed as a batch can be."""
    return [row % codes for row in range(batch)]


def best_possible(rows: list[int], macs: list[float], dense_macs: float, dense: float, largest: int) -> float:
    """Return the seconds for `rows`, each at its code's `macs`, if a MAC costs what it does in `largest`
    dense rows that take `dense` seconds.
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

    def works(self, batch: int, codes: int) -> dict[str, KernelWork]:
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
    """Measure batches, largest first. A batch that one way cannot run is left out, and said."""
    supernet = Supernet()
    dense = None
    for batch in sorted(BATCHES, reverse=True):
        for codes in (count for count in CODES if count <= batch):
            timed = in_turns(supernet.works(batch, codes), rounds=5)
            times = {name: found for name, found in timed.items() if isinstance(found, Timing)}
            if len(times) < len(timed):
                print(f"batch {batch}, {codes} codes: {timed}", file=sys.stderr)
                continue
            if dense is None:
                largest, dense = batch, times[DENSE].seconds
            rows = spread_codes(batch, codes)
            best = best_possible(rows, supernet.macs, supernet.dense_macs, dense, largest)
            yield Mixture(batch, codes, times, best)


def table(mixtures: Sequence[Mixture]) -> list[dict[str, Any]]:
    return [
        {
            "batch": mixture.batch,
            "codes": mixture.codes,
            **{f"{name}, ms": f"{1e3 * found.seconds:.2f}" for name, found in mixture.times.items()},
            "best possible, ms": f"{1e3 * mixture.best:.2f}",
            **{f"{name}, CPU ms": f"{1e3 * mixture.times[name].host:.1f}" for name in (MASKED, GROUPED)},
            "masked to grouped": f"{median(mixture.ratios):.2f}",
            "choose": _choice(mixture),
        }
        for mixture in sorted(mixtures, key=lambda mixture: (mixture.codes, mixture.batch))
    ]


def chart(mixtures: Sequence[Mixture], folder: Path, title: str) -> tuple[str, ...]:
    panels: charts.Panels = {}
    for one in sorted(mixtures, key=lambda mixture: (mixture.codes, mixture.batch)):
        panel = panels.setdefault(f"{one.codes} code{'s' * (one.codes > 1)} in the batch", {})
        seconds = {name: one.times[name].seconds for name in (MASKED, GROUPED)} | {"best possible": one.best}
        for name, value in seconds.items():
            panel.setdefault(name, []).append((one.batch, 1e3 * value / one.batch))
    charts.draw_panels(folder / CHART, panels, title, charts.BATCH, "ms per sample and UNet call")
    return (CHART,)


def _choice(mixture: Mixture) -> str:
    """Return the way that won every round; neither, if each won one."""
    low, high = min(mixture.ratios), max(mixture.ratios)
    return MASKED if high < 1 else GROUPED if low > 1 else "either"


def _inputs(batch: int) -> dict[str, Tensor]:
    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, device=timing.DEVICE, dtype=torch.bfloat16)

    return {
        "sample": normal(4, LATENT, LATENT),
        "timestep": torch.full((batch,), 500.0, device=timing.DEVICE),
        "encoder_hidden_states": normal(TOKENS, PRESETS[PRESET].unet["cross_attention_dim"]),
    }


def _without_grad(run: Run) -> KernelWork:
    def without_grad() -> object:
        with torch.no_grad():
            return run()

    return KernelWork(without_grad)
