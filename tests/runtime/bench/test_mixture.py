from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from runtime import Pipeline
from runtime.bench import mixture
from runtime.bench.mixture import KINDS, ClosedLoop, Mixture, expert_for, nearest_cost, prepare
from runtime.bench.workload import Workload
from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Manifest
from runtime.errors import CodeUnavailable
from runtime.generated import to_pixels
from runtime.router import Route

PROMPTS = ["a red circle", "blue", "large square and small circle", "red and blue", "a", "circle"]


@pytest.fixture
def loop(workload: Workload) -> ClosedLoop:
    return ClosedLoop(workload, running=2)


@pytest.fixture
def decoded(runtime: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The images that were decoded, in order."""
    images, decode = [], runtime.models.decode

    def kept(latents: Any) -> Any:
        image, seconds = decode(latents)
        images.append(to_pixels(image))
        return image, seconds

    monkeypatch.setattr(runtime.models, "decode", kept)
    return images


def test_every_prompt_becomes_the_image_that_generate_makes(
    loop: ClosedLoop, runtime: Pipeline, decoded: list[np.ndarray]
) -> None:
    found = loop.take(PROMPTS)
    made = {image.tobytes() for image in decoded}
    decoded.clear()
    wanted = runtime.generate(PROMPTS, steps=2, seed=0)
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
    assert found.shares[mixture.ROUTING] == 0.0


def test_calls_and_rows_are_those_of_the_unet(loop: ClosedLoop) -> None:
    found = loop.take(PROMPTS, "0")
    assert found.rows == len(PROMPTS) * 2 * 2  # two guided steps
    assert found.calls == found.rows / 4  # two requests to a call, always


def test_fragmentation_shows_in_the_calls(loop: ClosedLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    experts = iter("0123" * len(PROMPTS))
    monkeypatch.setattr(loop, "expert_of", lambda prompt: next(experts))
    mixed, alone = loop.take(PROMPTS), loop.take(PROMPTS, "0")
    assert mixed.rows == alone.rows
    assert mixed.calls == 2 * alone.calls


def test_never_more_under_way_than_asked_and_never_fewer_while_some_wait(
    loop: ClosedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    class Watched(mixture.Batcher):
        def tick(self) -> Any:
            sizes.append(len(self))
            return super().tick()

    monkeypatch.setattr(mixture, "Batcher", Watched)
    loop.take(PROMPTS)
    assert max(sizes) == 2
    assert sizes[: 2 * (len(PROMPTS) // 2 - 1)] == [2] * (2 * (len(PROMPTS) // 2 - 1))


def test_every_second_is_accounted_for_once(workload: Workload) -> None:
    ticks = count()
    found = ClosedLoop(workload, 2, lambda: float(next(ticks))).take(PROMPTS)
    assert set(found.shares) == set(KINDS)
    assert all(seconds > 0 for seconds in found.shares.values())
    assert sum(found.shares.values()) < found.seconds
    assert all(0 < latency <= found.seconds for latency in found.latencies)


def test_every_pass_encodes_anew(loop: ClosedLoop, runtime: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
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
    found = Mixture("cpu", 1, 2, 1, "1", {"mixed": 1.0, "alone": 1.0})
    mixture.run(loop, found, PROMPTS, 2, lambda *_: None)
    assert order == [None, "1"] * 3
    assert [one.seconds for one in found.mixed + found.alone] == [3.0, 5.0, 4.0, 6.0]


def test_a_code_without_an_expert_goes_to_the_fallback_or_is_refused(bundle: Bundle) -> None:
    manifest = priced(bundle, e0=10)
    assert expert_for(manifest, Route(0, None)) == "0"
    with pytest.raises(CodeUnavailable, match="routed to expert 3"):
        expert_for(manifest, Route(3, None))
    router = replace(manifest.router, fallback="dense")
    assert expert_for(replace(manifest, router=router), Route(3, None)) == "dense"
