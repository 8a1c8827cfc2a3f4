"""Each row of a batch draws the same numbers, however many processes share it."""

from collections.abc import Callable

import pytest
import torch

from aptp.trainer.rng import Draws, draws
from tests.aptp.trainer.toys import drawn

KINDS: list[Callable[[Draws], torch.Tensor]] = [
    lambda made: made.normal(3, 2),
    lambda made: made.uniform(4),
    lambda made: made.integers(1, 1000),
    lambda made: made.strata(),
]


@pytest.mark.parametrize("kind", KINDS, ids=["normal", "uniform", "integers", "strata"])
def test_shares_together_draw_what_one_process_draws(kind: Callable[[Draws], torch.Tensor]) -> None:
    alone = kind(drawn(12))
    assert len(alone) == 12
    for processes in (2, 3):
        each = 12 // processes
        shares = [draws(0, 0, range(i * each, (i + 1) * each), 12) for i in range(processes)]
        assert torch.equal(torch.cat([kind(share) for share in shares]), alone)
        again = [kind(share) for share in shares]  # the generators are where they were in one process
        both = drawn(12)
        kind(both)
        assert torch.equal(torch.cat(again), kind(both))


def test_what_concerns_no_row_is_the_same_for_all() -> None:
    shares = [draws(0, 0, range(i, i + 1), 2) for i in range(2)]
    for share in shares:
        share.uniform()
    assert torch.equal(*(torch.rand(3, generator=share.rng) for share in shares))


def test_steps_and_seeds_differ() -> None:
    first, step, seed = (made.uniform() for made in (drawn(4), drawn(4, step=1), drawn(4, seed=1)))
    assert not torch.equal(first, step)
    assert not torch.equal(first, seed)
    assert not torch.equal(step, seed)


def test_strata_have_one_number_in_each_range_in_random_order() -> None:
    found = drawn(100).strata()
    assert torch.equal((found.sort().values * 100).long(), torch.arange(100))
    assert (found.diff() < 0).any()


def test_rows_that_take_turns_draw_what_they_draw_alone() -> None:
    rows, mine = draws(5, 3, range(4, 8), 12).turn(1, 3, key=7)
    assert rows.tolist() == [0, 3]  # rows 4 and 7 of the batch
    _, alone = draws(5, 3, range(4), 4).turn(0, 1, key=7)
    assert torch.equal(mine.normal(2), alone.normal(2)[1:3])
    assert torch.equal(mine.strata(), alone.strata()[1:3])
    _, other = draws(5, 3, range(4), 4).turn(0, 1, key=8)
    assert not torch.equal(other.normal(2), draws(5, 3, range(4), 4).turn(0, 1, key=7)[1].normal(2))
