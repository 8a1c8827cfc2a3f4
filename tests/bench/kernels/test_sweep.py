"""The sweep over blocks, and its candidate that reads through tensor descriptors, in Triton's interpreter."""

import pytest
import torch

from bench.kernels import sweep
from bench.kernels.bulk import attend_bulk
from bench.kernels.timing import Timing
from kernels.attention.tiles import Tile
from tests.kernels.attention.problems import error, problem
from tests.kernels.interpreter import repair

TILE = Tile(queries=32, keys=16, warps=4, stages=2, main=32)
OTHER = Tile(queries=64, keys=16, warps=4, stages=2, main=32)


def test_bulk_copies_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    repair(monkeypatch)
    given = problem(64, 48, gates=((1.0, 0.0), (0.5, 1.0)))
    q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (given.q, given.k, given.v))
    q[given.gates == 0] = torch.nan
    found = attend_bulk(q, k, v, given.gates, TILE)
    assert error(found, given.expected()) <= given.tolerance


def test_bulk_copies_take_whole_blocks_alone() -> None:
    given = problem(64, 40)
    with pytest.raises(ValueError, match="64 x 40 of 32 is not whole blocks"):
        attend_bulk(given.q, given.k, given.v, given.gates, TILE)


def test_every_candidate_takes_its_turn(without_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    repair(monkeypatch)
    small = {"QUERIES": (32,), "KEYS": (16, 32), "WARPS": (4,), "STAGES": (2,)}
    for name, value in {**small, "TOKENS": 64, "HEADS": 2, "BATCH": 1}.items():
        monkeypatch.setattr(sweep, name, value)
    for kernel in ("forward", "dk_dv"):
        found, known = sweep.measure(kernel, 32, (9, 0))
        ran = {name for name, x in found.items() if isinstance(x, Timing)}
        assert set(known) <= ran
        assert ("bulk, 32 x 32, 4 warps, 2 stages" in ran) == (kernel == "forward")


def test_what_computes_something_else_is_not_timed() -> None:
    wanted = torch.ones(3)
    with pytest.raises(RuntimeError, match="computes something else"):
        sweep._checked(lambda: wanted + 0.1, wanted)()
    assert sweep._checked(lambda: wanted, wanted)() is wanted


def test_the_winner_can_go_into_the_table() -> None:
    known = {sweep.named(tile): tile for tile in (TILE, OTHER)}
    own, other = known
    found = {
        own: Timing(1, 0, [3.0]),
        other: Timing(1, 0, [2.0]),
        f"bulk, {own}": Timing(1, 0, [1.0]),
    }
    assert sweep.winner(found, known) == OTHER
    table = sweep.rows({**found, other: "out of resource"}, own)
    assert [row["to the table's"] for row in table] == ["0.333", "1.000", "-"]
    assert table[1]["block"] == f"**{own}**"
