import numpy as np
import pytest

from runtime import Runtime
from runtime.errors import EngineFailure
from runtime.router import Route, Router, choose

TIE = 1e-5


def route(*similarity: float) -> Route:
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
    assert route(0.5) == Route(0, None)


def test_a_route_depends_on_the_prompt_alone(runtime: Runtime) -> None:
    prompts = ["a red circle", "blue", "", "a large square and a small circle"]
    together = runtime.route(prompts)
    assert together == [runtime.route(prompt)[0] for prompt in prompts]
    assert together == runtime.route(prompts[::-1])[::-1]
    assert len({route.code for route in together}) > 1


@pytest.mark.parametrize("value", [np.full((1, 4), np.nan), np.full((1, 4), np.inf), np.zeros((1, 3))])
def test_similarities_that_are_no_numbers(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, value: np.ndarray
) -> None:
    router: Router = runtime._models._router
    monkeypatch.setattr(router._session, "run", lambda *_: value.astype(np.float32))
    with pytest.raises(EngineFailure, match="not 4 finite similarities"):
        runtime.route("red")
