"""A finished cache as a source: encodings by position, in place of pictures."""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aptp.data.cache.form import INDEX, LATENTS, NAME, REMEDY, TEXT, Plan, read_plan, shards
from aptp.data.cache.records import Records
from aptp.data.cache.shard import LENGTHS, read_row, read_tensors
from aptp.data.order import shuffled
from aptp.data.sample import Encodings, Sample
from runtime.errors import DataError, IntegrityError
from runtime.files.verified import VerifiedFiles

MOMENTS, HIDDEN, MASK, EMPTY, CAPTION = "moments", "hidden", "mask", "empty", "caption"


class CachedSource:
    """The samples of a cache, endless: those of its own source first, position by position.

    After the last one they come again, in an order shuffled anew. A run of another `seed` than the cache's
    sees them in an order of its own from the beginning.
    """

    def __init__(self, folder: Path, plan: Plan, seed: int) -> None:
        """Read the index of a finished cache. Raises IntegrityError for one that is damaged, or whose shards
        are not as long as `plan` says.
        """
        self._folder, self._plan, self._seed = folder, plan, seed
        self._files = VerifiedFiles(folder, plan.files, REMEDY)
        self._names = shards(plan.files)
        index = read_tensors(self._files, self._name(INDEX, 0))
        made = index[LENGTHS].tolist() if LENGTHS in index else None
        if made != plan.lengths:
            raise IntegrityError(
                f"{folder / NAME} says that shards of latents and text have {plan.lengths} rows, and they "
                f"were made of {made}; {REMEDY}"
            )
        self._records, self._caption = Records.unpack(index), index[CAPTION]
        self.empty: torch.Tensor | None = index.get(EMPTY)  # [1, T, E], of the empty caption
        self._chosen: torch.Tensor | None = None  # numbers of the samples that are shown; None: all
        self._encoded = True

    @property
    def about(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._plan.identity["data"]
        return found

    @property
    def count(self) -> int:
        return self._plan.samples if self._chosen is None else len(self._chosen)

    def only(self, positions: torch.Tensor) -> "CachedSource":
        """Return the samples at some positions of the first pass as a source of their own: that pass as it is
        here, and later ones in orders shuffled anew.
        """
        made = copy(self)
        made._chosen = torch.tensor([self._place(position) for position in positions.tolist()])
        return made

    def captions(self) -> "CachedSource":
        made = copy(self)
        made._encoded = False
        return made

    def __getitem__(self, position: int) -> Sample:
        place = self._place(position)
        record = self._records[place]
        bare = Sample(record.caption, np.empty((0, 0, 3), np.uint8), record.metadata)
        if not self._encoded:
            return bare
        number, row = divmod(place, self._plan.latents_per_shard)
        moments = read_row(self._files, self._name(LATENTS, number), MOMENTS, row)
        kept = Encodings(
            moments, *(self._text(int(self._caption[place])) if self._plan.text_per_shard else ())
        )
        return replace(bare, encodings=kept)

    def _place(self, position: int) -> int:
        count = self.count
        if self._chosen is not None:
            return int(self._chosen[position if position < count else shuffled(position, count, self._seed)])
        as_made = position < count and self._plan.identity["seed"] == self._seed
        return position if as_made else shuffled(position, count, self._seed)

    def _text(self, caption: int) -> tuple[torch.Tensor, torch.Tensor]:
        number, row = divmod(caption, self._plan.text_per_shard)
        name = self._name(TEXT, number)
        hidden, mask = (read_row(self._files, name, key, row) for key in (HIDDEN, MASK))
        return hidden, mask.bool()

    def _name(self, kind: str, number: int) -> str:
        try:
            return self._names[kind, number]
        except KeyError:
            raise IntegrityError(f"{self._folder / NAME} lists no {kind} {number}; {REMEDY}") from None


def finished_plan(folder: Path) -> Plan:
    """Return the plan of a finished cache. Raises DataError for one that is not, or is none."""
    plan = read_plan(folder)
    if plan is None:
        raise DataError(
            f"{folder} is no cache of encodings: it has no {NAME}; python -m aptp.encode makes one"
        )
    if not plan.files:
        raise DataError(f"{folder} is not finished; run the same python -m aptp.encode again, which goes on")
    return plan
