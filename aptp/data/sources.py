"""Sources by the name a command line gives them: `scenes`, or `NAME:FOLDER`, or `NAME:FOLDER?CONDITION,…`."""

from collections.abc import Callable
from pathlib import Path

from aptp.data import cc3m, coco, folder, pixelprose
from aptp.data.captions import Fits
from aptp.data.pairs import Listing, Pairs, View
from aptp.data.sample import NamedSource
from aptp.data.scenes.source import Scenes
from aptp.data.scenes.vocabulary import SIDE
from runtime.errors import DataError, UsageError, nearest

Reader = Callable[[Path, str, str], Listing]  # of a folder, a split and conditions


def _coco(root: Path, split: str, conditions: str) -> Listing:
    years = {f"year={year}": year for year in coco.YEARS}
    if conditions and conditions not in years:
        raise UsageError(f"coco:…?{conditions}: say {' or '.join(f'?{each}' for each in years)}")
    return coco.listing(root, split, years.get(conditions))


def _without_conditions(name: str, listing: Callable[[Path, str], Listing]) -> Reader:
    def read(root: Path, split: str, conditions: str) -> Listing:
        if conditions:
            raise UsageError(f"{name} takes no conditions, and '?{conditions}' are some")
        return listing(root, split)

    return read


READERS: dict[str, Reader] = {
    "coco": _coco,
    "cc3m": _without_conditions("cc3m", cc3m.listing),
    "pixelprose": pixelprose.listing,
    "folder": _without_conditions("folder", folder.listing),
}
NAMES = ("scenes", *READERS)


def open_source(
    data: str,
    *,
    seed: int = 0,
    split: str = "train",
    size: tuple[int, int] | None = None,
    fits: Fits | None = None,
) -> NamedSource:
    """Open the train or test split of a source.

    `size`: the (height, width) in pixels that pictures are cropped to; without it captions alone are read,
    and pictures are empty. `fits`: captions it does not hold for are cut at a sentence's end. Raises
    UsageError for a name that is none, and for scenes of another size than theirs; DataError for a folder
    that is not laid out as it should be.
    """
    name, _, rest = data.partition(":")
    path, _, conditions = rest.partition("?")
    if name not in NAMES:
        raise UsageError(f"there is no data named '{name}'{nearest(name, NAMES)}; use {', '.join(NAMES)}")
    if name == "scenes":
        if rest:
            raise UsageError(f"'{data}': scenes are rendered, from no folder")
        if size not in (None, (SIDE, SIDE)):
            raise UsageError(
                f"scenes are pictures of {SIDE}x{SIDE} pixels, and this trains at {size[1]}x{size[0]}: give "
                f"--data folder:DIR or the like, or --train-size {SIDE}x{SIDE}"
            )
        return Scenes(split, seed=seed)
    if not path:
        raise UsageError(f"'{data}': say where it lies: {name}:DIR")
    if not Path(path).is_dir():
        raise DataError(f"{name}: there is no folder {path}")
    view = View(seed, size, fits, still=split == "test")
    listing = READERS[name](Path(path), split, conditions)
    return Pairs(f"{name}?{conditions}" if conditions else name, Path(path), listing, view)
