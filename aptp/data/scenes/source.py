"""The endless stream of captioned scenes, in two splits that share no caption."""

import hashlib
from collections.abc import Mapping, Sequence
from copy import copy
from random import Random
from typing import Any

import numpy as np
from torch import Tensor

from aptp.data.sample import Sample, SampleSource
from aptp.data.scenes.compose import arrange, compose
from aptp.data.scenes.render import render
from aptp.data.scenes.scene import TIERS, caption
from aptp.data.scenes.vocabulary import WRITTEN

SPLITS = ("train", "test")
HELD_OUT = 0.1  # share of all captions that only the test split shows

SHARES: Mapping[str, float] = {"single": 0.25, "count": 0.2, "pair": 0.35, "word": 0.2}


def split_of(text: str) -> str:
    """Return the split of a caption, by its SHA-256: the same for every seed, order and version of the
    stream.
    """
    fraction = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
    return "test" if fraction < HELD_OUT else "train"


class Scenes:
    """A Source of rendered scenes; the metadata holds the Scene and the Layout drawn.

    `shares` says how often each tier comes, `words` what may be written. Written words outside the
    vocabulary are how a reader of letters is trained.
    """

    def __init__(
        self,
        split: str = "train",
        *,
        seed: int = 0,
        shares: Mapping[str, float] = SHARES,
        words: Sequence[str] = WRITTEN,
    ) -> None:
        assert split in SPLITS
        assert set(shares) <= set(TIERS)
        self._split, self._seed, self._words = split, seed, words
        self._rendered = True
        self._tiers, self._weights = tuple(shares), tuple(shares.values())

    @property
    def about(self) -> Mapping[str, Any]:
        return {"name": "scenes"}

    @property
    def count(self) -> None:
        return None

    def only(self, positions: Tensor) -> "Chosen":
        return Chosen(self, positions)

    def captions(self) -> "Scenes":
        made = copy(self)
        made._rendered = False  # takes ten times as long as all the rest
        return made

    def __getitem__(self, position: int) -> Sample:
        rng = Random(f"{self._split} {self._seed} {position}")
        (tier,) = rng.choices(self._tiers, self._weights)
        while True:
            scene = compose(rng, tier, self._words)
            text = caption(scene)
            if split_of(text) == self._split:
                break
        if not self._rendered:
            return Sample(text, np.empty((0, 0, 3), np.uint8), {"scene": scene})
        layout = arrange(rng, scene)
        return Sample(text, render(layout), {"scene": scene, "layout": layout})


class Chosen:
    """A source of some samples of another: its position p shows the p-th of `positions` there, and behind
    the last of them, where loaders read ahead, the first again.
    """

    def __init__(self, source: SampleSource, positions: Tensor) -> None:
        self._source, self._positions = source, positions

    def __getitem__(self, position: int) -> Sample:
        return self._source[int(self._positions[position % len(self._positions)])]
