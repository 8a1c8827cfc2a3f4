"""The attentions of SD 2.1, what they are worth, and their floors."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from aptp.presets import PRESETS
from aptp.space.macs import module_macs
from bench.kernels.shapes import SHARES, TOKENS, Ceiling, Shape, attentions

SMALL = Shape(queries=10, keys=7, heads=3, width=32)


@pytest.mark.parametrize("size", SHARES)
def test_the_table_is_that_of_the_unet(size: int) -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**PRESETS["sd21"].unet)
    macs = module_macs(unet, size // 8, size // 8, TOKENS)
    found: Counter[Shape] = Counter()
    products = 0
    for name, module in unet.named_modules():
        if isinstance(module, Attention):
            products += macs[name]
            pairs = macs[name] // (2 * module.inner_dim)  # queries · keys
            keys = TOKENS if module.is_cross_attention else round(pairs**0.5)
            found[Shape(pairs // keys, keys, module.heads, module.inner_dim // module.heads)] += 1
    assert attentions(size) == found
    assert SHARES[size] == pytest.approx(products / sum(macs.values()), abs=5e-4)


@pytest.mark.parametrize("backward", [False, True])
def test_operations_are_those_torch_counts(backward: bool) -> None:
    q, k, v = (torch.randn(2, 3, n, 32, requires_grad=True) for n in (10, 7, 7))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        out = F.scaled_dot_product_attention(q, k, v)
        forward = counter.get_total_flops()
        out.sum().backward()
    # Torch keeps the weights where flash attention makes the logits again: four products, not five.
    counted = (counter.get_total_flops() - forward) * 5 / 4 if backward else forward
    assert SMALL.operations(2, 1.0, backward=backward) == counted


def test_traffic_is_inputs_of_live_heads_and_every_output() -> None:
    head = 2 * 32 * 2  # two samples, bfloat16
    assert SMALL.traffic(2, 1.0) == head * 3 * (2 * 10 + 2 * 7)
    assert SMALL.traffic(2, 1 / 3) == head * (2 * 10 + 2 * 7) + head * 2 * 10
    assert SMALL.traffic(2, 0.0, backward=True) == head * 3 * (10 + 2 * 7)


@pytest.mark.parametrize(("operations", "bytes_"), [(1e3, 1e12), (1e12, 1e3)])
def test_the_floor_is_the_longer_of_work_and_traffic(operations: float, bytes_: float) -> None:
    floor = Ceiling(operations, bytes_, 0.5, 4).floor(SMALL, 2, 1.0, backward=False, block=None)
    slow = SMALL.operations(2, 1.0) if operations < bytes_ else SMALL.traffic(2, 1.0)
    assert floor == 0.5 + slow / 1e3


def test_the_floor_is_that_of_the_multiprocessor_with_most_blocks() -> None:
    # Two samples, three heads, two blocks of 5 queries: 12 blocks, of which one of 8 multiprocessors gets 2.
    gpu = Ceiling(1e3, 1e12, 0.0, 8)
    whole, cut = (gpu.floor(SMALL, 2, 1.0, backward=False, block=block) for block in (None, 5))
    assert cut == pytest.approx(whole * 2 / (12 / 8))
