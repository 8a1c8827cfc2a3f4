"""The findings of a benchmark so far: raw samples and facts, without judgement.

Filled while it goes, so that an interrupt leaves what was measured.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from runtime.bench.arrivals import Arrivals
from runtime.bench.mixture import MixturePasses
from runtime.bench.opening import Opening
from runtime.bench.peak import Peak
from runtime.machine.process_memory import ProcessMemory
from runtime.timing.turns import Series


@dataclass(slots=True)
class Entry:
    """One contender of a comparison. `macs` are those of a call, None where nobody knows them.

    `error`: how far its output is from that of the first entry with the same weights, rms over rms.
    """

    name: str
    macs: int | None = None
    error: float | None = None
    series: Series = field(default_factory=Series)


@dataclass(slots=True)
class Comparison:
    """Contenders that took turns; ratios are quoted against the first. A call makes `rows` rows or images."""

    level: str
    rows: int
    entries: list[Entry] = field(default_factory=list)


@dataclass(slots=True)
class PeerLoad:
    """The cost for a peer to be ready, and what its process held in the end."""

    name: str
    seconds: float
    versions: dict[str, str]
    memory: ProcessMemory | None = None


@dataclass(frozen=True, slots=True)
class NotRun:
    """A measurement that was asked for and has no number, and why."""

    name: str
    level: str
    reason: str


@dataclass(slots=True)
class Results:
    """The results of a benchmark. `about`: the request; `moments`: the machine before and after.

    `end` says how the run ended, and `failed` that it went no further.
    """

    about: dict[str, Any]
    environment: dict[str, Any]
    moments: dict[str, Any] = field(default_factory=dict)
    peak: Peak = field(default_factory=Peak)
    openings: list[Opening] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    peers: list[PeerLoad] = field(default_factory=list)
    mixture: MixturePasses | None = None
    arrivals: list[Arrivals] = field(default_factory=list)
    not_run: list[NotRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    end: str = "complete"
    failed: bool = False

    def __bool__(self) -> bool:
        found = self.openings or self.comparisons or self.mixture or self.arrivals or self.not_run
        return bool(found)

    @property
    def exit_code(self) -> int:
        """1 where a contender of ours failed, else 0; a peer that cannot run here is no failure."""
        failed = self.failed or any(entry.series.failure for one in self.comparisons for entry in one.entries)
        return int(failed or any(one.level == "opening" for one in self.not_run))

    def plain(self) -> dict[str, Any]:
        """Return all of it as what JSON can hold."""
        return asdict(self)
