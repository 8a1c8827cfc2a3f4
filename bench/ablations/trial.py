"""One variant with one seed: trained, drawn as sliced, tuned, drawn again. Finished steps are kept."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aptp.checkpoint.reader import Checkpoint
from aptp.evaluate.evaluation import Evaluation
from aptp.evaluate.judge.reader import WEIGHTS, Judge
from aptp.evaluate.mixture import RoutedMixture
from aptp.evaluate.models_under_test import MIXED, Subjects
from aptp.evaluate.report import EvaluationResult
from aptp.evaluate.sampling import SamplingOptions
from aptp.evaluate.verdicts import held_out, unseen
from aptp.finetune import stage as tuning
from aptp.finetune.run import ExpertTask
from aptp.space.measured_cost import table_cost
from aptp.space.profile_file import read
from aptp.train import stage as coding
from aptp.train.run import RouterTask
from aptp.trainer.loop import RunOptions
from bench.ablations.variants import Variant
from runtime.errors import BudgetError
from runtime.files.publish import write_file
from runtime.formats import DENSE

ROUTED = 2000  # held-out captions, tiers as in training
GUIDANCE = 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The common plan of all trials.

    `dense`: the pipeline all variants start from. `per_tier`: captions drawn of each tier.
    """

    dense: Path
    profile: Path
    folder: Path
    steps: int
    tune: int
    batch: int
    tune_batch: int
    per_tier: int


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of `variant` under `seed`, kept in a folder of its own below the plan's."""

    plan: Plan
    variant: Variant
    seed: int

    @property
    def folder(self) -> Path:
        return self.plan.folder / f"{re.sub('[^a-z0-9]+', '-', self.variant.name)}-{self.seed}"

    def result(self) -> dict[str, Any] | None:
        """Return what `run` found, if it has come to its end."""
        path = self.folder / "result.json"
        found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
        return found

    def run(self, options: RunOptions) -> bool:
        """Run the trial; return False where the session ended first: the same call goes on. That there are no
        codes is a result.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        coded, tuned = self.folder / "coded", self.folder / "tuned"
        try:
            if not (coded / "aptp.json").exists() and not self._code(coded, options):
                return False
        except BudgetError as error:
            self._keep({"variant": self.variant.name, "seed": self.seed, "failure": str(error)})
            return True
        if not (tuned / "aptp.json").exists() and not self._tune(Checkpoint.open(coded), tuned, options):
            return False
        before, mixture = _drawn(Checkpoint.open(coded), self.plan.per_tier, MIXED)
        after, _ = _drawn(Checkpoint.open(tuned), self.plan.per_tier, MIXED)
        assert mixture is not None
        told = Checkpoint.open(coded).record.provenance
        found = {
            "variant": self.variant.name,
            "seed": self.seed,
            "method": told["method"],
            "commit": told["commit"],
            "agreement": told["held_out"]["agreement"],
            **self._economy(Checkpoint.open(coded), mixture),
            "sliced": scores(before),
            "tuned": scores(after),
        }
        self._keep(found)
        for kept in (coded, tuned):
            shutil.rmtree(kept)  # 60 MB each
        return True

    def _keep(self, found: dict[str, Any]) -> None:
        write_file(self.folder / "result.json", json.dumps(found))

    def _code(self, out: Path, options: RunOptions) -> bool:
        plan, variant = self.plan, self.variant
        task = RouterTask(
            plan.dense,
            "scenes",
            variant.method(plan.steps),
            variant.recipe(plan.steps, plan.batch, self.seed),
            guidance=GUIDANCE,
            cost=variant.profile(plan.profile),
        )
        return coding.train(task, out, self.folder / "coded.run", options) is not None

    def _tune(self, checkpoint: Checkpoint, out: Path, options: RunOptions) -> bool:
        steps, codes = self.plan.tune, range(len(checkpoint.record.codes))
        recipe = replace(
            tuning.RECIPE,
            steps=steps,
            batch=max(1, self.plan.tune_batch // len(codes)),
            warmup=min(50, steps),
            decay=steps // 2,
            average=0.0,
            seed=self.seed,
        )
        task = ExpertTask(checkpoint, codes, "scenes", recipe, self.variant.tuning)
        return tuning.finetune(task, out, self.folder / "tuned.run", options)

    def _economy(self, checkpoint: Checkpoint, mixture: RoutedMixture) -> dict[str, Any]:
        profile = read(self.plan.profile)
        macs = checkpoint.cost()
        seconds = table_cost(profile, macs.space, *profile.setting.latent, profile.setting.tokens)
        return {
            "budgets": mixture.budgets,
            "seconds": [seconds.of(code) / seconds.dense for code in checkpoint.architectures],
            "counts": mixture.counts,
            "by_tier": mixture.by_tier,
            "information": mixture.information,
        }


def dense(plan: Plan) -> dict[str, Any]:
    """Judge the pictures that the unpruned UNet draws of the same captions."""
    return scores(_drawn(Checkpoint.open(plan.dense), plan.per_tier, DENSE)[0])


def scores(result: EvaluationResult) -> dict[str, Any]:
    return {
        "distance": result.distance,
        "pictures": [dict(verdict.score.items()) for verdict in result.verdicts],
    }


def _drawn(checkpoint: Checkpoint, per_tier: int, name: str) -> tuple[EvaluationResult, RoutedMixture | None]:
    subjects = Subjects(checkpoint, SamplingOptions(guidance=GUIDANCE))
    samples: Sequence[Any] = held_out(per_tier)
    report = Evaluation(subjects, Judge.load(WEIGHTS), [name], samples, unseen(ROUTED)).run({})
    found: Mapping[str, EvaluationResult] = report.results
    return found[name], report.mixture
