from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Pipeline
from runtime.bench.workload import PROMPT, Workload, check_output, distance
from runtime.bundle.reader import Bundle
from runtime.engines.shape_bucket import ShapeBucket
from runtime.errors import EngineFailure
from runtime.request.params import GenerationParams
from tests.bundles import edit, write_bundle


def test_a_step_is_one_call_on_noise_and_a_prompt(workload: Workload) -> None:
    inputs = workload.inputs(3)
    assert inputs["sample"].shape == (3, *workload.shape)
    assert inputs["timestep"].shape == (3,)
    served = workload.served("0", 3)
    assert served.keys() == {"sample", "time_embedding", "encoder_hidden_states"}
    assert {len(array) for array in served.values()} == {3}
    assert len({row.tobytes() for row in inputs["sample"]}) == 3
    call = workload.step("0", 3)
    output = call()
    assert output.shape == inputs["sample"].shape
    assert (output == call()).all()


def test_a_loop_is_an_image_without_its_decoder(workload: Workload, runtime: Pipeline) -> None:
    latents = workload.loop("1")()
    params = workload.params
    (image,) = runtime.generate(PROMPT, GenerationParams(code=1, steps=2, seed=0))
    decoded, _ = runtime.models.decode(runtime.models.open_decoder(ShapeBucket("decoder", 1, 8, 8)), latents)
    assert np.abs(image.pixels - 255 * (decoded.transpose(1, 2, 0) / 2 + 0.5).clip(0, 1)).max() <= 0.51
    assert params.steps == 2


def test_guided_images_take_two_rows_a_step(runtime: Pipeline, bundle: Bundle) -> None:
    counts = [
        Workload(runtime, GenerationParams(steps=3, guidance=g).resolve(bundle.manifest)).calls
        for g in (1.0, 2.0)
    ]
    assert counts == [3, 6]


def test_every_image_has_a_prompt_that_no_encoder_remembers(
    workload: Workload, runtime: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    encode, route = runtime.models.condition, runtime.models.route

    def condition(prompt: str) -> Any:
        asked.append(("encode", prompt))
        return encode(prompt)

    def routed(prompt: str) -> Any:
        asked.append(("route", prompt))
        return route(prompt)

    monkeypatch.setattr(runtime.models, "condition", condition)
    monkeypatch.setattr(runtime.models, "route", routed)
    image = workload.image("0")
    pixels = [image(), image()]
    assert pixels[0].shape == (16, 16, 3)
    prompts = [prompt for what, prompt in asked if what == "route"]
    assert len(set(prompts)) == 2
    assert PROMPT not in prompts


def test_parts_are_the_calls_around_the_unet(workload: Workload) -> None:
    parts = workload.parts()
    assert list(parts) == ["text encoder", "router", "VAE decoder"]
    for part in parts.values():
        assert part() is not None


def test_an_encoder_that_only_routes_is_a_part_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    write_bundle(path)

    def apart(manifest: Any) -> None:
        manifest["encoders"].append({**manifest["encoders"][0], "name": "prompt"})
        manifest["router"]["encoder"] = "prompt"

    edit(path, apart)
    with Pipeline.open(path, engine="cpu", cache=tmp_path / "cache") as runtime:
        parts = Workload(runtime, GenerationParams().resolve(runtime.bundle.manifest)).parts()
        assert list(parts) == ["text encoder", "prompt encoder and router", "router", "VAE decoder"]
        assert parts["prompt encoder and router"]() is not None


def test_work_takes_the_time_of_the_clock(runtime: Pipeline, bundle: Bundle) -> None:
    ticks = iter([1.0, 3.5])
    workload = Workload(runtime, GenerationParams().resolve(bundle.manifest), lambda: next(ticks))
    assert workload.timed(lambda: None)() == 2.5


@pytest.mark.parametrize(
    ("output", "reason"), [([0.0, np.nan], "is not finite"), ([0.5, 0.5], "output are the same")]
)
def test_broken_outputs_are_not_timed(output: list[float], reason: str) -> None:
    with pytest.raises(EngineFailure, match=f"expert 3: not timed, .*{reason}"):
        check_output(np.array(output, np.float32), "expert 3")
    check_output(np.array([0.0, 1.0], np.float32), "expert 3")


def test_distance_is_relative() -> None:
    reference = np.array([3.0, -4.0], np.float32)
    assert distance(reference, reference) == 0
    assert distance(1.1 * reference, reference) == pytest.approx(0.1)


def test_forgotten_prompts_are_encoded_again(runtime: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    (encoder,) = runtime.models._encoders.values()
    session = encoder._session
    real = session.run

    def run(output: str, inputs: Mapping[str, Any]) -> Any:
        runs.append(output)
        return real(output, inputs)

    monkeypatch.setattr(session, "run", run)
    for _ in range(2):
        runtime.models.condition("a blue square")
    assert len(runs) <= 1
    runs.clear()
    runtime.models.forget_prompts()
    runtime.models.condition("a blue square")
    assert len(runs) == 1
