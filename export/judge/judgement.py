"""The judgement of a bundle's eight bits: scores held against bars, and the bundle published with it.

Refuses scores of another bundle, of other engines, of prompts that it was calibrated on, of too few images,
and those whose interval reaches below a bar.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any

from export.build import layout, manifest_file
from export.engines import int8
from export.judge.scores import Drawn, Scores
from export.parity import tolerances
from runtime.bundle.earned import INT8
from runtime.bundle.reader import Bundle
from runtime.bundle.schema import ImageComparison
from runtime.errors import Refused, UsageError
from runtime.files import publish

ENGINE = "openvino"
Entry = dict[str, Any]


def judge(bundle: Bundle, scores: Scores, bars: Mapping[str, float]) -> Entry:
    """Return the entry of `earned` that the scores earn. `bars`: the least difference by metric, besides
    those of `tolerances.BARS`. Raises UsageError, Refused.
    """
    _check_subject(bundle, scores)
    rung = [_passed(one, bars) for one in scores.comparisons]
    shown = [asdict(one) for one in rung]
    return {"engine": ENGINE, "precision": INT8, "processor": scores.processor, "rung": shown}


def _check_subject(bundle: Bundle, scores: Scores) -> None:
    """Refuse scores that are not about this bundle's eight bits beside its float32."""
    if scores.bundle != bundle.digest:
        raise Refused(
            f"these scores are of bundle {scores.bundle[:16]}, and {bundle.root} is {bundle.digest[:16]}; "
            "draw and score the images of this one"
        )
    if scores.candidate != Drawn(ENGINE, INT8) or scores.baseline.precision != "float32":
        found = f"{scores.candidate.engine} in {scores.candidate.precision}, less {scores.baseline.precision}"
        raise Refused(f"these scores are of {found}; what is judged is {ENGINE} in {INT8}, less float32")
    for name in scores.experts:
        expert = bundle.manifest.experts.get(name)
        if expert is None or expert.int8 is None:
            raise Refused(
                f"{bundle.root}: holds no expert {name!r} in eight bits; build it with --precision {INT8}"
            )
        graph = PurePosixPath(expert.int8.graph)
        calibrated = json.loads(bundle.read(str(graph.with_name(int8.RECORD))))["prompts"]
        if seen := set(calibrated) & set(scores.captions):
            raise Refused(
                f"expert {name!r} was calibrated on {len(seen)} of these captions, such as {min(seen)!r}; "
                "judge it by others"
            )


def _passed(found: ImageComparison, bars: Mapping[str, float]) -> ImageComparison:
    """Return what was found with its bar, which it is above."""
    known = tolerances.BARS.get(found.metric)
    bar = bars.get(found.metric, known.difference if known else None)
    if bar is None:
        raise UsageError(
            f"metric {found.metric!r} has no bar; say how much worse it may be, such as "
            f"--bar {found.metric}=-0.02"
        )
    least = known.images if known else tolerances.IMAGES
    if found.images < least:
        raise Refused(
            f"metric {found.metric!r}: {found.images} images tell too little; draw at least {least}"
        )
    if not found.low > bar:
        raise Refused(
            f"metric {found.metric!r}: {found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f}) over "
            f"{found.images} images reaches below {bar:+.4f}; the bundle stays as it is"
        )
    return replace(found, bar=bar)


def publish_judged(bundle: Bundle, entry: Entry, experts: tuple[str, ...], out: Path) -> None:
    """Publish the bundle at `out`, where these experts have earned `entry`; its report goes with it.

    Raises IntegrityError, OSError.
    """
    bundle.verify()
    document = manifest_file.read_manifest(bundle.root)
    assert document is not None, "it was opened"
    files = document["files"]
    for name in experts:
        _earn(document["experts"][name], entry)
    body = {name: value for name, value in document.items() if name not in manifest_file.FRAME}
    size = sum(one["size"] for one in files.values())
    with layout.alone(out), publish.disk_space(out, size):
        with publish.publishing(out) as folder:
            for path in files:
                publish.place(bundle.root / path, folder / path)
            manifest_file.write_manifest(folder, body, files)
        _copy_report(bundle.root, out)


def _earn(expert: dict[str, Any], entry: Entry) -> None:
    """Add the entry, in place of one of the same engine, precision and processor."""
    about = ("engine", "precision", "processor")
    others = [one for one in expert.get("earned", ()) if any(one[key] != entry[key] for key in about)]
    expert["earned"] = [*others, entry]


def _copy_report(bundle: Path, out: Path) -> None:
    """Copy the records by which a later build knows the parts."""
    source, target = layout.report_folder(bundle), layout.report_folder(out)
    if source == target or not source.is_dir():
        return
    with publish.publishing(target) as folder:
        for path in source.iterdir():
            publish.place(path, folder / path.name)
