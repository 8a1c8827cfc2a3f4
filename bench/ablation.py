"""Stage 1 as published against ours: what the codes cost, how they are used, and what their experts draw.

    python -m bench.ablation runs/paper runs/routed [--tune 300]

Takes checkpoints that `aptp.train` made from one dense pipeline with the same steps, batch and seed (`make
ablation` makes them) and treats them alike: held-out captions are routed, experts draw as they were sliced,
are fine-tuned for a few steps, and draw again.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from aptp.checkpoint.reader import DENSE, Checkpoint
from aptp.evaluate.evaluation import Evaluation
from aptp.evaluate.examination import EVERY_TIER, held_out, rates, unseen
from aptp.evaluate.judge.reader import WEIGHTS, Judge
from aptp.evaluate.report import Report
from aptp.evaluate.sampling import Settings
from aptp.evaluate.subjects import MIXED, Subjects
from aptp.finetune import stage
from aptp.finetune.weights import Weights
from aptp.training.loop import Leg
from bench.report import save

MEASURES = ("all", "shape", "colour", "count", "both", "letters")


def tuned(checkpoint: Checkpoint, steps: int, folder: Path) -> Checkpoint:
    recipe = replace(stage.RECIPE, steps=steps, warmup=min(50, steps), decay=steps // 2, average=0.0)
    codes = range(len(checkpoint.record.codes))
    options: dict[str, Any] = {"data": "scenes", "recipe": recipe, "weights": Weights(), "leg": Leg()}
    stage.finetune(checkpoint, folder / "tuned", codes, folder=folder / "run", **options)
    return Checkpoint.open(folder / "tuned")


def evaluated(checkpoint: Checkpoint, per_tier: int, names: list[str]) -> Report:
    subjects = Subjects(checkpoint, Settings(guidance=checkpoint.record.guidance))
    return Evaluation(subjects, Judge.load(WEIGHTS), names, held_out(per_tier), unseen(2000)).run({})


def quality(report: Report, name: str) -> dict[str, str]:
    result = report.results[name]
    found = rates(result.verdicts)[EVERY_TIER]
    shares = {measure: f"{found[measure].share:.3f}" for measure in MEASURES}
    return {**shares, "FD-scenes": f"{result.distance:.2f}"}


def economy(report: Report) -> dict[str, str]:
    mixture = report.mixture
    assert mixture is not None
    assert mixture.target is not None, "codes that no training made"
    counts = mixture.counts
    mean, (least, most) = mixture.budget(counts)[0], (min(counts), max(counts))
    return {
        "codes cost": ", ".join(f"{budget:.3f}" for budget in sorted(mixture.budgets)),
        "mean budget": f"{mean:.4f}",
        "off target": f"{mean / mixture.target - 1:+.1%}",
        "use": f"{least / sum(counts):.1%} to {most / sum(counts):.1%}",
        "bits of tier": f"{mixture.information:.3f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--tune", type=int, default=300, metavar="STEPS")
    parser.add_argument("--per-tier", type=int, default=100)
    arguments = parser.parse_args()
    codes, pictures, samples, steps = [], [], {}, set()
    for path in arguments.checkpoints:
        checkpoint = Checkpoint.open(path)
        told, name = checkpoint.record.provenance, path.name
        steps.add(told["recipe"]["steps"])
        before = evaluated(checkpoint, arguments.per_tier, [MIXED] if pictures else [DENSE, MIXED])
        with tempfile.TemporaryDirectory() as scratch:
            after = evaluated(tuned(checkpoint, arguments.tune, Path(scratch)), arguments.per_tier, [MIXED])
        if not pictures:
            pictures.append({"experts": "dense", **quality(before, DENSE)})
        pictures.append({"experts": f"{name}, sliced", **quality(before, MIXED)})
        pictures.append({"experts": f"{name}, {arguments.tune} steps of stage 2", **quality(after, MIXED)})
        agreement = f"{told['held_out']['agreement']:.1%}"
        codes.append({"codes": name, **economy(before), "routed as learned": agreement})
        samples[name] = {"told": told, "sliced": before.summary(), "tuned": after.summary()}
    title = f"Stage 1 as published and ours, {' and '.join(map(str, sorted(steps)))} steps"
    save("ablation", title, {"Codes": codes, "Pictures": pictures}, samples)


if __name__ == "__main__":
    sys.exit(main())
