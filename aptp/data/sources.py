"""Sources by the name a command line gives them: `scenes`, or `NAME:FOLDER`, or `NAME:FOLDER?CONDITION,…`."""

from collections.abc import Callable, Sequence
from pathlib import Path

from aptp.data import cc3m, coco, folder, pixelprose, webdataset
from aptp.data.captions import Fits
from aptp.data.conditions import settings
from aptp.data.pairs import Listing, Pairs, View
from aptp.data.reading import reading
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


def _cc3m(root: Path, split: str, conditions: str) -> Listing:
    _refuse("cc3m", conditions)
    return cc3m.listing(root, split)


def _pixelprose(root: Path, split: str, conditions: str) -> Listing:
    columns, others = _columns(conditions)
    return pixelprose.listing(root, split, others, columns or (pixelprose.CAPTION,))


def _captioned(name: str, listing: Callable[[Path, str, Sequence[str]], Listing]) -> Reader:
    def read(root: Path, split: str, conditions: str) -> Listing:
        columns, others = _columns(conditions)
        _refuse(name, others)
        return listing(root, split, columns)

    return read


def _columns(conditions: str) -> tuple[tuple[str, ...], str]:
    """Return the columns of `captions=A+B`, and the other clauses."""
    found, others = settings(conditions, ("captions",))
    columns = tuple(found["captions"].split("+")) if found else ()
    if not all(columns):
        raise UsageError(f"'captions={found['captions']}': give the names of columns, with + between them")
    return columns, others


def _refuse(name: str, conditions: str) -> None:
    if conditions:
        raise UsageError(f"{name} takes no conditions, and '?{conditions}' are some")


READERS: dict[str, Reader] = {
    "coco": _coco,
    "cc3m": _cc3m,
    "pixelprose": _pixelprose,
    "webdataset": _captioned("webdataset", webdataset.listing),
    "folder": _captioned("folder", folder.listing),
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
                f"scenes are pictures of {SIDE}x{SIDE} pixels, and {size[1]}x{size[0]} are asked for: give "
                f"--data folder:DIR or the like, or take {SIDE}x{SIDE}"
            )
        return Scenes(split, seed=seed)
    if not path:
        raise UsageError(f"'{data}': say where it lies: {name}:DIR")
    if not Path(path).is_dir():
        raise DataError(f"{name}: there is no folder {path}")
    view = View(seed, size, fits, still=split == "test")
    with reading(Path(path), f"folder of {name}"):
        listing = READERS[name](Path(path), split, conditions)
    return Pairs(f"{name}?{conditions}" if conditions else name, Path(path), listing, view)
