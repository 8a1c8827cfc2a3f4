"""The whole path, against a plain reading of docs/BUNDLE.md."""

import json
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import onnxruntime
import pytest

from runtime import Generated, Pipeline
from runtime.bundle.reader import Bundle
from runtime.diffusion.noise import normal
from runtime.engines.session import Session
from runtime.errors import CodeUnavailable, EngineFailure, IntegrityError, RuntimeFailure, UsageError
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams
from runtime.service.events import Finished, Queued, Started, Step
from runtime.service.generated import RoutingDecision
from tests.bundles import CHANNELS, PREVIEW, SOLVERS, WORDS, edit, relist, write_bundle

PROMPTS = ["a red circle", "blue", "", "a small square and a large circle"]


def oracle(
    bundle: Bundle, prompt: str, noise: np.ndarray, steps: int, guidance: float, solver: str
) -> tuple[np.ndarray, list[np.ndarray]]:
    """An image made from the portable graphs with none of the runtime's own code, and a preview per row."""

    def session(path: str) -> Any:
        return onnxruntime.InferenceSession(bundle.root / path, providers=["CPUExecutionProvider"])

    def embed(text: str) -> tuple[np.ndarray, np.ndarray]:
        words = [WORDS.index(word) for word in text.split()][:6]
        ids, mask = [0, *words, 1] + [1] * (6 - len(words)), [1] * (len(words) + 2) + [0] * (6 - len(words))
        output = session("text_encoder/model.onnx").run(None, {"input_ids": np.array([ids], np.int64)})[0]
        return output, np.array([mask], np.int64)

    embedding, mask = embed(prompt)
    similarity = session("router/model.onnx").run(None, {"embedding": embedding, "attention_mask": mask})[0]
    unet = session(f"experts/{similarity.argmax()}/unet/model.onnx")
    window = SOLVERS[solver]
    width = 4 + 2 * window
    table = np.frombuffer((bundle.root / f"schedules/{solver}.bin").read_bytes(), "<f4").reshape(-1, width)
    states, outputs, previews = [noise], [], []
    for index, row in enumerate(table[steps * (steps - 1) // 2 :][:steps]):

        def call(condition: np.ndarray, row: np.ndarray = row) -> np.ndarray:
            inputs = {
                "sample": (row[1] * states[-1])[None],
                "timestep": row[:1],
                "encoder_hidden_states": condition,
            }
            return unet.run(None, inputs)[0][0]

        output = call(embedding)
        if guidance != 1:
            negative = call(embed("")[0])
            output = negative + np.float32(guidance) * (output - negative)
        outputs.append(output)
        previews.append(to_colours(row[-2] * states[-1] + row[-1] * output))
        total = np.zeros_like(noise)
        for back in range(min(window, index + 1)):
            total = total + row[2 + back] * states[index - back]
        for back in range(min(window, index + 1)):
            total = total + row[2 + window + back] * outputs[index - back]
        states.append(total)
    decoded = session("vae_decoder/model.onnx").run(
        None, {"latent_sample": states[-1][None] / np.float32(0.5)}
    )[0][0]
    return to_pixels(decoded), previews


def to_pixels(planes: np.ndarray) -> np.ndarray:
    return np.round(255 * np.clip(planes / 2 + 0.5, 0, 1)).astype(np.uint8).transpose(1, 2, 0)


def to_colours(clean: np.ndarray) -> np.ndarray:
    return to_pixels(np.stack([np.tensordot(row[:-1], clean, 1) + row[-1] for row in PREVIEW]))


def shown(
    runtime: Pipeline, prompt: str, options: RequestOptions, params: GenerationParams
) -> dict[int, np.ndarray]:
    """The previews of an image, by how many rows were done."""
    told: SimpleQueue[Any] = SimpleQueue()
    runtime.core.submit(runtime.core.request(prompt, params, options, told.put))
    steps: list[Step] = []
    while not isinstance(event := told.get(timeout=60), Finished):
        steps += [event] if isinstance(event, Step) else []
    return {step.done: step.preview for step in steps if step.preview is not None}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("steps", [1, 5, 10])
def test_images_follow_the_page(
    runtime: Pipeline, bundle: Bundle, solver: str, guidance: float, steps: int
) -> None:
    images = runtime.generate(
        PROMPTS, GenerationParams(seed=5, steps=steps, guidance=guidance, solver=solver)
    )
    for index, image in enumerate(images):
        expected, _ = oracle(
            bundle, PROMPTS[index], normal(5 + index, (CHANNELS, 8, 8)), steps, guidance, solver
        )
        difference = np.abs(image.pixels.astype(int) - expected)
        assert difference.max() <= 1
        assert (difference == 0).mean() > 0.999


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_previews_follow_the_page(runtime: Pipeline, bundle: Bundle, solver: str, guidance: float) -> None:
    _, expected = oracle(bundle, PROMPTS[0], normal(5, (CHANNELS, 8, 8)), 7, guidance, solver)
    found = shown(
        runtime,
        PROMPTS[0],
        RequestOptions(progress=True, previews=7),
        GenerationParams(seed=5, steps=7, guidance=guidance, solver=solver),
    )
    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    for done, preview in found.items():
        assert preview.shape == (8, 8, 3)
        assert np.abs(preview.astype(int) - expected[done - 1]).max() <= 1
    assert len({preview.tobytes() for preview in found.values()}) == 6


def test_the_reply(runtime: Pipeline) -> None:
    images = runtime.generate(["red " * 9, "blue"], GenerationParams(seed=7))
    assert [image.prompt for image in images] == ["red " * 9, "blue"]
    assert [image.seed for image in images] == [7, 8]
    assert [image.dropped_tokens for image in images] == [3, 0]
    for image, route in zip(images, runtime.route(["red " * 9, "blue"]), strict=True):
        assert image.pixels.shape == (16, 16, 3)
        assert image.pixels.dtype == np.uint8
        assert (image.choice.code, image.choice.margin) == route[:2]
        assert image.choice.expert == str(route.code)
        assert not image.choice.fell_back
        assert image.milliseconds > 0
        assert not image.blank
        params = image.params
        assert (params.solver, params.steps, params.guidance) == ("ddim", 4, 2.5)


def images_of(results: list[Generated]) -> list[bytes]:
    return [result.pixels.tobytes() for result in results]


def test_alone_and_in_a_crowd(bundle_path: Path, cache_path: Path, runtime: Pipeline) -> None:
    alone = [
        runtime.generate(prompt, GenerationParams(seed=index))[0] for index, prompt in enumerate(PROMPTS * 2)
    ]
    with Pipeline.open(bundle_path, engine="cpu", cache=cache_path, batch=3, threads=1) as crowd:
        assert images_of(crowd.generate(PROMPTS * 2)) == images_of(alone)


def test_seeds_and_latents(runtime: Pipeline) -> None:
    noise = np.stack([normal(seed, (CHANNELS, 8, 8)) for seed in (3, 4)])
    seeded = runtime.generate(["red", "red"], GenerationParams(seed=3))
    given = runtime.generate(["red", "red"], [GenerationParams(latents=each) for each in noise])
    own = runtime.generate(["red", "red"], [GenerationParams(seed=seed) for seed in (3, 4)])
    assert images_of(seeded) == images_of(given) == images_of(own)
    assert images_of(seeded)[0] != images_of(seeded)[1]
    assert [image.seed for image in given] == [None, None]
    shared = runtime.generate(["red", "red"], GenerationParams(latents=noise[0]))
    assert images_of(shared) == images_of(seeded)[:1] * 2


def test_sizes(runtime: Pipeline) -> None:
    assert runtime.generate("red", GenerationParams(size=(24, 16)))[0].pixels.shape == (16, 24, 3)
    latents = np.ones((CHANNELS, 16, 4), np.float32)
    assert runtime.generate("red", GenerationParams(latents=latents))[0].pixels.shape == (32, 8, 3)


def test_the_negative_prompt_steers_only_with_guidance(runtime: Pipeline) -> None:
    def made(**options: Any) -> bytes:
        return runtime.generate("red", GenerationParams(code=0, **options))[0].pixels.tobytes()

    assert made(negative_prompt="blue") != made()
    for off in (0, 0.5, 1.0):
        assert made(negative_prompt="blue", guidance=off) == made(guidance=1.0)
    assert made(guidance=1.0) != made()


def test_the_code_can_be_chosen(runtime: Pipeline) -> None:
    images = [runtime.generate("red", GenerationParams(code=code))[0] for code in (0, 1, "dense")]
    assert [(image.choice.expert, image.choice.code) for image in images] == [
        ("0", 0),
        ("1", 1),
        ("dense", None),
    ]
    assert [image.choice.margin for image in images] == [None] * 3
    assert len(set(images_of(images))) == 3


def test_steps_are_reported(runtime: Pipeline) -> None:
    seen: list[tuple[int, int, int]] = []
    runtime.generate(["red", "blue"], GenerationParams(steps=3), on_step=lambda *step: seen.append(step))
    assert sorted(seen) == [(index, done, 3) for index in range(2) for done in (1, 2, 3)]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"steps": 0}, "steps 0: solver 'ddim' offers 1 to 10"),
    ({"steps": 11}, "steps 11: solver 'ddim' offers 1 to 10"),
    ({"steps": 2.0}, "steps 2.0: give an integer"),
    ({"steps": True}, "steps True: give an integer"),
    ({"guidance": -1}, "guidance -1: give a number from 0 to 1000"),
    ({"guidance": float("nan")}, "guidance nan"),
    ({"guidance": float("inf")}, "guidance inf"),
    ({"guidance": "7"}, "guidance '7'"),
    ({"size": (16, 9)}, "height 9: give a multiple of 8 from 8 to 32 pixels"),
    ({"size": (40, 16)}, "width 40: give a multiple of 8 from 8 to 32 pixels"),
    ({"size": (16, 0)}, "height 0"),
    ({"size": (16, 16.0)}, "height 16.0: give an integer"),
    ({"size": 16}, "give width and height"),
    ({"solver": "ddmi"}, r"solver 'ddmi': this bundle has ddim, plms \(did you mean 'ddim'\?\)"),
    ({"solver": 3}, "solver 3: this bundle has"),
    ({"code": 4}, "code 4: give an integer from 0 to 3, or 'dense'"),
    ({"code": -1}, "code -1"),
    ({"code": "0"}, "code '0'"),
    ({"code": True}, "code True"),
    ({"seed": -1}, r"seed -1: every image's seed must be from 0 to 2\^64 - 1"),
    ({"seed": 2**64}, "seed 18446744073709551616"),
    ({"seed": 1.5}, "seed 1.5: give an integer"),
    ({"seed": [1, 2]}, r"seed \[1, 2\]: give an integer"),
    ({"negative_prompt": "a\0"}, "NUL"),
    ({"latents": np.zeros((3, 8, 8), np.float32)}, r"latents of shape \(3, 8, 8\): give \(4, 8, 8\)"),
    ({"latents": np.zeros((2, 4, 8, 8), np.float32)}, r"give \(4, 8, 8\), or another size"),
    ({"latents": np.zeros((4, 8, 8))}, "latents of float64: give a numpy array of float32"),
    ({"latents": np.zeros(4, np.float32)}, "latents with 1 dimensions"),
    ({"latents": np.full((4, 8, 8), np.inf, np.float32)}, "not finite"),
    ({"latents": np.zeros((4, 6, 8), np.float32)}, "height 12: give a multiple of 8"),
    ({"latents": np.zeros((4, 8, 8), np.float32), "size": (8, 8)}, r"give \(4, 4, 4\)"),
]


@pytest.mark.parametrize(
    ("options", "message"), BAD, ids=[str(next(iter(case[0].items())))[:40] for case in BAD]
)
def test_values_out_of_range(runtime: Pipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        runtime.generate("red", GenerationParams(**options))


def test_the_last_seed(runtime: Pipeline) -> None:
    assert runtime.generate("red", GenerationParams(seed=2**64 - 1))[0].seed == 2**64 - 1
    with pytest.raises(UsageError, match="seed 18446744073709551616"):
        runtime.generate(["red", "red"], GenerationParams(seed=2**64 - 1))


def test_no_prompts(runtime: Pipeline) -> None:
    with pytest.raises(UsageError, match="no prompt"):
        runtime.generate([])


def test_threads_are_not_more_than_any_machine_has(bundle_path: Path) -> None:
    with pytest.raises(UsageError, match="threads 4097: give an integer from 1 to 4096"):
        Pipeline.open(bundle_path, threads=4097)


@pytest.mark.parametrize("name", ["batch", "memory", "threads"])
@pytest.mark.parametrize(
    ("value", "message"), [(0, "0: give an integer of at least 1"), ("2", "'2': give an")]
)
def test_limits_must_be_positive_integers(bundle_path: Path, name: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=f"{name} {message}"):
        Pipeline.open(bundle_path, **{name: value})


@pytest.mark.parametrize(("macs", "batch"), [(10**8, 8), (10**11, 1)])
def test_the_largest_expert_decides_how_many_share_a_call(copy_path: Path, macs: int, batch: int) -> None:
    edit(copy_path, lambda manifest: manifest["experts"]["2"].update(macs=macs))
    with Pipeline.open(copy_path, engine="cpu") as runtime:
        assert runtime.models.batch == batch


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "partial", experts=["0", "dense"])


@pytest.mark.parametrize("fallback", [{}, {"fallback": "0"}])
@pytest.mark.parametrize(("code", "build"), [(1, "--codes all`"), ("dense", "--codes all,dense`")])
def test_a_code_that_is_asked_for_is_never_replaced(
    tmp_path: Path, fallback: dict[str, str], code: int | str, build: str
) -> None:
    path = write_bundle(tmp_path / "one", experts=["0"])
    edit(path, lambda manifest: manifest["router"].update(fallback))
    with Pipeline.open(path, engine="cpu", cache=tmp_path) as runtime:
        with pytest.raises(
            CodeUnavailable, match=f"no expert for code '{code}'; it holds 0. Build .* {build}"
        ) as caught:
            runtime.generate("red", GenerationParams(code=code))
        assert str(path) not in str(caught.value)  # clients of a server read it
        assert runtime.generate("red", GenerationParams(code=0))[0].choice.expert == "0"


@pytest.fixture
def one(runtime: Pipeline, tmp_path: Path) -> Path:
    """A bundle with the expert of the first prompt and with dense; other prompts have other codes."""
    routes = runtime.route(PROMPTS)
    assert {route.code for route in routes[1:]} - {routes[0].code}
    return write_bundle(tmp_path / "one", experts=[str(routes[0].code), "dense"])


def test_a_code_without_an_expert_falls_back(one: Path, runtime: Pipeline, tmp_path: Path) -> None:
    edit(one, lambda manifest: manifest["router"].update(fallback="dense"))
    with Pipeline.open(one, engine="cpu", cache=tmp_path) as opened:
        images = opened.generate(PROMPTS)
        for image, route in zip(images, runtime.route(PROMPTS), strict=True):
            there = str(route.code) in opened.bundle.manifest.experts
            expert = str(route.code) if there else "dense"
            assert image.choice == RoutingDecision(expert, route.code, route.margin, not there)
            again = opened.generate(image.prompt, GenerationParams(seed=image.seed or 0, code="dense"))
            assert (images_of(again) == images_of([image])) is not there


def test_a_failure_does_not_stop_the_others(one: Path, runtime: Pipeline, tmp_path: Path) -> None:
    heard: dict[int, Generated | RuntimeFailure] = {}
    with Pipeline.open(one, engine="cpu", cache=tmp_path, batch=1) as opened:
        with pytest.raises(CodeUnavailable, match="no expert for code .* and no fallback"):
            opened.generate(PROMPTS, on_image=heard.__setitem__)
        good = opened.generate(PROMPTS[0])
    assert sorted(heard) == [0, 1, 2, 3]
    for index, route in enumerate(runtime.route(PROMPTS)):
        there = str(route.code) in ("dense", good[0].choice.expert)
        assert isinstance(heard[index], Generated if there else CodeUnavailable)
    assert isinstance(heard[0], Generated)
    assert images_of([heard[0]]) == images_of(good)


def test_an_expert_that_is_damaged_spoils_only_its_own_images(copy_path: Path, tmp_path: Path) -> None:
    heard: dict[int, Generated | RuntimeFailure] = {}
    with Pipeline.open(copy_path, engine="cpu", cache=tmp_path / "cache", batch=1) as runtime:
        codes = [route.code for route in runtime.route(PROMPTS)]
        (copy_path / f"experts/{codes[0]}/unet/model.onnx.data").write_bytes(b"")
        with pytest.raises(IntegrityError):
            runtime.generate(PROMPTS, on_image=heard.__setitem__)
    kinds = [type(heard[index]) for index in range(len(PROMPTS))]
    assert kinds == [IntegrityError if code == codes[0] else Generated for code in codes]


def test_an_image_is_heard_of_before_the_next_is_made(bundle_path: Path, cache_path: Path) -> None:
    order: list[tuple[str, int]] = []
    with Pipeline.open(bundle_path, engine="cpu", cache=cache_path, batch=1) as runtime:
        runtime.generate(
            "red", GenerationParams(code=0)
        )  # from here on, its engine and the decoder are there
        runtime.generate(
            ["red", "blue"],
            GenerationParams(code=0, steps=2),
            on_step=lambda index, *_: order.append(("step", index)),
            on_image=lambda index, _: order.append(("image", index)),
        )
    assert order == [*[("step", 0)] * 2, ("image", 0), *[("step", 1)] * 2, ("image", 1)]


def test_an_interrupt_is_passed_on(runtime: Pipeline) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runtime.generate("red", on_image=interrupt)


def test_a_negative_prompt_that_is_cut_says_so(runtime: Pipeline) -> None:
    long = "blue " * 10
    image = runtime.generate("red", GenerationParams(negative_prompt=long))[0]
    assert (image.dropped_tokens, image.negative_dropped_tokens) == (0, 4)
    assert (
        runtime.generate("red", GenerationParams(negative_prompt=long, guidance=1.0))[
            0
        ].negative_dropped_tokens
        == 0
    )


def test_what_the_routers_own_encoder_drops_counts(copy_path: Path, tmp_path: Path) -> None:
    # The other encoder's tokenizer takes a prompt as a single word.
    whole = json.loads((copy_path / "tokenizer/tokenizer.json").read_bytes())
    (copy_path / "tokenizer/whole.json").write_text(json.dumps({**whole, "pre_tokenizer": None}))
    relist(copy_path, "tokenizer/whole.json")

    def change(manifest: dict[str, Any]) -> None:
        text = manifest["encoders"][0]
        frame = {**text["tokenizer"], "file": "tokenizer/whole.json"}
        manifest["encoders"].append({**text, "name": "whole", "tokenizer": frame})
        manifest["conditioning"][0]["encoder"] = "whole"

    edit(copy_path, change)
    with Pipeline.open(copy_path, engine="cpu", cache=tmp_path / "cache") as runtime:
        assert runtime.generate("red " * 9)[0].dropped_tokens == 3
        assert (
            runtime.generate("red " * 9, GenerationParams(code=0))[0].dropped_tokens == 0
        )  # nobody asked the router


def test_memory_bounds_experts_and_decoder_together(
    bundle_path: Path, cache_path: Path, runtime: Pipeline
) -> None:
    sizes = [runtime.models.cost(runtime.models.bucket("0", 1, 8, 8))]
    sizes.append(runtime.models.cost(runtime.models.decoder_bucket(8, 8)))
    wanted = images_of(runtime.generate(PROMPTS))
    with Pipeline.open(bundle_path, engine="cpu", cache=cache_path, memory=max(sizes)) as tight:
        assert images_of(tight.generate(PROMPTS)) == wanted
        assert 0 < tight.core.status().memory_used <= max(sizes) < sum(sizes)


def test_memory_that_cannot_hold_the_largest_engine(bundle_path: Path, cache_path: Path) -> None:
    with pytest.raises(UsageError, match="memory 719: the weights of .* alone hold 720 bytes"):
        Pipeline.open(bundle_path, engine="cpu", cache=cache_path, memory=719)


@pytest.mark.parametrize("broken", ["out_sample", "sample"])
def test_what_is_not_finite_is_no_image(
    bundle_path: Path, cache_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    run = Session.run

    def poison(session: Session, output: str, inputs: Any) -> Any:
        result = run(session, output, inputs)
        return np.full_like(result, np.nan) if output == broken else result

    with Pipeline.open(bundle_path, engine="cpu", cache=cache_path) as runtime:
        monkeypatch.setattr(Session, "run", poison)
        with pytest.raises(EngineFailure, match="not finite"):
            runtime.generate("red")


def test_a_constant_image_is_marked(runtime: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    flat = np.full((3, 16, 16), 0.3, np.float32)
    monkeypatch.setattr(runtime.models, "decode", lambda *_: (flat, 0.0))
    assert runtime.generate("red")[0].blank


def test_prompts_unlike_those_of_the_training_are_sent_away(copy_path: Path, tmp_path: Path) -> None:
    with Pipeline.open(copy_path, engine="cpu", cache=tmp_path / "cache") as runtime:
        plain = runtime.generate(PROMPTS)
    guard = {"threshold": 5.0, "expert": "dense"}
    edit(copy_path, lambda manifest: manifest["router"].update(out_of_distribution=guard))
    with Pipeline.open(copy_path, engine="cpu", cache=tmp_path / "cache") as runtime:
        images = runtime.generate(PROMPTS)
        forced = runtime.generate(PROMPTS, GenerationParams(code="dense"))
    sent = [image.choice.out_of_distribution for image in images]
    assert {*sent} == {True, False}
    for image, before, dense in zip(images, plain, forced, strict=True):
        choice = image.choice
        assert (choice.code, choice.margin) == (before.choice.code, before.choice.margin)
        assert choice.out_of_distribution == (choice.distance > 5.0)
        assert choice.expert == ("dense" if choice.out_of_distribution else str(choice.code))
        assert images_of([image]) == images_of([dense if choice.out_of_distribution else before])
        assert (dense.choice.distance, dense.choice.out_of_distribution) == (None, False)


def test_an_expert_for_prompts_out_of_distribution_that_is_not_there(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "two", experts=["0", "1", "2", "3"])
    guard = {"threshold": 1e-3, "expert": "dense"}
    edit(path, lambda manifest: manifest["router"].update(out_of_distribution=guard))
    with (
        Pipeline.open(path, engine="cpu", cache=tmp_path) as runtime,
        pytest.raises(CodeUnavailable, match="no expert for code 'dense' and no fallback"),
    ):
        runtime.generate("red")
    edit(path, lambda manifest: manifest["router"].update(fallback="0"))
    with Pipeline.open(path, engine="cpu", cache=tmp_path) as runtime:
        choice = runtime.generate("red")[0].choice
    assert (choice.expert, choice.fell_back, choice.out_of_distribution) == ("0", True, True)


def test_who_does_not_ask_hears_of_no_steps(runtime: Pipeline) -> None:
    told: SimpleQueue[Any] = SimpleQueue()
    core = runtime.core
    core.submit(core.request(PROMPTS[0], GenerationParams(steps=3), RequestOptions(), told.put))
    heard = [type(told.get(timeout=60)) for _ in range(3)]
    assert heard == [Queued, Started, Finished]
