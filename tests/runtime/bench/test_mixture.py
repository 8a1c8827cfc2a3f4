from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from runtime import Pipeline
from runtime.bench import mixture
from runtime.bench.mixture import ClosedLoop, MixturePasses, expert_for, nearest_cost, prepare
from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Manifest
from runtime.errors import CodeUnavailable, EngineFailure
from runtime.models.router import RouterOutput
from runtime.request.params import GenerationParams
from runtime.service.work_stats import KINDS

PROMPTS = ["a red circle", "blue", "large square and small circle", "red and blue", "a", "circle"]


@pytest.fixture
def loop(runtime: Pipeline, bundle: Bundle) -> ClosedLoop:
    return ClosedLoop(runtime, GenerationParams(steps=2).resolve(bundle.manifest), running=2)


def test_every_prompt_becomes_the_image_that_generate_makes(loop: ClosedLoop, runtime: Pipeline) -> None:
    made: set[bytes] = set()
    found = loop.take(PROMPTS, on_image=lambda image: made.add(image.pixels.tobytes()))
    wanted = runtime.generate(PROMPTS, GenerationParams(steps=2, seed=0))
    assert made == {image.pixels.tobytes() for image in wanted}
    assert sum(found.experts.values()) == len(found.latencies) == len(PROMPTS)
    assert found.experts == {
        name: [image.choice.expert for image in wanted].count(name) for name in found.experts
    }


def test_the_control_is_one_expert_and_no_routing(
    loop: ClosedLoop, runtime: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(prompt: str) -> None:
        raise AssertionError("the control routes nothing")

    monkeypatch.setattr(runtime.models, "route", refuse)
    found = loop.take(PROMPTS, "2")
    assert found.experts == {"2": len(PROMPTS)}


def test_calls_and_rows_are_those_of_the_unet(loop: ClosedLoop) -> None:
    found = loop.take(PROMPTS, "0")
    assert found.rows == len(PROMPTS) * 2 * 2  # two guided steps
    assert len(PROMPTS) <= found.calls <= 2 * len(PROMPTS)  # one or two requests to a call


def test_as_many_are_under_way_as_asked(
    loop: ClosedLoop, runtime: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    submit = runtime.core.submit

    def watched(*order: Any) -> Any:
        ticket = submit(*order)
        sizes.append(runtime.core.dispatcher.look(len))
        return ticket

    monkeypatch.setattr(runtime.core, "submit", watched)
    loop.take(PROMPTS)
    assert len(sizes) == len(PROMPTS)
    assert max(sizes) <= 2


def test_every_kind_of_work_is_counted(loop: ClosedLoop, runtime: Pipeline) -> None:
    runtime.free()
    found = loop.take(PROMPTS)
    assert set(found.shares) == set(KINDS)
    assert all(seconds > 0 for seconds in found.shares.values())
    assert all(0 < latency <= found.seconds for latency in found.latencies)


def test_a_failure_ends_the_pass(
    loop: ClosedLoop, runtime: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.models, "decode", lambda *_: (np.full((3, 8, 8), np.nan), 0.0))
    with pytest.raises(EngineFailure, match="not finite"):
        loop.take(PROMPTS)


def test_every_pass_encodes_anew(
    loop: ClosedLoop, runtime: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgot: list[int] = []
    monkeypatch.setattr(runtime.models, "forget_prompts", lambda: forgot.append(1))
    loop.take(PROMPTS[:1])
    loop.take(PROMPTS[:1])
    assert len(forgot) == 2


def priced(bundle: Bundle, **macs: int) -> Manifest:
    experts = {
        name: replace(bundle.manifest.experts[name.strip("e")], macs=cost) for name, cost in macs.items()
    }
    return replace(bundle.manifest, experts={name.strip("e"): one for name, one in experts.items()})


def test_the_control_is_the_expert_of_the_nearest_cost(bundle: Bundle) -> None:
    manifest = priced(bundle, e0=10, e1=20, e2=40)
    assert [nearest_cost(manifest, macs) for macs in (0, 14, 16, 31, 99)] == ["0", "0", "1", "2", "2"]


def test_the_mean_cost_is_that_of_the_prompts(
    loop: ClosedLoop, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    experts = iter(["0", "2", "2"])
    monkeypatch.setattr(loop, "expert_of", lambda prompt: next(experts))
    found = prepare(loop, priced(bundle, e0=10, e1=20, e2=40), PROMPTS[:3], "cpu", batch=8)
    assert found.macs == {"mixed": 30.0, "alone": 20.0}
    assert (found.control, found.prompts, found.running) == ("1", 3, 2)


def test_passes_take_turns_after_one_of_each(monkeypatch: pytest.MonkeyPatch, loop: ClosedLoop) -> None:
    order: list[str | None] = []

    def take(prompts: list[str], expert: str | None = None) -> mixture.Pass:
        order.append(expert)
        return mixture.Pass(seconds=float(len(order)))

    monkeypatch.setattr(loop, "take", take)
    found = MixturePasses("cpu", 1, 2, 1, "1", {"mixed": 1.0, "alone": 1.0})
    mixture.run(loop, found, PROMPTS, 2, lambda *_: None)
    assert order == [None, "1"] * 3
    assert [one.seconds for one in found.mixed + found.alone] == [3.0, 5.0, 4.0, 6.0]


def test_a_code_without_an_expert_goes_to_the_fallback_or_is_refused(bundle: Bundle) -> None:
    manifest = priced(bundle, e0=10)
    assert expert_for(manifest, RouterOutput(0, None)) == "0"
    with pytest.raises(CodeUnavailable, match="routed to expert 3"):
        expert_for(manifest, RouterOutput(3, None))
    router = replace(manifest.router, fallback="dense")
    assert expert_for(replace(manifest, router=router), RouterOutput(3, None)) == "dense"
