"""A build from plan to publication: parts to make, parts to keep, and experts to publish.

A part that fails is left out and named; a part that every expert needs stops the build. The previous bundle
stands until the new one is whole and has shown its images.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.record import PROMPT_ENCODER
from aptp.default import default_checkpoint
from aptp.space.profile_file import read
from export.build import (
    layout,
    manifest_body,
    manifest_file,
    part_store,
    parts,
    plan,
    report,
    workers,
)
from export.build.part_store import FinishedPart, PartRecord
from export.build.plan import BuildSpec, Part
from export.build.report import BuildResult, Failure
from export.build.workers import Outcome
from export.parity import image
from export.profile import width_advice
from export.profile.width_advice import WidthForecast
from runtime.cli.progress import PartsProgress
from runtime.errors import DiskFullError, PartError, Refused, ScheduleError, UsageError
from runtime.files import publish
from runtime.formats import DENSE
from runtime.machine import processor

NEEDED = ("tokenizer", "text_encoder", "vae_decoder", "router", PROMPT_ENCODER)


@dataclass(slots=True)
class Construction:
    """One build; `finished`, `failures` and `notes` fill as it goes, `published` tells of a new bundle.

    `forecasts`: what a profile says of each expert, where one was given.
    """

    checkpoint: Checkpoint
    spec: BuildSpec
    parts: list[Part]
    every_solver_asked: bool
    forecasts: Mapping[str, WidthForecast] = field(default_factory=dict)
    finished: dict[str, FinishedPart] = field(default_factory=dict)
    reused: set[str] = field(default_factory=set)
    failures: dict[str, Failure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    published: bool = False

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Construction":
        """Return the build that the command line asks for. Raises UsageError, Refused and aptp's errors."""
        path = options.checkpoint or default_checkpoint()
        checkpoint = Checkpoint.open(path)
        plan.check_pipeline(checkpoint)
        spec = BuildSpec(
            checkpoint=path,
            out=options.out,
            codes=plan.parse_codes(options.codes, len(checkpoint.architectures)),
            solvers=plan.parse_solvers(options.solvers),
            engines=plan.parse_engines(options.engine),
            precision=options.precision,
            cache=options.cache and Path(options.cache),
            cache_group_writable=options.cache_group_writable,
            jobs=options.jobs,
            threads=max(1, processor.threads() // options.jobs),
            memory=options.memory,
            calibration=plan.parse_calibration(options.calibration, options.precision, path),
        )
        # Refused here, before anything is built, where the profile is of another UNet.
        forecasts = width_advice.forecasts(read(options.cost), checkpoint, spec.codes) if options.cost else {}
        parts, every = plan.parts(checkpoint, spec), options.solvers is None
        return cls(checkpoint, spec, parts, every, forecasts, notes=_notes(checkpoint, spec))

    def plan(self) -> list[tuple[str, str, str]]:
        """Return, for every part, its name, `keep` or `build`, and why."""
        found = [
            (part.name, *part_store.find(self.spec.out, part)) for part in (*self.parts, *self._images())
        ]
        return [(name, "keep" if there else "build", why) for name, there, why in found]

    def run(self, console: Console) -> BuildResult:
        """Make what is missing, publish what is whole, and report. Raises what stops the build altogether."""
        start = time.monotonic()
        out = self.spec.out
        with layout.alone(out):
            publish.recover(out)
            publish.recover(layout.report_folder(out))
            try:
                self._build(console)
            finally:
                part_store.sweep(out)
            result = self._result(time.monotonic() - start)
            # A build killed before its report has published already, but left no records to know parts by.
            if self.published or self.forecasts or part_store.published_records(out) != result.records:
                report.write(result)
            part_store.clear(out)
        return result

    def _build(self, console: Console) -> None:
        self._take_again()
        missing = [part for part in self.parts if part.name not in self.finished]
        unseen = [part for part in self._images() if part.name not in self.finished]
        self._verify([*missing, *unseen])
        with PartsProgress(console, [*missing, *unseen]) as progress:
            self._make(missing, progress)
            self._stop_if_useless()
            self._publish([part for part in unseen if f"experts/{part.item}" in self.finished], progress)

    def _take_again(self) -> None:
        self.parts += self._earned_elsewhere()
        for part in (*self.parts, *self._images()):
            found, _ = part_store.find(self.spec.out, part)
            if found is not None:
                self.finished[part.name] = found
                self.reused.add(part.name)

    def _earned_elsewhere(self) -> list[Part]:
        """Return what the experts have earned on other classes of processor, and keep."""
        planned = {part.name: part for part in self.parts}
        kept = []
        for name, record in part_store.published_records(self.spec.out).items():
            expert = planned.get(f"experts/{name.rpartition('/')[2]}")
            if name.startswith("earned/") and name not in planned and expert is not None:
                part = plan.earned(expert, record.facts)
                kept += [part] if part.key == record.key else []
        return kept

    def _verify(self, missing: list[Part]) -> None:
        """Hash the files to be read before anything is built: a damaged checkpoint is refused as a whole."""
        for component in dict.fromkeys(component for part in missing for component in part.components):
            self.checkpoint.verify(component)

    def _make(self, missing: list[Part], progress: PartsProgress) -> None:
        """Make parts, first those that need no other; a part whose need failed is not made."""
        for needy in (False, True):
            tasks = [
                workers.WorkerTask(part.name, parts.stage, (part, self.spec, self._source(part)), part.memory)
                for part in missing
                if bool(part.needs) == needy and self.finished.keys() >= set(part.needs)
            ]
            for outcome in self._outcomes(tasks, progress):
                if outcome.result is None and outcome.name.startswith("earned/"):
                    # Computed wrongly even in float32 by an engine that would serve it.
                    self._drop(f"experts/{outcome.name.rpartition('/')[2]}")
                elif outcome.result is not None:
                    folder = layout.stage_folder(self.spec.out, outcome.result.key)
                    self.finished[outcome.name] = FinishedPart(outcome.result, folder)
            for part in self.parts:  # what was made beside the failure that took its need away
                if not self.finished.keys() >= set(part.needs):
                    self.finished.pop(part.name, None)

    def _source(self, part: Part) -> Path | None:
        return self.finished[part.needs[0]].folder if part.needs else None

    def _outcomes(
        self, tasks: list[workers.WorkerTask[PartRecord]], progress: PartsProgress
    ) -> Iterator[Outcome[PartRecord]]:
        """Run tasks and keep their errors. Raises the first that leaves no bundle to publish."""
        spec = self.spec
        running = workers.run(
            tasks, jobs=spec.jobs, threads=spec.threads, memory=spec.memory, progress=progress.stage
        )
        with closing(running):
            for outcome in running:
                failure = Failure(outcome.stage, outcome.error) if outcome.error else None
                progress.end(outcome.name, failure)
                if failure is not None:
                    self._keep(outcome.name, failure)
                yield outcome

    def _keep(self, name: str, failure: Failure) -> None:
        error = failure.error
        if isinstance(error, ScheduleError) and self.every_solver_asked:
            self.notes.append(f"left out: {error}")
            return
        self.failures[name] = failure
        if isinstance(error, ScheduleError | DiskFullError):
            raise error
        if name in NEEDED:
            raise self._fatal(name)

    def _stop_if_useless(self) -> None:
        """Raise PartError if no expert or no solver is left to publish."""
        for folder in ("schedules", "experts"):
            if not any(name.startswith(f"{folder}/") for name in self.finished):
                raise self._fatal(next((n for n in self.failures if n.startswith(folder)), folder))

    def _fatal(self, name: str) -> Exception:
        failure = self.failures.get(name)
        if failure and isinstance(failure.error, UsageError | Refused | DiskFullError):
            return failure.error
        return PartError(f"there is no bundle to publish: {name}: {failure or 'nothing was made'}")

    def _images(self) -> list[Part]:
        experts = [part for part in self.parts if part.kind == "expert"]
        others = [part for part in self.parts if part.kind != "expert" and not part.needs]
        return [plan.image_part(part, others) for part in experts]

    def _publish(self, unseen: list[Part], progress: PartsProgress) -> None:
        """Assemble the bundle, run the last rung on it, and publish the experts that passed."""
        if not unseen and self._is_published():
            return
        size = sum(one.record.size for one in self.finished.values())
        with publish.disk_space(self.spec.out, size), publish.publishing(self.spec.out) as folder:
            self._assemble(folder)
            if not self._show(unseen, folder, progress):
                self._stop_if_useless()
                publish.discard(folder)
                folder.mkdir()
                self._assemble(folder)
        self.published = True

    def _show(self, unseen: list[Part], folder: Path, progress: PartsProgress) -> bool:
        """Return whether every expert's image is right; those of which it is not are finished no more."""
        tasks = [
            workers.WorkerTask(part.name, image.stage, (part, self.spec, folder), part.memory)
            for part in unseen
        ]
        right = True
        for outcome in self._outcomes(tasks, progress):
            if outcome.result is None:
                self._drop(f"experts/{outcome.name.rpartition('/')[2]}")
                right = False
            else:
                self.finished[outcome.name] = FinishedPart(outcome.result, folder)
        return right

    def _drop(self, expert: str) -> None:
        """Take an expert out of what is published, and what was made from it."""
        for name in (expert, *(part.name for part in self.parts if expert in part.needs)):
            self.finished.pop(name, None)

    def _records(self) -> dict[str, PartRecord]:
        return {name: self.finished[name].record for name in sorted(self.finished)}

    def _document(self) -> dict[str, Any]:
        judged = manifest_body.judged(manifest_file.read_manifest(self.spec.out))
        return manifest_body.body(self.checkpoint, self._records(), judged)

    def _assemble(self, folder: Path) -> None:
        files = part_store.gather(folder, self.finished.values())
        manifest_file.write_manifest(folder, self._document(), files)

    def _is_published(self) -> bool:
        files = {name: entry for one in self.finished.values() for name, entry in one.record.files.items()}
        there = manifest_file.read_manifest(self.spec.out)
        return there == manifest_file.document(self._document(), files) and part_store.matches(
            self.spec.out, files
        )

    def _result(self, seconds: float) -> BuildResult:
        return BuildResult(
            spec=self.spec,
            records=self._records(),
            failures=dict(sorted(self.failures.items())),
            reused=frozenset(self.reused),
            notes=tuple(self.notes),
            dense_macs=int(self.checkpoint.cost().dense),
            seconds=seconds,
            published=self.published,
            forecasts=self.forecasts,
        )


def _notes(checkpoint: Checkpoint, spec: BuildSpec) -> list[str]:
    """List what the bundle will lack, though all of it that was asked for is built."""
    rule = checkpoint.record.out_of_distribution
    if rule is None or {rule.expert, DENSE} & set(spec.codes):
        return []
    return [
        f"prompts unlike those of the training go to expert {rule.expert}, which is not built: they will "
        f"be refused; add it, as in --codes {','.join([*spec.codes, rule.expert])}"
    ]
