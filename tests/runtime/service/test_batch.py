"""Calls that requests share, on a fake engine whose every row depends on that row alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.diffusion.schedule import Row, SolverSteps, Trajectory
from runtime.errors import EngineFailure
from runtime.scheduling.capacity import SMALL, default_batch
from runtime.service.batch import Batch
from runtime.service.denoising import Denoising


class FakeEngine:
    """Mixes sample, time embedding and prompt, row by row."""

    def run(self, sample: Any, time_embedding: Any, conditioning: Mapping[str, Any]) -> Any:
        mean = time_embedding.mean(1)[:, None, None, None]
        shift = conditioning["prompt"].mean((1, 2), keepdims=True)[..., None] + mean
        return np.cos(sample + shift).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Spec:
    """An image to be made, any number of times."""

    steps: int
    window: int
    guidance: float
    seed: int

    def denoising(self) -> Denoising:
        rng = np.random.default_rng(self.seed)
        prompt, negative = ({"prompt": rng.normal(size=(1, 3, 2)).astype(np.float32)} for _ in range(2))
        rows = tuple(self._row(index) for index in range(self.steps))
        trajectory = Trajectory(
            SolverSteps(rows, 1.0, self.window), rng.normal(size=(2, 4, 4)).astype(np.float32)
        )
        table = rng.normal(size=(self.steps, 3)).astype(np.float32)
        unwanted = None if self.guidance == 1 else negative
        return Denoising("0", trajectory, table, prompt, unwanted, self.guidance)

    def _row(self, index: int) -> Row:
        back = range(min(self.window, index + 1))
        terms = tuple((step, 0.6 / (1 + step)) for step in back)
        return Row(10.0 - index, 1 / (1 + index), terms[:1], terms, (0.0, 1.0))


specs = st.builds(
    Spec,
    steps=st.integers(1, 6),
    window=st.integers(1, 4),
    guidance=st.sampled_from([1.0, 0.0, 3.5, 7.5]),
    seed=st.integers(0, 99),
)


def alone(spec: Spec) -> bytes:
    request = spec.denoising()
    while not request.ended:
        Batch([request]).run(FakeEngine())
    return request.result().tobytes()


@settings(max_examples=150, deadline=None)
@given(st.lists(specs, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_a_request_in_any_company_has_the_bytes_it_has_alone(wanted: list[Spec], random: Any) -> None:
    requests = [spec.denoising() for spec in wanted]
    while under_way := [request for request in requests if not request.ended]:
        Batch(random.sample(under_way, random.randint(1, len(under_way)))).run(FakeEngine())
    assert [request.result().tobytes() for request in requests] == [alone(spec) for spec in wanted]


def test_a_call_can_be_made_again_while_its_requests_stay_together() -> None:
    requests = [Spec(3, 2, guidance, seed).denoising() for seed, guidance in enumerate([2.0, 1.0])]
    call = Batch(requests)
    for _ in range(3):
        call.run(FakeEngine())
    assert [r.result().tobytes() for r in requests] == [alone(Spec(3, 2, 2.0, 0)), alone(Spec(3, 2, 1.0, 1))]


def test_its_time_is_shared() -> None:
    requests = [Spec(1, 1, 1.0, seed).denoising() for seed in range(3)]
    Batch(requests).run(FakeEngine())
    assert requests[0].seconds == requests[1].seconds == requests[2].seconds > 0


class Wrong:
    def run(self, sample: Any, time_embedding: Any, conditioning: Any) -> Any:
        return sample[:, :1]


def test_an_output_of_another_shape() -> None:
    with pytest.raises(EngineFailure, match=r"expert '0': gave \(2, 1, 4, 4\) for \(2, 2, 4, 4\)"):
        Batch([Spec(1, 1, 2.0, 0).denoising()]).run(Wrong())


def test_latents_that_are_not_finite_are_no_result() -> None:
    request = Spec(1, 1, 1.0, 0).denoising()
    request.trajectory.latents[0, 0, 0] = np.nan
    with pytest.raises(EngineFailure, match="expert '0': the latents are not finite after the last step"):
        request.result()


@pytest.mark.parametrize(("macs", "batch"), [(SMALL - 1, 8), (SMALL, 1)])
def test_small_experts_share_calls(macs: int, batch: int) -> None:
    assert default_batch(macs) == batch
