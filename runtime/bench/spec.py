"""The specification of a benchmark: what it measures, checked against the bundle, and how it opens that.

The one place that knows how the runtime names its engines.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runtime.api.pipeline import Pipeline
from runtime.bundle.schema import Manifest
from runtime.cli.values import check_limit
from runtime.engines import choice, precision
from runtime.errors import UsageError, nearest
from runtime.formats import DENSE
from runtime.request.params import ResolvedParams
from runtime.timing.turns import Effort

ENGINES = choice.ENGINES
LEVELS = ("opening", "step", "loop", "image", "parts")


@dataclass(frozen=True, slots=True)
class Contender:
    """An expert of the bundle under an engine; with `steps`, images made in fewer steps than the others'."""

    name: str
    expert: str
    engine: str
    steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSpec:
    """One benchmark. The first contender is the one that ratios are quoted against.

    Engines that are `absent` are listed as not run, each with its reason. `rows` are the batch rows of the
    UNet calls timed alone: a guided image takes two. `running` requests are always under way in the mixture,
    which is measured in `passes` where there are `prompts`; they also arrive at `rates`, images a second, for
    `rate_seconds` each. `peers` need a `checkpoint`. After `minutes` no
    other round begins.
    """

    bundle: Path
    engines: tuple[str, ...]
    absent: Mapping[str, str] = field(default_factory=dict)
    experts: tuple[str, ...]
    params: ResolvedParams
    levels: tuple[str, ...] = LEVELS
    rows: tuple[int, ...] = (1,)
    effort: Effort = field(default_factory=Effort)
    prompts: tuple[str, ...] = ()
    passes: int = 3
    rates: tuple[float, ...] = ()
    rate_seconds: float = 30.0
    minutes: float | None = None
    running: int = 8
    peers: tuple[str, ...] = ()
    peer_pythons: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"
    checkpoint: Path | None = None
    cache: Path | None = None
    cache_group_writable: bool = False
    batch: int | None = None
    threads: int | None = None
    memory: int | None = None

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """Every expert under every engine, the first engine's first."""
        several = len(self.engines) > 1
        return tuple(
            Contender(label(expert) + (f" on {engine}" if several else ""), expert, engine)
            for engine in self.engines
            for expert in self.experts
        )

    def open(self, engine: str, queued: int | None = None) -> Pipeline:
        """Open the bundle on one engine; at most `queued` requests wait. Raises as `Pipeline.open` does."""
        return Pipeline.open(
            self.bundle,
            engine=engine,
            cache=self.cache,
            cache_group_writable=self.cache_group_writable,
            batch=self.batch,
            memory=self.memory,
            threads=self.threads,
            max_running=self.running,
            max_queued=queued,
        )


def label(expert: str) -> str:
    """Return how tables call an expert."""
    return expert if expert == DENSE else f"expert {expert}"


def choose_engines(text: str, manifest: Manifest) -> tuple[str, ...]:
    """Choose the engines that `a,b` asks for, by the names that the runtime resolves them to; `all`: what is
    here.

    Raises `UsageError`, `EnvironmentMismatch`.
    """
    if text == "all":
        return tuple(name for name in ENGINES if name != "auto" and choice.missing(name, manifest) is None)
    return tuple(dict.fromkeys(choice.choose(name, manifest) for name in _words(text, "--engines")))


def absent_engines(text: str, manifest: Manifest) -> dict[str, str]:
    """Return the engines that `all` leaves out, and why each cannot serve the bundle here."""
    reasons = {name: choice.missing(name, manifest) for name in ENGINES if name != "auto"}
    return {name: reason for name, reason in reasons.items() if reason} if text == "all" else {}


def precisions(engines: Sequence[str], manifest: Manifest) -> list[str]:
    """Return what OpenVINO computes each expert in, where it is among the engines: by what was earned
    here.
    """
    if "openvino" not in engines:
        return []
    found = {name: precision.of(expert, "openvino", None) for name, expert in manifest.experts.items()}
    return [
        f"engine openvino computes in {one}: {', '.join(label(name) for name in found if found[name] == one)}"
        for one in dict.fromkeys(found.values())
    ]


def choose_experts(text: str, manifest: Manifest) -> tuple[str, ...]:
    """Choose the experts of the bundle that `all`, `all,dense` or `dense,0,2` asks for; `all` begins with
    dense.

    Raises `UsageError`.
    """
    offered = sorted(manifest.experts, key=lambda name: (name != DENSE, int(name) if name.isdigit() else 0))
    if "all" in _words(text, "--codes"):
        return tuple(offered)
    return choose(text, offered, "--codes")


def choose(text: str, offered: Sequence[str], option: str) -> tuple[str, ...]:
    """Choose the comma-separated words of `text`, all of them `offered`. Raises `UsageError`."""
    words = _words(text, option)
    for word in words:
        if word not in offered:
            listed = ", ".join(offered)
            raise UsageError(f"{option} {word}: is not one of {listed}{nearest(word, offered)}")
    return tuple(dict.fromkeys(words))


def choose_rows(text: str | None, batch: int) -> tuple[int, ...]:
    """Return the row counts that `1,2,4` asks for. None: the powers of two up to what shares a call by
    default.

    Raises `UsageError`.
    """
    if text is None:
        return tuple(2**power for power in range(batch.bit_length()))
    words = _words(text, "--rows")
    if not all(word.isdigit() for word in words):
        raise UsageError(f"--rows {text}: give integers with commas between them, such as 1,2,4")
    return tuple(dict.fromkeys(check_limit(int(word), "--rows") or 0 for word in words))


def choose_rates(text: str | None) -> tuple[float, ...]:
    """Choose the rates that `2,4.5` asks for, in images a second. Raises `UsageError`."""
    if text is None:
        return ()
    try:
        rates = tuple(dict.fromkeys(float(word) for word in _words(text, "--rates")))
    except ValueError:
        rates = (math.nan,)
    if not all(0 < rate < math.inf for rate in rates):
        raise UsageError(f"--rates {text}: give images a second with commas between them, such as 2,4.5")
    return rates


def _words(text: str, option: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise UsageError(f"{option} {text!r}: give names with commas between them")
    return words
