"""The reduced precisions in which engines have earned to compute an expert (docs/BUNDLE.md).

Two kinds of evidence earn one. Closeness does, where an engine claims the same function: a build shows it.
Images do, where it claims the same pictures: then the entry has a `rung`, a comparison by each metric.
"""

from runtime.bundle.compiled import REDUCED
from runtime.bundle.schema import Earned, ImageComparison
from runtime.errors import ManifestError
from runtime.files.strict_json import Fields

INT8 = "int8"  # the precision that only images earn


def parse(fields: Fields) -> Earned:
    """Parse one entry. Raises `ManifestError`."""
    precision = fields.text("precision", choices=(*REDUCED, INT8))
    earned = Earned(
        engine=fields.text("engine"),
        precision=precision,
        processor=fields.text("processor"),
        rung=fields.objects("rung", parse_comparison) if precision == INT8 else (),
    )
    if not (earned.processor.isascii() and earned.processor.isprintable()):
        raise fields.error("processor", "must be printable ASCII")
    fields.close()
    return earned


def parse_comparison(fields: Fields) -> ImageComparison:
    """Parse what images showed by one metric. Raises the error of `fields`."""
    found = ImageComparison(
        metric=fields.text("metric"),
        images=fields.integer("images", 1),
        **{name: fields.number(name) for name in ("difference", "low", "high", "bar")},
    )
    if not found.low <= found.difference <= found.high:
        raise fields.error("difference", "must lie within low and high")
    if not found.low > found.bar:
        raise fields.error("low", "must be above bar")
    fields.close()
    return found


def check(earned: tuple[Earned, ...], int8: bool, where: str) -> None:
    """Refuse twins, and eight bits of an expert that has no `int8` or of another engine.

    Raises `ManifestError`.
    """
    if len(set(earned)) < len(earned):
        raise ManifestError(f"{where}.earned: names one engine, precision and processor twice")
    for entry in earned:
        if entry.precision == INT8 and not (int8 and entry.engine == "openvino"):
            raise ManifestError(f"{where}.earned: {INT8} is for engine 'openvino' and an expert with {INT8}")
