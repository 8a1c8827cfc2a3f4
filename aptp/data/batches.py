"""Samples in batches: batch `i` of a source is the same in every process and run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from aptp.data.sample import SampleSource


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one batch. `images`: [B, 3, H, W] float32 in -1 … 1."""

    captions: tuple[str, ...]
    images: torch.Tensor
    metadata: tuple[Mapping[str, Any], ...]

    def pin_memory(self) -> "Batch":
        return Batch(self.captions, self.images.pin_memory(), self.metadata)


class _Batches(Dataset[Batch]):
    def __init__(self, source: SampleSource, size: int, share: tuple[int, int]) -> None:
        self._source, self._size, self._share = source, size, share

    def __getitem__(self, index: int) -> Batch:
        process, processes = self._share
        first = (index * processes + process) * self._size
        samples = [self._source[first + i] for i in range(self._size)]
        images = torch.from_numpy(np.stack([sample.image for sample in samples]))  # [B, H, W, 3]
        return Batch(
            tuple(sample.caption for sample in samples),
            images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous(),
            tuple(sample.metadata for sample in samples),
        )


def batches(
    source: SampleSource, size: int, *, start: int = 0, workers: int = 0, share: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
    """Yield batches `start`, `start + 1`, … of `size` samples each, endlessly.

    `workers`: processes that load ahead (0: none, loading takes turns with the caller). `share`: of
    (process, processes) that train together, each gets its own samples of the same global batch.
    """
    loader: DataLoader[Batch] = DataLoader(
        _Batches(source, size, share),
        batch_size=None,
        sampler=count(start),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context="forkserver" if workers else None,
    )
    return iter(loader)
