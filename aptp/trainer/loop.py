"""The training loop under accelerate, resumable at any step.

Learner, source and recipe alone decide what is learned. How a session is run (for how long, with how many
loaders, saved how often, by how many processes) changes nothing of it, but for the rounding of sums that
processes take together.
"""

import atexit
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from aptp.data.batches import Batch, batches
from aptp.data.sample import SampleSource
from aptp.trainer import distributed, plots, run_folder, state, validation
from aptp.trainer.bad_samples import BadSamples
from aptp.trainer.ema import Average
from aptp.trainer.learner import Learner
from aptp.trainer.memory import check_memory
from aptp.trainer.metrics_log import MetricsLog
from aptp.trainer.optimizers import check_optimizer, moments, optimizer_of, restore
from aptp.trainer.precision import LossScaler, autocast, check_name, check_precision, warning
from aptp.trainer.recipe import Recipe
from aptp.trainer.rng import draws
from aptp.trainer.trackers import check_trackers
from aptp.trainer.validation import Validation
from runtime.errors import TrainingError, UsageError


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a session.

    `minutes`: stop after so long, to be resumed. `workers`: processes that load data ahead.

    `precision`: of autocast, `bf16`, `fp16` or `no`. `save_every`: seconds between resume states, of which
    the newest `keep_states` stay. `trackers`: also record for these. `plot`: draw the curves at the end of
    the session. `validate_every`, `draw_every`: steps between measurements of the held-out loss, and between
    drawings (0: never).

    Raises UsageError and EnvironmentMismatch for what cannot be had.
    """

    minutes: float = math.inf
    workers: int = 0
    precision: str = "bf16"
    save_every: float = 300.0
    keep_states: int = state.KEPT
    trackers: tuple[str, ...] = ()
    plot: bool = False
    validate_every: int = 0
    draw_every: int = 0

    def __post_init__(self) -> None:
        if self.keep_states < 1:
            raise UsageError(f"--keep-states {self.keep_states}: give an integer of at least 1")
        check_trackers(self.trackers)
        check_name(self.precision)
        for name in ("minutes", "save_every", "workers", "validate_every", "draw_every"):
            if not getattr(self, name) >= 0:  # not a number is refused, too: that time would never come
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option} is {getattr(self, name)}; it must be 0 or more")

    @property
    def looks(self) -> bool:
        """Whether held-out samples are needed."""
        return bool(self.validate_every or self.draw_every)


def check(learner: Learner, recipe: Recipe, options: RunOptions, device: torch.device) -> str:
    """Return a line on the memory that a training will hold. Raises UsageError and EnvironmentMismatch for
    what `Training` would refuse of these: a stage with hours of work before that asks early.
    """
    check_precision(options.precision, device)
    distributed.share(recipe.batch)
    check_optimizer(recipe)
    return check_memory(learner, recipe, device)


class Training:
    """A training run: `run` trains to the end of its recipe, or of the session."""

    def __init__(
        self,
        learner: Learner,
        source: SampleSource,
        recipe: Recipe,
        folder: Path,
        options: RunOptions | None = None,
        *,
        identity: Mapping[str, Any] | None = None,
        held_out: SampleSource | None = None,
        held: ExitStack | None = None,
    ) -> None:
        """`folder` keeps resume states and the record; what is there already is resumed. It is this
        training's alone until `run` ends. `held`: its lock (`run_folder.hold`), where it is taken already.

        `identity`: what else, beside the recipe, makes this run itself. `held_out`: samples to validate on,
        where the options ask for it; they change nothing of the run. Raises UsageError where the folder
        holds another run, LockedError where another training is at work in it, IntegrityError where its
        newest state is damaged, StorageError where it cannot be used.
        """
        self.recipe, self._options, self._folder, self._source = (
            recipe,
            options or RunOptions(),
            folder,
            source,
        )
        self._identity = {**recipe.identity(), **(identity or {})}
        # accelerate's own mixed precision is one setting for the whole process; this is one for the run.
        # And it takes processes for strangers to each other that have no accelerator, unless told.
        self._accelerator = Accelerator(mixed_precision="no", cpu=not torch.accelerator.is_available())
        atexit.register(self._accelerator.end_training)  # the last word between processes
        precision, device = self._options.precision, self._accelerator.device
        self._memory = check(learner, recipe, self._options, device)
        self._rows = distributed.share(recipe.batch)
        self._autocast, self._scaler = autocast(precision, device), LossScaler(precision, device)
        self._learner, self._parameters = learner, learner.trained()
        self._validation = Validation(held_out, recipe, self._rows) if held_out else None
        optimizer = optimizer_of(recipe, self._parameters.values())
        self._clipped = learner.clipped()
        learner.to(self._accelerator.device)
        self._model, self._optimizer = self._accelerator.prepare(learner, optimizer)
        self.average = Average(self._parameters, recipe.average) if recipe.average else None
        self._held = run_folder.hold(folder) if held is None else held
        try:
            self.done = self._restore()
        except BaseException:
            self._held.close()
            raise

    @property
    def finished(self) -> bool:
        return self.done >= self.recipe.steps

    def run(self, title: str, watch: Callable[[int], None] = lambda step: None) -> bool:
        """Train and save; return whether the recipe is finished. `watch` is called with the steps done, after
        each.

        Raises TrainingError as soon as the loss is not finite; the last state saved is then still good.
        """
        with self._held:
            return self.finished or self._train(title, watch)

    def _train(self, title: str, watch: Callable[[int], None]) -> bool:
        if distributed.count() > 1:
            title = f"{title}, {distributed.count()} processes"
        started = saved = time.monotonic()
        with (
            self._journal(title) as journal,
            _interruption() as interrupted,
        ):
            journal.say(self._memory)
            if slow := warning(self._options.precision, self._accelerator.device):
                journal.say(slow)
            loader = self._batches()
            skips = BadSamples(self._identity.get("data"), self._accelerator.device)
            while not self.finished:
                before = time.monotonic()
                batch = next(loader)
                waited = time.monotonic() - before
                figures = {**self._step(batch), **skips.figures(batch)}
                now = time.monotonic()
                measured = self._validated()
                journal.step(self.done, {**figures, **measured, "seconds": now - before, "waiting": waited})
                self.done += 1
                self._draw(journal)
                watch(self.done)
                over = self._agreed(interrupted() or now - started > 60 * self._options.minutes)
                if over or self.finished or now - saved > self._options.save_every:
                    self._save()
                    saved = time.monotonic()
                if over and not self.finished:
                    journal.say(
                        f"{title}: stopped after step {self.done}; the same command goes on from here"
                    )
                    break
            for line in skips.lines():
                journal.say(line)
        if self._options.plot and distributed.leads():
            plots.draw(self._folder)
        return self.finished

    def _journal(self, title: str) -> MetricsLog:
        return MetricsLog(
            self._folder,
            title,
            self.recipe.steps,
            self.done,
            trackers=self._options.trackers,
            silent=not distributed.leads(),
        )

    def _batches(self) -> Iterator[Batch]:
        share = (distributed.rank(), distributed.count())
        return batches(
            self._source, len(self._rows), start=self.done, workers=self._options.workers, share=share
        )

    def _agreed(self, over: bool) -> bool:
        return distributed.any_of(over, self._accelerator.device)

    def _step(self, batch: Batch) -> dict[str, float]:
        rate = self.recipe.rate_at(self.done)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._learner.loss_scale = self._scaler.scale
        drawn = draws(self.recipe.seed, self.done, self._rows, self.recipe.batch)
        with self._autocast:
            terms = self._model(batch, self.done, drawn)
        figures = distributed.mean(terms)
        if not math.isfinite(figures["loss"]):
            raise TrainingError(
                f"the loss is {figures['loss']} at step {self.done} ({figures}). The last resume state in "
                f"{self._folder} is from before; lower the learning rate ({self.recipe.rate:g}) or the "
                "precision's risk (--mixed-precision no), in a new --out"
            )
        self._accelerator.backward(self._scaler.scaled(terms["loss"]))
        self._scaler.unscale(self._optimizer)
        most = self.recipe.clip or math.inf
        norms = [float(self._accelerator.clip_grad_norm_(group, most)) for group in self._clipped]
        taken = self._scaler.step(self._optimizer)
        self._optimizer.zero_grad()
        if self.average:
            self.average.update(self.done)
        return {**figures, "gradient": math.hypot(*norms) if taken else 0.0, "rate": rate}

    def _validated(self) -> dict[str, float]:
        """Return the held-out loss after this step, if it is due: of the averaged weights, if there are."""
        if not (self._validation and self._due(self._options.validate_every, self.done + 1)):
            return {}
        with self._averaged(), self._autocast:
            return self._validation.figures(self._learner, self.done)

    def _draw(self, journal: MetricsLog) -> None:
        """Draw held-out captions, if that is due; the first process does, and the others wait for it."""
        if not (self._validation and self._due(self._options.draw_every, self.done) and distributed.leads()):
            return
        with self._averaged():
            drawn = self._validation.pictures(self._learner)
        if drawn:
            validation.keep(self._folder, self.done, *drawn)
            journal.show(self.done, drawn[1])

    def _due(self, every: int, done: int) -> bool:
        return bool(every) and (done % every == 0 or done == self.recipe.steps)

    def _averaged(self) -> AbstractContextManager[None]:
        return self.average.applied() if self.average else nullcontext()

    def _save(self) -> None:
        if not distributed.leads():
            return
        groups: dict[str, Mapping[str, torch.Tensor]] = {
            "parameters": self._parameters,
            "average": self.average.values if self.average else {},
            "optimizer": moments(self._optimizer),
            "scaler": self._scaler.state(),
        }
        state.save(self._folder, self.done, self._identity, groups, keep=self._options.keep_states)

    @torch.no_grad()
    def _restore(self) -> int:
        found = state.load(self._folder, self._identity)
        if found is None:
            return 0
        for group, wanted in (
            ("parameters", self._parameters),
            ("average", self.average.values if self.average else {}),
        ):
            found.check_fits(group, wanted)
            for name, value in wanted.items():
                value.copy_(found.groups[group][name])
        restore(self._optimizer, found.groups.get("optimizer", {}))
        self._scaler.restore(found.groups.get("scaler", {}))
        return found.step


@contextmanager
def _interruption() -> Iterator[Callable[[], bool]]:
    """Within, the first SIGINT or SIGTERM only raises a flag, so that a step is never cut in two."""
    seen: list[int] = []
    kept: dict[signal.Signals, Any] = {}

    def note(number: int, frame: object) -> None:
        seen.append(number)
        for signum, handler in kept.items():
            signal.signal(signum, handler)  # the second one means it

    for signum in (signal.SIGINT, signal.SIGTERM):
        kept[signum] = signal.signal(signum, note)
    try:
        yield lambda: bool(seen)
    finally:
        for signum, handler in kept.items():
            signal.signal(signum, handler)
