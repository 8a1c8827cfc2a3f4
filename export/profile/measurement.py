"""The making of one profile, from plan to file: what is missing is measured piece by piece.

The file is written anew after every piece, so that a run that is killed loses one, and the same command goes
on. Refuses to go on with a profile of another machine, engine, size or UNet.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from rich.console import Console

from aptp.space.cost import LinearCost, mac_cost
from aptp.space.macs import module_macs
from aptp.space.profile import Measured, Profile, Setting, Whole
from aptp.space.profile_file import read_unfinished, write
from export.build.plan import software
from export.profile import wholes
from export.profile.calls import Replay, TracedCall, record
from export.profile.engines import PieceEngine, Run
from export.profile.pieces import Piece, cut, inputs
from export.profile.subject import Subject
from export.profile.timing import Patience, Timed, in_turns, pace
from runtime.cli.progress import PartsProgress
from runtime.errors import UsageError
from runtime.machine.facts import command, machine

WHOLES = "whole UNets"
OPENING = 2.0  # seconds to export and open a piece, for the forecast alone

T = TypeVar("T")
Report = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class ProgressTask:
    """A line of the progress display. `effort`: a forecast, in seconds."""

    name: str
    effort: float


@dataclass(frozen=True)
class Measurement:
    """The measurement of `subject` under `engine`, with widths in `divisions`, into the file `out`."""

    subject: Subject
    engine: PieceEngine
    threads: int
    divisions: int
    patience: Patience
    out: Path

    def tasks(self, profile: Profile) -> list[ProgressTask]:
        """List what `profile` lacks, with what it may take if it runs at the machine's present pace."""
        rate = pace() / self.subject.rows  # calls' MACs are those of one row
        tasks = [
            ProgressTask(
                piece.name,
                sum(
                    OPENING + self.patience.forecast(piece.macs * kept / piece.gates / rate)
                    for kept in piece.counts(self.divisions)
                ),
            )
            for piece in self._missing(profile)
        ]
        if not profile.complete:
            each = OPENING * len(self._pieces) + self.patience.forecast(self._cost.dense / rate)
            tasks.append(ProgressTask(WHOLES, each * len(wholes.architectures(self._cost))))
        return tasks

    def found(self) -> Profile:
        """Read what `out` holds already, or return an empty profile. Raises UsageError where it holds another
        one, and TableError where it holds something else.
        """
        fresh = Profile(self._setting(), {"command": command(), **machine(), "software": software()})
        if not self.out.exists():
            return fresh
        there = read_unfinished(self.out)
        for name, now in _identity(fresh).items():
            if (was := _identity(there).get(name)) != now:
                raise UsageError(
                    f"--out {self.out}: holds another profile: {name} was {was}, is {now}; "
                    "remove it, or choose another --out"
                )
        planned = {(piece.modules, piece.counts(self.divisions)) for piece in self._pieces}
        for part in there.parts:
            if (part.modules, tuple(sorted(part.samples))) not in planned:
                raise UsageError(
                    f"--out {self.out}: holds another profile, of another UNet or of other --widths: see "
                    f"{part.modules[0]}; remove it, or choose another --out"
                )
        return there

    def run(self, console: Console, profile: Profile) -> Profile:
        """Complete `profile`; every measured piece is written to `out` at once."""
        with PartsProgress(console, self.tasks(profile)) as progress:
            for piece in self._missing(profile):
                part = self._measured(piece, partial(progress.stage, piece.name))
                profile = replace(profile, parts=(*profile.parts, part))
                write(self.out, profile)
                progress.end(piece.name, None)
            if not profile.complete:
                found = self._wholes(partial(progress.stage, WHOLES))
                profile = replace(profile, wholes=found, complete=True)
                write(self.out, profile)
                progress.end(WHOLES, None)
        return profile

    def _measured(self, piece: Piece, report: Report) -> Measured:
        rate = pace()
        forms = {kept: partial(piece.build, kept) for kept in piece.counts(self.divisions)}
        timed = self._timed(forms, report)
        return Measured(
            piece.modules, piece.kind, piece.gates, piece.chunk, timed.steady, rate, timed.samples
        )

    def _wholes(self, report: Report) -> tuple[Whole, ...]:
        cost, config = self._cost, self.subject.config
        chosen = wholes.architectures(cost)
        forms = {
            i: partial(wholes.build, config, architecture, self._calls[""])
            for i, architecture in enumerate(chosen)
        }
        timed = self._timed(forms, report)
        return tuple(
            Whole(
                cost.of(architecture) / cost.dense,
                **architecture.to_json(),
                steady=timed.steady,
                samples=timed.samples[i],
            )
            for i, architecture in enumerate(chosen)
        )

    def _timed(self, forms: Mapping[T, Callable[[], Replay]], report: Report) -> Timed[T]:
        """Time all of `forms` side by side."""
        with TemporaryDirectory() as folder:
            report(f"open {len(forms)} graphs", 0.0)
            runs = {
                name: self._opened(build, Path(folder, str(i)))
                for i, (name, build) in enumerate(forms.items())
            }
            report("time", 0.6)
            return in_turns(runs, self.patience)

    def _opened(self, build: Callable[[], Replay], place: Path) -> Run:
        """Return a call of what `build` builds, of which only the engine keeps anything."""
        place.mkdir()
        form = build()
        return self.engine.open(form, inputs(form), place)

    def _missing(self, profile: Profile) -> list[Piece]:
        done = {part.modules for part in profile.parts}
        return [piece for piece in self._pieces if piece.modules not in done]

    def _setting(self) -> Setting:
        subject, engine = self.subject, self.engine
        return Setting(
            engine.name, engine.precision, self.threads, subject.rows, subject.latent, subject.tokens
        )

    @cached_property
    def _calls(self) -> Mapping[str, TracedCall]:
        subject = self.subject
        return record(subject.unet(), subject.rows, *subject.latent, subject.tokens)

    @cached_property
    def _pieces(self) -> list[Piece]:
        """Return the pieces in the order of one call."""
        unet, subject = self.subject.unet(), self.subject
        return cut(unet, subject.space, self._calls, module_macs(unet, *subject.latent, subject.tokens))

    @cached_property
    def _cost(self) -> LinearCost:
        """Return the true MACs of one row."""
        subject = self.subject
        return mac_cost(subject.config, subject.space, *subject.latent, subject.tokens)


def _identity(profile: Profile) -> dict[str, Any]:
    """Return what the parts of one profile have in common."""
    environment = {name: value for name, value in profile.environment.items() if name != "command"}
    return {**asdict(profile.setting), **environment}
