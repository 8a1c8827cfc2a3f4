"""Step batching against a fake engine whose every row depends on that row alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.batching import SMALL, Batcher, default_batch
from runtime.errors import EngineFailure
from runtime.request import Request, constant_plan
from runtime.schedule import Course, Row, Trajectory

EXPERTS = ["0", "1", "dense"]


class FakeEngine:
    """Mixes sample, timestep and prompt, row by row."""

    def __init__(self, expert: str, calls: list[tuple[str, int]]) -> None:
        self.expert, self.calls = expert, calls

    def run(self, sample: Any, timestep: Any, conditioning: Mapping[str, Any]) -> Any:
        self.calls.append((self.expert, len(sample)))
        shift = conditioning["prompt"].mean((1, 2), keepdims=True)[..., None] + timestep[:, None, None, None]
        return np.cos(sample * np.float32(1 + EXPERTS.index(self.expert)) + shift).astype(np.float32)


@dataclass(frozen=True)
class Spec:
    """A request to be made, any number of times."""

    plan: tuple[str, ...]
    window: int
    guidance: float
    side: int
    seed: int

    def request(self) -> Request:
        rng = np.random.default_rng(self.seed)
        prompt, negative = ({"prompt": rng.normal(size=(1, 3, 2)).astype(np.float32)} for _ in range(2))
        rows = tuple(self._row(index) for index in range(len(self.plan)))
        noise = rng.normal(size=(2, self.side, self.side)).astype(np.float32)
        trajectory = Trajectory(Course(rows, 1.0, self.window), noise)
        return Request(self.plan, trajectory, prompt, None if self.guidance == 1 else negative, self.guidance)

    def _row(self, index: int) -> Row:
        back = range(min(self.window, index + 1))
        terms = tuple((step, 0.6 / (1 + step)) for step in back)
        return Row(10.0 - index, 1 / (1 + index), terms[:1], terms)


specs = st.builds(
    Spec,
    plan=st.lists(st.sampled_from(EXPERTS), min_size=1, max_size=6).map(tuple),
    window=st.integers(1, 4),
    guidance=st.sampled_from([1.0, 0.0, 3.5, 7.5]),
    side=st.sampled_from([2, 4]),
    seed=st.integers(0, 99),
)


def batcher(batch: int, calls: list[tuple[str, int]] | None = None) -> Batcher:
    engines = {expert: FakeEngine(expert, [] if calls is None else calls) for expert in EXPERTS}
    return Batcher(lambda expert, rows, height, width: engines[expert], batch)


def alone(spec: Spec) -> bytes:
    running, request = batcher(1), spec.request()
    running.submit(request)
    while running:
        running.tick()
    return request.result().tobytes()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(specs, st.integers(0, 12)), min_size=1, max_size=8), st.integers(1, 5))
def test_every_request_ends_once_with_the_bytes_it_has_alone(
    arrivals: list[tuple[Spec, int]], batch: int
) -> None:
    running, ended, tick = batcher(batch), [], 0
    requests = [(spec.request(), when) for spec, when in arrivals]
    while running or tick <= 12:
        for request, when in requests:
            if when == tick:
                running.submit(request)
        if running:
            ended += [request for request in running.tick() if request.trajectory.done]
        tick += 1
    assert sorted(map(id, ended)) == sorted(id(request) for request, _ in requests)
    for (spec, _), (request, _) in zip(arrivals, requests, strict=True):
        assert request.result().tobytes() == alone(spec)


def spec(expert: str, steps: int = 2, guidance: float = 2.0, side: int = 2, seed: int = 0) -> Spec:
    return Spec(tuple(constant_plan(expert, steps)), 1, guidance, side, seed)


def test_who_shares_a_call() -> None:
    calls: list[tuple[str, int]] = []
    running = batcher(3, calls)
    for item in (spec("0"), spec("1"), spec("0", guidance=1.0), spec("0", side=4), spec("0", 1), spec("0")):
        running.submit(item.request())
    running.tick()
    assert calls == [
        ("0", 5)
    ]  # two guided and one unguided; not expert 1, not the larger one, not the fourth
    assert len(running) == 5  # the one with a single step has left
    running.tick()
    assert calls[-1] == ("0", 5)  # and the last has taken its place


def test_the_oldest_goes_first() -> None:
    calls: list[tuple[str, int]] = []
    running = batcher(1, calls)
    for expert in ("1", "0", "1"):
        running.submit(spec(expert).request())
    while running:
        running.tick()
    assert [expert for expert, _ in calls] == ["1", "1", "0", "0", "1", "1"]


def test_a_plan_may_change_expert() -> None:
    calls: list[tuple[str, int]] = []
    running = batcher(2, calls)
    running.submit(Spec(("dense", "dense", "1"), 2, 1.0, 2, 0).request())
    running.submit(Spec(("dense", "1", "1"), 2, 1.0, 2, 1).request())
    while running:
        running.tick()
    assert calls == [("dense", 2), ("dense", 1), ("1", 2), ("1", 1)]


def test_an_output_of_the_wrong_shape_ends_its_requests_alone() -> None:
    class Wrong:
        def run(self, sample: Any, timestep: Any, conditioning: Any) -> Any:
            return sample[:, :1]

    good = FakeEngine("1", [])
    running = Batcher(lambda expert, *_: good if expert == "1" else Wrong(), batch=2)
    requests = [spec("0").request(), spec("1").request(), spec("0").request()]
    for request in requests:
        running.submit(request)
    assert running.tick() == [requests[0], requests[2]]
    while running:
        running.tick()
    assert requests[1].result().tobytes() == alone(spec("1"))
    for request in (requests[0], requests[2]):
        with pytest.raises(EngineFailure, match="expert '0'"):
            request.result()


def test_small_models_share_calls() -> None:
    assert default_batch(0) == default_batch(SMALL - 1) == 8
    assert default_batch(SMALL) == 1


def test_latents_that_are_not_finite_are_no_result() -> None:
    class Broken:
        def run(self, sample: Any, timestep: Any, conditioning: Any) -> Any:
            return np.full_like(sample, np.nan)

    running, request = Batcher(lambda *_: Broken()), spec("0", 1).request()
    running.submit(request)
    running.tick()
    with pytest.raises(EngineFailure, match="not finite"):
        request.result()


def test_time_is_shared() -> None:
    running, requests = batcher(2), [spec("0").request(), spec("0").request()]
    for request in requests:
        running.submit(request)
    running.tick()
    assert requests[0].seconds == requests[1].seconds > 0
