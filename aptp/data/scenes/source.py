"""The endless stream of captioned scenes, in two splits that share no caption."""

import hashlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from aptp.data.sample import Sample
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
        self._tiers, self._weights = tuple(shares), tuple(shares.values())

    @property
    def about(self) -> Mapping[str, Any]:
        return {"name": "scenes"}

    def captions(self) -> "Scenes":
        return self

    def __getitem__(self, position: int) -> Sample:
        rng = Random(f"{self._split} {self._seed} {position}")
        (tier,) = rng.choices(self._tiers, self._weights)
        while True:
            scene = compose(rng, tier, self._words)
            text = caption(scene)
            if split_of(text) == self._split:
                break
        layout = arrange(rng, scene)
        return Sample(text, render(layout), {"scene": scene, "layout": layout})
