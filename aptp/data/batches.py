"""Samples in batches: batch `i` of a source is the same in every process and run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from aptp.data.sample import Encodings, Sample, SampleSource


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one batch. `images`: [B, 3, H, W] float32 in -1 … 1; H and W are 0 where a cache gives
    `encodings` instead.
    """

    captions: tuple[str, ...]
    images: torch.Tensor
    metadata: tuple[Mapping[str, Any], ...]
    encodings: Encodings | None = None

    def part(self, rows: torch.Tensor) -> "Batch":
        """Return some rows, int64, as a batch of their own."""
        chosen = rows.tolist()
        return Batch(
            tuple(self.captions[row] for row in chosen),
            self.images[rows],
            tuple(self.metadata[row] for row in chosen),
            self.encodings and self.encodings.each(lambda tensor: tensor[rows]),
        )

    def pin_memory(self) -> "Batch":
        pinned = self.encodings and self.encodings.each(torch.Tensor.pin_memory)
        return Batch(self.captions, self.images.pin_memory(), self.metadata, pinned)


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
            _stacked(samples),
        )


def _stacked(samples: Sequence[Sample]) -> Encodings | None:
    kept = [sample.encodings for sample in samples if sample.encodings]
    if not kept:
        return None
    moments, *text = zip(*kept, strict=True)
    stacked = (None if field[0] is None else torch.stack(field) for field in text)
    return Encodings(torch.stack(moments), *stacked)


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
