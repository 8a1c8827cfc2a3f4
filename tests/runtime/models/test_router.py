import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime import Pipeline
from runtime.bundle.schema import OutOfDistribution
from runtime.errors import EngineFailure
from runtime.models.router import Router, RouterOutput, choose, wanted
from tests.bundles import edit

TIE = 1e-5


def route(*similarity: float) -> RouterOutput:
    return choose(np.array(similarity, np.float32), TIE)


def test_the_best_wins_by_its_margin() -> None:
    assert route(0.1, 0.5, 0.25).code == 1
    assert route(0.1, 0.5, 0.25).margin == 0.25


@pytest.mark.parametrize("gap", [0.0, 4e-6])
def test_a_tie_goes_to_the_lower_code(gap: float) -> None:
    chosen = route(-1.0, 0.25, 0.25 + gap, 0.0)
    assert chosen.code == 1
    assert chosen.margin == pytest.approx(gap, abs=1e-7)


def test_beyond_the_tie_the_best_wins() -> None:
    assert route(0.25, 0.25 + 4e-5).code == 1


def test_a_chain_of_ties_is_measured_from_the_best() -> None:
    assert route(0.25, 0.25 + 0.8e-5, 0.25 + 1.6e-5).code == 1


def test_a_single_code_has_no_margin() -> None:
    assert route(0.5) == RouterOutput(0, None)


def test_a_route_depends_on_the_prompt_alone(runtime: Pipeline) -> None:
    prompts = ["a red circle", "blue", "", "a large square and a small circle"]
    together = runtime.route(prompts)
    assert together == [runtime.route(prompt)[0] for prompt in prompts]
    assert together == runtime.route(prompts[::-1])[::-1]
    assert len({route.code for route in together}) > 1


@pytest.mark.parametrize("value", [np.full((1, 4), np.nan), np.full((1, 4), np.inf), np.zeros((1, 3))])
def test_similarities_that_are_no_numbers(
    runtime: Pipeline, monkeypatch: pytest.MonkeyPatch, value: np.ndarray
) -> None:
    router: Router = runtime.models._router
    monkeypatch.setattr(router._session, "run_all", lambda *_: [value.astype(np.float32)])
    with pytest.raises(EngineFailure, match="not 4 finite similarities"):
        runtime.route("red")


@pytest.fixture
def guarded(copy_path: Path, cache_path: Path) -> Iterator[Pipeline]:
    """The bundle, with prompts of more than 5 away sent to dense."""
    edit(copy_path, lambda m: m["router"].update(out_of_distribution={"threshold": 5.0, "expert": "dense"}))
    with Pipeline.open(copy_path, engine="cpu", cache=cache_path, threads=1) as opened:
        yield opened


def test_a_bundle_that_tells_distances_routes_as_before(runtime: Pipeline, guarded: Pipeline) -> None:
    prompts = ["a red circle", "blue", "a large square and a small circle"]
    for plain, told in zip(runtime.route(prompts), guarded.route(prompts), strict=True):
        assert plain.distance is None
        assert told.distance is not None
        assert told[:2] == plain[:2]


def test_distances_are_those_of_the_prompt(guarded: Pipeline) -> None:
    encoding = guarded.models._encoders["text"]("a red circle")
    length = np.linalg.norm((encoding.embedding * encoding.mask[..., None]).sum(1))
    assert guarded.route("a red circle")[0].distance == pytest.approx(length, rel=1e-5)


@pytest.mark.parametrize(("distance", "whose"), [(None, "1"), (2.0, "1"), (2.5, "dense")])
def test_only_what_lies_beyond_is_sent_away(runtime: Pipeline, distance: float, whose: str) -> None:
    entry = replace(runtime.bundle.manifest.router, out_of_distribution=OutOfDistribution(2.0, "dense"))
    assert wanted(entry, RouterOutput(1, 0.5, distance)) == (whose, whose == "dense")
    assert wanted(runtime.bundle.manifest.router, RouterOutput(1, 0.5, distance)) == ("1", False)


@pytest.mark.parametrize("value", [[np.nan], [np.inf], [0.0, 0.0]])
def test_distances_that_are_no_numbers(
    guarded: Pipeline, monkeypatch: pytest.MonkeyPatch, value: list[float]
) -> None:
    outputs = [np.eye(1, 4, dtype=np.float32), np.array(value, np.float32)]
    monkeypatch.setattr(guarded.models._router._session, "run_all", lambda *_: outputs)
    with pytest.raises(EngineFailure, match="not one finite distance"):
        guarded.route("red")


def test_any_thread_may_ask_where_a_prompt_goes(runtime: Pipeline) -> None:
    # More prompts than are remembered, so that threads forget what others are asking for.
    prompts = [f"red {number}" for number in range(100)]
    wanted = runtime.route(prompts)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda _: runtime.route(prompts), range(16)))
    finally:
        sys.setswitchinterval(interval)
    assert found == [wanted] * 16
