"""Counting of broken pictures that a session passed over, by step.

A source says in its samples' metadata what was `skipped`; one that says nothing has nothing to skip.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch

from aptp.data.batches import Batch
from aptp.trainer import distributed


class BadSamples:
    """Broken pictures of one session. `data`: what the source tells; `device`: the processes'."""

    def __init__(self, data: Mapping[str, Any] | None, device: torch.device) -> None:
        self._data, self._device = data or {}, device
        self._why: Counter[str] = Counter()
        self._first = ""
        self._samples = self._skipped = 0

    def figures(self, batch: Batch) -> dict[str, float]:
        """Return what a step's record says: how many pictures all processes passed over for it."""
        told = [sample["skipped"] for sample in batch.metadata if "skipped" in sample]
        if not told:
            return {}
        mine = [entry for each in told for entry in each]
        for place, why in mine:
            self._first = self._first or f"{place}: {why}"
            self._why[why] += 1
        skipped = int(distributed.total(torch.tensor(float(len(mine)), device=self._device)))
        self._skipped += skipped
        self._samples += len(batch.captions) * distributed.count()
        return {"skipped": skipped}

    def lines(self) -> list[str]:
        """Return the lines told at the end: what was left out from the start, and what was passed over
        since.
        """
        found = []
        if left_out := self._data.get("left_out"):
            counts = ", ".join(f"{count} {why}" for why, count in left_out.items())
            found.append(f"{self._data['name']}: {self._data['pairs']} pairs; left out: {counts}")
        if self._skipped:
            common = ", ".join(f"{count} because {why}" for why, count in self._why.most_common(3))
            more = f" ({common}; the first is {self._first})" if self._first else ""
            found.append(f"broken pictures passed over: {self._skipped} in {self._samples} samples{more}")
        return found
