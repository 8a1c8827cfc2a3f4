"""Ablations of the method on scenes, at equal steps, seeds and budget.

    python -m bench.ablations --folder runs/ablations [--minutes 140]

Every variant starts from the default's dense pipeline. The same command goes on where the last one stopped;
the table is written after every trial, from those that are finished, to bench/results/ablations.*.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from runtime.cli.terminal import quieten

quieten()  # before the libraries it is about

from aptp.default import default_checkpoint  # noqa: E402
from aptp.trainer.loop import RunOptions  # noqa: E402
from bench.ablations import table  # noqa: E402
from bench.ablations.trial import Plan, Trial, dense  # noqa: E402
from bench.ablations.variants import VARIANTS, Variant  # noqa: E402
from bench.report import RESULTS, write  # noqa: E402
from runtime.cli.parser import Parser, run  # noqa: E402
from runtime.errors import UsageError, nearest  # noqa: E402
from runtime.files.publish import write_file  # noqa: E402

TARGET = 0.6


def _arguments() -> argparse.Namespace:
    parser = Parser(prog="python -m bench.ablations", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--profile", type=Path, default=RESULTS / "profile_tiny.json")
    parser.add_argument("--train-steps", dest="steps", type=int, default=300, help="of stage 1")
    parser.add_argument("--tune", type=int, default=120, help="steps of stage 2")
    parser.add_argument("--train-batch", dest="batch", type=int, default=64, help="of stage 1")
    parser.add_argument("--tune-batch", type=int, default=128, help="of stage 2, for all experts")
    parser.add_argument("--per-tier", type=int, default=50, help="captions drawn of each tier")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--variants", help="some of them, separated by commas (all)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop then, to go on later")
    arguments: argparse.Namespace = parser.parse_args()
    return arguments


def main() -> int:
    arguments = _arguments()
    plan = Plan(
        default_checkpoint(),
        arguments.profile,
        arguments.folder,
        arguments.steps,
        arguments.tune,
        arguments.batch,
        arguments.tune_batch,
        arguments.per_tier,
    )
    ends = time.monotonic() + 60 * arguments.minutes
    unpruned = _dense(plan)
    variants = _chosen(arguments.variants)
    for seed in range(arguments.seeds):
        for variant in variants:
            trial = Trial(plan, variant, seed)
            if trial.result() is not None:
                continue
            left = (ends - time.monotonic()) / 60
            if left > 0:
                print(f"{variant.name}, seed {seed}", file=sys.stderr)
            if left <= 0 or not trial.run(RunOptions(minutes=left)):
                return 1
            _save(plan, unpruned, arguments.seeds)
    _save(plan, unpruned, arguments.seeds)
    return 0


def _chosen(names: str | None) -> list[Variant]:
    known = {variant.name: variant for variant in VARIANTS}
    asked = list(known) if names is None else [name.strip() for name in names.split(",")]
    for name in asked:
        if name not in known:
            raise UsageError(
                f"--variants: no variant {name!r}{nearest(name, known)}; there are {', '.join(known)}"
            )
    return [known[name] for name in asked]


def _dense(plan: Plan) -> dict[str, Any]:
    path = plan.folder / "dense.json"
    if not path.exists():
        plan.folder.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(dense(plan)))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _save(plan: Plan, unpruned: dict[str, Any], seeds: int) -> None:
    found = {
        variant.name: [result for seed in range(seeds) if (result := Trial(plan, variant, seed).result())]
        for variant in VARIANTS
    }
    results = {name: trials for name, trials in found.items() if trials}
    title = (
        f"Ablations: {plan.steps} steps of {plan.batch} for the codes, "
        f"{plan.tune} of {plan.tune_batch} in stage 2, {4 * plan.per_tier} held-out captions drawn"
    )
    tables = {"Codes": table.codes(results, TARGET), "Pictures": table.pictures(results, unpruned)}
    write("ablations", title, tables, {"dense": unpruned, "trials": results})


if __name__ == "__main__":
    run(main)
