"""The benchmark's ways of timing and its rivals, where they mean something."""

import pytest
import torch
from torch._functorch import config as functorch

from bench.kernels.bulk import attend_bulk
from bench.kernels.contenders import FLEX, GATHERED, KERNEL, STRAIGHT_THROUGH, Inputs, at, contenders
from bench.kernels.shapes import Shape
from bench.kernels.timing import Timing, in_turns
from kernels.attention.tiles import Tile
from tests.kernels.attention.problems import error, problem
from tests.kernels.attention.test_op import INDUCTORS_OWN

pytestmark = pytest.mark.gpu


@pytest.mark.filterwarnings(INDUCTORS_OWN)
@pytest.mark.parametrize("backward", [False, True])
def test_graphs_time_the_gpu_and_not_python(gpu: str, backward: bool) -> None:
    sets = [Inputs.draw(Shape(256, 256, 4, 64), 2) for _ in range(3)]
    with functorch.patch(donated_buffer=False):  # or compiled backward passes run only once
        found = in_turns(contenders(sets, (1.0, 0.5), backward=backward, compiled=True), rounds=3)
    always = [at(what, live) for what in (KERNEL, GATHERED, FLEX) for live in (1.0, 0.5)]
    for name in (*always, "SDPA flash", "SDPA math", *[STRAIGHT_THROUGH] * backward):
        timed = found[name]
        assert isinstance(timed, Timing), (name, timed)
        assert len(timed.samples) == 3
    kernel = found[at(KERNEL, 1.0)]
    assert isinstance(kernel, Timing)
    assert 0 < kernel.seconds < kernel.host


def test_bulk_copies_compute_the_same(gpu: str) -> None:
    given = problem(256, 256, 64, dtype=torch.bfloat16, device=gpu)
    q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (given.q, given.k, given.v))
    found = attend_bulk(q, k, v, given.gates, Tile(128, 64, 8, 3, 64))
    assert error(found, given.expected()) <= given.tolerance
