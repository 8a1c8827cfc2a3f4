"""The cost of eight bits in images: scenes drawn in int8 less the same in float32, for `export.judge`.

    python -m bench.int8 --bundle bundle --scores int8.scores.json [--per-tier 600]

OpenVINO draws both, to held-out captions and from the same start noise, each by the expert that its prompt
goes to. Pictures are kept beside the scores, 100 to a file, so the same command goes on where it was stopped.
The judge of scenes reads them. 600 captions of each of the four tiers are what `export.judge` asks for.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from aptp.data.sample import Sample
from aptp.evaluate.judge.reader import WEIGHTS, Judge
from aptp.evaluate.verdicts import Verdict, examine, held_out
from aptp.score.intervals import bootstrap
from bench.report import save
from export.judge.scores import FORMAT, VERSION
from runtime import Pipeline
from runtime.bundle.earned import INT8
from runtime.bundle.reader import Bundle
from runtime.cli.parser import Parser, run
from runtime.cli.progress import Counting
from runtime.errors import UsageError
from runtime.files.publish import replacing, write_file
from runtime.machine import processor
from runtime.request.params import GenerationParams

ENGINE, AT_ONCE = "openvino", 100


def main() -> None:
    parser = Parser(prog="python -m bench.int8", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("bundle"))
    parser.add_argument("--scores", type=Path, required=True, metavar="FILE", help="where they go")
    parser.add_argument(
        "--per-tier", type=int, default=600, metavar="N", help="captions of each of four tiers"
    )
    arguments = parser.parse_args()
    if arguments.per_tier < 2:
        raise UsageError(f"--per-tier {arguments.per_tier}: give at least 2")
    bundle, samples = Bundle.open(arguments.bundle), unlike_calibration(arguments.bundle, arguments.per_tier)
    folder = arguments.scores.with_name(f"{arguments.scores.name}.{bundle.digest[:16]}")
    judge, verdicts, experts = Judge.load(WEIGHTS), {}, set[str]()
    for precision in (INT8, "float32"):
        pictures, experts = drawn(arguments.bundle, precision, samples, folder)
        verdicts[precision] = examine(judge, samples, pictures)
    found = differences(verdicts[INT8], verdicts["float32"])
    scores = {
        "format": FORMAT,
        "version": VERSION,
        "bundle": bundle.digest,
        "processor": processor.vectors(),
        "candidate": {"engine": ENGINE, "precision": INT8},
        "baseline": {"engine": ENGINE, "precision": "float32"},
        "experts": sorted(experts),
        "captions": sorted({sample.caption for sample in samples}),
        "differences": found,
    }
    write_file(arguments.scores, json.dumps(scores, indent=1, ensure_ascii=False) + "\n")
    save("int8", "Scenes in eight bits", {"Shares of scenes shown": rows(verdicts, found)}, scores)


def unlike_calibration(bundle: Path, per_tier: int) -> list[Sample]:
    """Return held-out scenes, but for those whose captions an expert was calibrated on."""
    files = sorted(bundle.glob("experts/*/unet/int8.json"))
    seen = {prompt for file in files for prompt in json.loads(file.read_text(encoding="utf-8"))["prompts"]}
    return [sample for sample in held_out(per_tier) if sample.caption not in seen]


def drawn(bundle: Path, precision: str, samples: Sequence[Sample], folder: Path) -> tuple[Any, set[str]]:
    """Return pictures [N, H, W, 3] in order, and the experts that drew. What is kept is not drawn again."""
    folder.mkdir(parents=True, exist_ok=True)
    chunks, experts = [], set[str]()
    with (
        Pipeline.open(bundle, engine=ENGINE, precision=precision) as pipeline,
        Counting(Console(stderr=True)) as progress,
    ):
        for start in range(0, len(samples), AT_ONCE):
            captions = [sample.caption for sample in samples[start : start + AT_ONCE]]
            kept = folder / f"{precision}-{len(samples)}-{start:05d}.npz"
            if not kept.exists():
                images = pipeline.generate(captions, GenerationParams(seed=start))
                with replacing(kept) as file:
                    names = np.array([image.choice.expert for image in images])
                    np.savez(file, pictures=np.stack([image.pixels for image in images]), experts=names)
            with np.load(kept) as found:
                chunks.append(found["pictures"])
                experts |= {str(name) for name in found["experts"]}
            progress.tell(precision, start + len(captions), len(samples))
    return np.concatenate(chunks), experts


def differences(found: Sequence[Verdict], others: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return paired differences in the share of scenes that are shown: of all, and of those of words."""
    pairs = [
        (one.scene.tier, one.score["all"] - other.score["all"])
        for one, other in zip(found, others, strict=True)
    ]
    told = []
    for metric, values in (
        ("all", [value for _, value in pairs]),
        ("words", [value for tier, value in pairs if tier == "word"]),
    ):
        low, high = bootstrap(values)
        mean = sum(values) / len(values)
        told.append({"metric": metric, "images": len(values), "difference": mean, "low": low, "high": high})
    return told


def rows(verdicts: dict[str, list[Verdict]], found: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    table = []
    for one in found:
        shares = {
            name: np.mean(
                [each.score["all"] for each in some if one["metric"] == "all" or each.scene.tier == "word"]
            )
            for name, some in verdicts.items()
        }
        table.append(
            {
                "scenes": one["metric"],
                "images": str(one["images"]),
                **{name: f"{share:.4f}" for name, share in shares.items()},
                "difference": f"{one['difference']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f})",
            }
        )
    return table


if __name__ == "__main__":
    run(main)
