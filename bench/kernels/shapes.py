"""The attentions of a UNet, read off its module tree, and what they cost at the least.

Floors hold for any implementation: every operation at the rate of a large matrix product, every byte at the
rate of a large copy, whichever takes longer.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention

from aptp.presets import PRESETS
from aptp.space.macs import module_macs

TOKENS = 77
FACTOR = 8  # pixels per latent, each way


@dataclass(frozen=True, order=True)
class Shape:
    """One attention: ``heads`` of ``width``, ``queries`` by ``keys``."""

    queries: int
    keys: int
    heads: int
    width: int

    def __str__(self) -> str:
        return f"{self.queries} x {self.keys}, {self.heads} heads of {self.width}"

    def operations(self, batch: int, live: float, *, backward: bool = False) -> float:
        """Of the products alone, two for each multiply-accumulate. The gradients' five products, of which
        one is the logits again, are 2.5 times the two of the forward pass.
        """
        forward = 4 * batch * self.heads * live * self.queries * self.keys * self.width
        return forward * 2.5 if backward else forward

    def traffic(self, batch: int, live: float, *, backward: bool = False, size: int = 2) -> float:
        """Bytes: live inputs read once, every output written once, zeros of closed heads included."""
        per_head = batch * self.heads * self.width * size
        queries, keys = per_head * self.queries, 2 * per_head * self.keys
        if backward:  # reads q, out, grad, k, v; writes dq, dk, dv
            return live * (3 * queries + keys) + queries + keys
        return live * (queries + keys) + queries


@dataclass(frozen=True)
class Ceiling:
    """What this GPU does at best, measured: operations and bytes per second."""

    operations: float
    bytes: float

    def floor(self, shape: Shape, batch: int, live: float, *, backward: bool) -> float:
        """Seconds."""
        return max(
            shape.operations(batch, live, backward=backward) / self.operations,
            shape.traffic(batch, live, backward=backward) / self.bytes,
        )


def attentions(preset: str, size: int) -> tuple[Counter[Shape], float]:
    """How often each shape occurs in the UNet at ``size`` pixels, and the share of its MACs that attention's
    products are.
    """
    side = size // FACTOR
    with torch.device("meta"):
        unet = UNet2DConditionModel(**PRESETS[preset].unet)
    macs = module_macs(unet, side, side, TOKENS)
    found: Counter[Shape] = Counter()
    products = 0
    for name, module in unet.named_modules():
        if isinstance(module, Attention):
            products += macs[name]
            pairs = macs[name] // (2 * module.inner_dim)  # queries · keys
            keys = TOKENS if module.is_cross_attention else round(pairs**0.5)
            found[Shape(pairs // keys, keys, module.heads, module.inner_dim // module.heads)] += 1
    return found, products / sum(macs.values())
