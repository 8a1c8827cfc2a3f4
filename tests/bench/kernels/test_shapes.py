"""The attentions of SD 2.1, what they are worth, and their floors."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.kernels.shapes import Ceiling, Shape, attentions

SMALL = Shape(queries=10, keys=7, heads=3, width=32)


@pytest.mark.parametrize(("size", "share"), [(512, 0.158), (768, 0.29)])
def test_products_are_a_known_share_of_sd21(size: int, share: float) -> None:
    shapes, found = attentions("sd21", size)
    assert found == pytest.approx(share, abs=0.005)
    assert shapes.total() == 32  # self and cross in each of 16 transformer blocks
    side = size // 8
    assert shapes[Shape(side**2, side**2, 5, 64)] == 5
    assert shapes[Shape(side**2, 77, 5, 64)] == 5


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
    floor = Ceiling(operations, bytes_).floor(SMALL, 2, 1.0, backward=False)
    slow = SMALL.operations(2, 1.0) if operations < bytes_ else SMALL.traffic(2, 1.0)
    assert floor == slow / 1e3
