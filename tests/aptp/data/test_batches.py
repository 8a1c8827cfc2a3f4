"""Batches: the same at every index, however they are loaded and shared out."""

from itertools import islice

import numpy as np
import pytest
import torch

from aptp.data.batches import batches
from aptp.data.sample import Sample


class Numbers:
    """Sample i is called i and is all of one grey."""

    def __getitem__(self, position: int) -> Sample:
        grey = position % 256
        return Sample(str(position), np.full((4, 4, 3), grey, np.uint8), {"position": position})


def captions(**options):
    return [batch.captions for batch in islice(batches(Numbers(), 3, **options), 3)]


def test_batches_follow_the_positions():
    assert captions() == [("0", "1", "2"), ("3", "4", "5"), ("6", "7", "8")]


def test_a_later_start_gives_what_an_unbroken_run_would_have_seen():
    assert captions(start=1)[:2] == captions()[1:]


def test_workers_change_nothing():
    assert captions(workers=2) == captions()


def test_processes_share_a_global_batch():
    first, second = captions(share=(0, 2)), captions(share=(1, 2))
    assert first[0] + second[0] == ("0", "1", "2", "3", "4", "5")
    assert first[1] + second[1] == ("6", "7", "8", "9", "10", "11")


def test_images_run_from_minus_one_to_one():
    batch = next(batches(Numbers(), 256))
    assert batch.images.shape == (256, 3, 4, 4)
    assert batch.images.dtype == torch.float32
    assert batch.images[:, 0, 0, 0].tolist() == pytest.approx([i / 127.5 - 1 for i in range(256)], abs=1e-6)
    assert batch.metadata[5] == {"position": 5}
