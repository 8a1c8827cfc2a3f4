"""Captioned pictures on disk as a Source: the list of pairs, their order, and what happens to broken ones."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from aptp.data import storage
from aptp.data.captions import Fits, shortened, tidy
from aptp.data.order import shuffled
from aptp.data.picture import BrokenPicture, crop, decode
from aptp.data.sample import Sample
from aptp.data.texts import Packer, Texts
from runtime.errors import DataError

HELD_OUT = 64  # one picture in so many is the test split's, where a data set has no splits of its own
IN_A_ROW = 1000  # broken pictures after which a data set is taken for broken


@dataclass(frozen=True, slots=True)
class Listing:
    """All pairs of a data set: captions and the places of their pictures. A picture's captions, where one of
    them is to be drawn each time, are one text with line ends between them. `rows` are the numbers of those
    that are used; `left_out` says how many others were found, and why they are not here. `drawn_at`: for each
    of these rows, in the order of the first pass, the position in the whole data at which it is shown first,
    with the one caption that it keeps; None: all are here, and a caption is drawn each time.
    """

    captions: Texts
    places: Texts
    rows: torch.Tensor
    left_out: Mapping[str, int]
    drawn_at: torch.Tensor | None = None


class Lister:
    """A builder of a Listing: a reader adds pairs as it finds them."""

    def __init__(self) -> None:
        self._captions, self._places, self._marks = Packer(), Packer(), array("Q")
        self._left_out: Counter[str] = Counter()

    def add(self, caption: object, place: str, key: str | None = None) -> None:
        """Add a pair.

        `caption`: a text, or a list of which one is drawn each time the pair is shown. The pair is left out
        where there is none. `key`: a name of the picture that does not depend on its place, if it has one.
        """
        several = caption if isinstance(caption, list | tuple) else (caption,)
        texts = [tidied for each in several if isinstance(each, str) and (tidied := tidy(each))]
        if not texts:
            return self.leave_out("without a caption")
        self._captions.add("\n".join(dict.fromkeys(texts)))
        self._places.add(place)
        self._marks.append(_mark(key or storage.shown(place)))

    def leave_out(self, why: str, count: int = 1) -> None:
        self._left_out[why] += count

    def listing(self, split: str | None = None) -> Listing:
        """List all pairs, or a `split` of them, for a data set that has none: by SHA-256 of the pictures'
        keys, so that all captions of a picture are on one side, whatever else is in the set. At least one
        picture is the test split's.
        """
        rows = np.arange(len(self._captions))
        if split and len(rows):
            marks = np.frombuffer(self._marks, np.uint64)
            held_out = marks <= max(np.uint64(2**64 // HELD_OUT), marks.min())
            rows = rows[held_out if split == "test" else ~held_out]
        left_out = dict(sorted(self._left_out.items()))
        return Listing(self._captions.pack(), self._places.pack(), torch.from_numpy(rows), left_out)


@dataclass(frozen=True, slots=True)
class View:
    """The preparation of pairs: `seed` of their order and of random crops; `size`, the (height, width)
    pictures are made, or None for captions alone; `fits` says which captions need no shortening; `still`: the
    middle of each picture instead of a random crop, mirrored or not, and the first of several captions.
    """

    seed: int = 0
    size: tuple[int, int] | None = None
    fits: Fits | None = None
    still: bool = False


class Pairs:
    """A Source of a listing's pairs, each once a pass in an order shuffled anew.

    The metadata holds a picture's `place`, and `skipped`: which pictures were broken at this position
    before it, and why. A position whose picture is broken shows the next whole pair of its pass. Raises
    DataError where there is none, or none in IN_A_ROW.
    """

    def __init__(self, name: str, root: Path, listing: Listing, view: View) -> None:
        self._name, self._root, self._listing, self._view = name, root, listing, view
        if not len(listing.rows):
            found = "".join(f"; {count} {why}" for why, count in listing.left_out.items())
            raise DataError(f"{root}: nothing is left of {name} to use{found or '; it holds no pairs'}")

    @cached_property
    def about(self) -> dict[str, Any]:
        """Identify this data, as JSON: how much was found, left out, and a digest of all of it."""
        digest = hashlib.sha256()
        for part in (self._listing.captions, self._listing.places):
            part.update(digest)
        digest.update(self._listing.rows.numpy().data)
        return {
            "name": self._name,
            "pairs": len(self._listing.rows),
            "left_out": dict(self._listing.left_out),
            "sha256": digest.hexdigest(),
        }

    @property
    def count(self) -> int:
        return len(self._listing.rows)

    def only(self, positions: torch.Tensor) -> "Pairs":
        """Return the pairs at some positions of the first pass as a source of their own: that pass as it is
        here, and later ones in orders shuffled anew, each pair with the caption that it has here.
        """
        numbers = torch.tensor([self._number(position) for position in positions.tolist()], dtype=torch.int64)
        listing = replace(self._listing, rows=self._listing.rows[numbers], drawn_at=positions.long())
        return Pairs(self._name, self._root, listing, self._view)

    def captions(self) -> "Pairs":
        return Pairs(self._name, self._root, self._listing, replace(self._view, size=None))

    def __getitem__(self, position: int) -> Sample:
        count, skipped = len(self._listing.rows), []
        first = position - position % count
        for tried in range(min(count, IN_A_ROW)):
            number = self._number(first + (position - first + tried) % count)
            place = self._listing.places[int(self._listing.rows[number])]
            try:
                picture = self._picture(place, self._drawn_at(number, position))
            except BrokenPicture as error:
                skipped.append((storage.shown(place), str(error)))
                continue
            return Sample(
                self._caption(number, position), picture, {"place": place, "skipped": tuple(skipped)}
            )
        last = ": ".join(skipped[-1])
        raise DataError(
            f"{self._root}: no picture of {len(skipped)} in a row can be used; the last was {last}"
        )

    def _number(self, position: int) -> int:
        """Return which of the rows is at a position."""
        count = len(self._listing.rows)
        if self._listing.drawn_at is not None and position < count:
            return position
        return shuffled(position, count, self._view.seed)

    def _drawn_at(self, number: int, position: int) -> str:
        """Name what chance decides at a position: of some rows in the first pass, what it decides for all."""
        listing = self._listing
        if listing.drawn_at is None:
            return str(position)
        turn, first = position // len(listing.rows), int(listing.drawn_at[number])
        return f"{first} {turn}" if turn else str(first)

    def _caption(self, number: int, position: int) -> str:
        listing = self._listing
        caption, *others = listing.captions[int(listing.rows[number])].split("\n")
        if others and not self._view.still:
            drawn_at = position if listing.drawn_at is None else int(listing.drawn_at[number])
            caption = Random(f"{self._view.seed} {drawn_at} caption").choice((caption, *others))
        return shortened(caption, self._view.fits) if self._view.fits else caption

    def _picture(self, place: str, drawn_at: str) -> npt.NDArray[np.uint8]:
        if self._view.size is None:
            return np.empty((0, 0, 3), np.uint8)
        image = decode(storage.read(self._root, place))
        rng = None if self._view.still else Random(f"{self._view.seed} {drawn_at}")
        return crop(image, self._view.size, rng)


def _mark(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode(errors="surrogatepass")).digest()[:8], "big")
