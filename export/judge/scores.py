"""The scores that a judgement rests on: what images in eight bits show beside float32's (docs/INT8.md).

Whoever compares the images writes the file, so nothing here draws or scores. It is read as a bundle's
manifest is: any bytes give `Scores`, or a `DataError` that names the field.
"""

from dataclasses import dataclass
from pathlib import Path

from runtime.bundle.schema import ImageComparison
from runtime.errors import DataError, UsageError
from runtime.files.source import read_source
from runtime.files.strict_json import Fields, as_text, decode

FORMAT, VERSION = "aptp-scores", "1.0"
MOST_BYTES = 64 << 20
_NO_BAR = float("-inf")


@dataclass(frozen=True, slots=True)
class Drawn:
    """The engine that drew a set of images, and what it computed in."""

    engine: str
    precision: str


@dataclass(frozen=True, slots=True)
class Scores:
    """Paired differences of `candidate` less `baseline`, drawn from one bundle on a class of `processor`.

    `bundle` is the digest of its manifest; `experts` those that drew; `captions` what both drew.
    """

    bundle: str
    processor: str
    candidate: Drawn
    baseline: Drawn
    experts: tuple[str, ...]
    captions: tuple[str, ...]
    comparisons: tuple[ImageComparison, ...]


def read(path: Path) -> Scores:
    """Read a file of scores. Raises UsageError where it cannot be read, DataError for what is in it."""
    try:
        data = read_source(path, MOST_BYTES)
    except OSError as error:
        raise UsageError(f"--scores {path}: cannot be read: {error.strerror or error}") from error
    return parse(data, str(path))


def parse(data: bytes, name: str) -> Scores:
    """Parse scores. Raises DataError."""
    top = Fields(decode(data, name, DataError, most=MOST_BYTES), name, DataError)
    top.text("format", choices=(FORMAT,))
    top.text("version", choices=(VERSION,))
    scores = Scores(
        bundle=top.digest("bundle"),
        processor=top.text("processor"),
        candidate=_drawn(top.fields("candidate")),
        baseline=_drawn(top.fields("baseline")),
        experts=top.items("experts", lambda item, where: as_text(item, where, DataError)),
        captions=top.items("captions", lambda item, where: as_text(item, where, DataError)),
        comparisons=top.objects("differences", _comparison),
    )
    top.close()
    if not (scores.processor.isascii() and scores.processor.isprintable()):
        raise top.error("processor", "must be printable ASCII")
    for one in scores.comparisons:
        if one.images > len(scores.captions):
            raise top.error("differences", f"{one.metric!r} has more images than there are captions")
    return scores


def _drawn(fields: Fields) -> Drawn:
    drawn = Drawn(fields.text("engine"), fields.text("precision"))
    fields.close()
    return drawn


def _comparison(fields: Fields) -> ImageComparison:
    numbers = {name: fields.number(name) for name in ("difference", "low", "high")}
    found = ImageComparison(fields.text("metric"), fields.integer("images", 1), **numbers, bar=_NO_BAR)
    if not found.low <= found.difference <= found.high:
        raise fields.error("difference", "must lie within low and high")
    fields.close()
    return found
