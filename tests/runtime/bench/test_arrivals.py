"""Prompts that arrive by themselves, in a time that the test owns."""

from typing import Any

import pytest

from runtime import Pipeline
from runtime.bench.arrivals import OpenLoop
from runtime.bench.mixture import KINDS
from runtime.bench.options import parse
from runtime.bundle.reader import Bundle
from runtime.errors import EngineFailure, QueueFull, UsageError
from runtime.request.params import GenerationParams, ResolvedParams

PROMPTS = ["a red circle", "blue", "large square and small circle"]


class Time:
    """A clock that goes on only while somebody pauses."""

    def __init__(self) -> None:
        self.now, self.pauses = 0.0, list[float]()

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def params(bundle: Bundle) -> ResolvedParams:
    return GenerationParams(steps=2).resolve(bundle.manifest)


def take(runtime: Pipeline, params: ResolvedParams, rate: float, seconds: float, seed: int = 0) -> Any:
    time = Time()
    return OpenLoop(runtime, params, time, time.pause).take(
        PROMPTS, rate, seconds, lambda *_: None, seed
    ), time


def test_as_many_come_as_the_rate_says_and_each_is_accounted_for(
    runtime: Pipeline, params: ResolvedParams
) -> None:
    found, time = take(runtime, params, 20.0, 5.0)
    assert 70 < found.offered < 130  # three standard deviations
    assert len(found.latencies) == len(found.waits) == sum(found.experts.values()) == found.offered
    assert (found.rejected, found.failures) == (0, [])
    assert found.rows == 2 * 2 * found.offered  # two guided steps
    assert set(found.busy) == set(KINDS)
    assert found.lasted == time.now < 5.0


def test_gaps_are_those_of_the_seed_and_of_a_poisson_process(
    runtime: Pipeline, params: ResolvedParams
) -> None:
    gaps = [take(runtime, params, 20.0, 5.0, seed)[1].pauses for seed in (0, 0, 1)]
    assert gaps[0] == gaps[1] != gaps[2]
    assert sum(gaps[0]) / len(gaps[0]) == pytest.approx(1 / 20, rel=0.5)


def test_what_is_refused_is_counted(
    runtime: Pipeline, params: ResolvedParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise QueueFull("full", 1.0)

    monkeypatch.setattr(runtime.core, "submit", refuse)
    found, _ = take(runtime, params, 5.0, 2.0)
    assert found.rejected == found.offered > 0
    assert found.latencies == []


def test_what_fails_is_told(
    runtime: Pipeline, params: ResolvedParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise EngineFailure("out of order")

    monkeypatch.setattr(runtime.models, "decode", fail)
    found, _ = take(runtime, params, 5.0, 2.0)
    assert found.failures == ["out of order"] * found.offered


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rates", "2,x"], "--rates 2,x: give images a second"),
        (["--rates", "0"], "--rates 0: give images a second"),
        (["--rates", "2"], "--rates: says how often prompts arrive; name their file"),
        (["--rate-seconds", "0"], "--rate-seconds 0.0: give a number above 0"),
    ],
)
def test_rates_that_cannot_be(bundle: Bundle, options: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(["--bundle", str(bundle.root), *options])
