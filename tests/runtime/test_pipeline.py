"""The whole path, against a plain reading of docs/BUNDLE.md."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from runtime import Generated, Runtime
from runtime.bundle.reader import Bundle
from runtime.engines.residency import Bucket
from runtime.errors import CodeUnavailable, EngineFailure, IntegrityError, UsageError
from runtime.noise import normal
from tests.bundles import CHANNELS, SCALE, SOLVERS, WORDS, edit, write_bundle

PROMPTS = ["a red circle", "blue", "", "a small square and a large circle"]


def oracle(
    bundle: Bundle, prompt: str, noise: np.ndarray, steps: int, guidance: float, solver: str
) -> np.ndarray:
    """An image made from the portable graphs with none of the runtime's own code."""

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
    width = 2 + 2 * window
    table = np.frombuffer((bundle.root / f"schedules/{solver}.bin").read_bytes(), "<f4").reshape(-1, width)
    states, outputs = [noise], []
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
        total = np.zeros_like(noise)
        for back in range(min(window, index + 1)):
            total = total + row[2 + back] * states[index - back]
        for back in range(min(window, index + 1)):
            total = total + row[2 + window + back] * outputs[index - back]
        states.append(total)
    decoded = session("vae_decoder/model.onnx").run(
        None, {"latent_sample": states[-1][None] / np.float32(0.5)}
    )[0][0]
    return np.round(255 * np.clip(decoded / 2 + 0.5, 0, 1)).astype(np.uint8).transpose(1, 2, 0)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("steps", [1, 5, 10])
def test_images_follow_the_page(
    runtime: Runtime, bundle: Bundle, solver: str, guidance: float, steps: int
) -> None:
    images = runtime.generate(PROMPTS, seed=5, steps=steps, guidance=guidance, solver=solver)
    for index, image in enumerate(images):
        expected = oracle(
            bundle, PROMPTS[index], normal(5 + index, (CHANNELS, 8, 8)), steps, guidance, solver
        )
        difference = np.abs(image.image.astype(int) - expected)
        assert difference.max() <= 1
        assert (difference == 0).mean() > 0.999


def test_the_reply(runtime: Runtime) -> None:
    images = runtime.generate(["red " * 9, "blue"], seed=7)
    assert [image.prompt for image in images] == ["red " * 9, "blue"]
    assert [image.seed for image in images] == [7, 8]
    assert [image.dropped_tokens for image in images] == [3, 0]
    for image, route in zip(images, runtime.route(["red " * 9, "blue"]), strict=True):
        assert image.image.shape == (16, 16, 3)
        assert image.image.dtype == np.uint8
        assert (image.choice.code, image.choice.margin) == route
        assert image.choice.expert == str(route.code)
        assert not image.choice.fell_back
        assert image.milliseconds > 0
        assert not image.blank
        assert (image.settings.solver, image.settings.steps, image.settings.guidance) == ("ddim", 4, 2.5)


def images_of(results: list[Generated]) -> list[bytes]:
    return [result.image.tobytes() for result in results]


def test_alone_and_in_a_crowd(bundle_path: Path, cache_path: Path, runtime: Runtime) -> None:
    alone = [runtime.generate(prompt, seed=index)[0] for index, prompt in enumerate(PROMPTS * 2)]
    with Runtime.open(bundle_path, provider="cpu", cache=cache_path, batch=3, threads=1) as crowd:
        assert images_of(crowd.generate(PROMPTS * 2)) == images_of(alone)


def test_seeds_and_latents(runtime: Runtime) -> None:
    noise = np.stack([normal(seed, (CHANNELS, 8, 8)) for seed in (3, 4)])
    seeded = runtime.generate(["red", "red"], seed=3)
    given = runtime.generate(["red", "red"], latents=noise)
    assert images_of(seeded) == images_of(given) == images_of(runtime.generate(["red", "red"], seed=[3, 4]))
    assert images_of(seeded)[0] != images_of(seeded)[1]
    assert [image.seed for image in given] == [None, None]
    assert images_of(runtime.generate(["red", "red"], latents=noise[0])) == images_of(seeded)[:1] * 2


def test_sizes(runtime: Runtime) -> None:
    assert runtime.generate("red", size=(16, 24))[0].image.shape == (16, 24, 3)
    assert runtime.generate("red", latents=np.ones((CHANNELS, 16, 4), np.float32))[0].image.shape == (
        32,
        8,
        3,
    )


def test_the_negative_prompt_steers_only_with_guidance(runtime: Runtime) -> None:
    def made(**options: Any) -> bytes:
        return runtime.generate("red", code=0, **options)[0].image.tobytes()

    assert made(negative_prompt="blue") != made()
    assert made(negative_prompt="blue", guidance=1.0) == made(guidance=1.0)
    assert made(guidance=1.0) != made()


def test_the_code_can_be_chosen(runtime: Runtime) -> None:
    images = [runtime.generate("red", code=code)[0] for code in (0, 1, "dense")]
    assert [(image.choice.expert, image.choice.code) for image in images] == [
        ("0", 0),
        ("1", 1),
        ("dense", None),
    ]
    assert [image.choice.margin for image in images] == [None] * 3
    assert len(set(images_of(images))) == 3


def test_steps_are_reported(runtime: Runtime) -> None:
    seen: list[tuple[int, int, int]] = []
    runtime.generate(["red", "blue"], steps=3, on_step=lambda *step: seen.append(step))
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
    ({"size": (9, 16)}, "height 9: give a multiple of 8 from 8 to 32 pixels"),
    ({"size": (16, 40)}, "width 40: give a multiple of 8 from 8 to 32 pixels"),
    ({"size": (0, 16)}, "height 0"),
    ({"size": (16.0, 16)}, "height 16.0: give an integer"),
    ({"size": 16}, "give height and width"),
    ({"solver": "ddmi"}, r"solver 'ddmi': this bundle has ddim, plms \(did you mean 'ddim'\?\)"),
    ({"solver": 3}, "solver 3: this bundle has"),
    ({"code": 4}, "code 4: give an integer from 0 to 3, or 'dense'"),
    ({"code": -1}, "code -1"),
    ({"code": "0"}, "code '0'"),
    ({"code": True}, "code True"),
    ({"seed": -1}, r"seed -1: every image's seed must be from 0 to 2\^64 - 1"),
    ({"seed": 2**64}, "seed 18446744073709551616"),
    ({"seed": 1.5}, "seed 1.5: give an integer"),
    ({"seed": [1, 2]}, "2 seeds for 1 prompts"),
    ({"negative_prompt": "a\0"}, "NUL"),
    ({"latents": np.zeros((3, 8, 8), np.float32)}, r"latents of shape \(3, 8, 8\): give \(4, 8, 8\)"),
    ({"latents": np.zeros((2, 4, 8, 8), np.float32)}, r"or \(1, 4, 8, 8\)"),
    ({"latents": np.zeros((4, 8, 8))}, "latents of float64: give a numpy array of float32"),
    ({"latents": np.zeros(4, np.float32)}, "latents with 1 dimensions"),
    ({"latents": np.full((4, 8, 8), np.inf, np.float32)}, "not finite"),
    ({"latents": np.zeros((4, 6, 8), np.float32)}, "height 12: give a multiple of 8"),
    ({"latents": np.zeros((4, 8, 8), np.float32), "size": (8, 8)}, r"give \(4, 4, 4\)"),
]


@pytest.mark.parametrize(
    ("options", "message"), BAD, ids=[str(next(iter(case[0].items())))[:40] for case in BAD]
)
def test_values_out_of_range(runtime: Runtime, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        runtime.generate("red", **options)


def test_the_last_seed(runtime: Runtime) -> None:
    assert runtime.generate("red", seed=2**64 - 1)[0].seed == 2**64 - 1
    with pytest.raises(UsageError, match="seed 18446744073709551616"):
        runtime.generate(["red", "red"], seed=2**64 - 1)


def test_no_prompts(runtime: Runtime) -> None:
    with pytest.raises(UsageError, match="no prompt"):
        runtime.generate([])


@pytest.mark.parametrize("name", ["batch", "memory", "threads"])
def test_limits_must_be_positive(bundle_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} 0: give an integer of at least 1"):
        Runtime.open(bundle_path, **{name: 0})


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "partial", experts=["0", "dense"])


def test_a_code_without_an_expert_is_refused(partial: Path, tmp_path: Path) -> None:
    with Runtime.open(partial, provider="cpu", cache=tmp_path) as runtime:
        with pytest.raises(
            CodeUnavailable, match="no expert for code '1' and no fallback; it holds 0, dense"
        ):
            runtime.generate("red", code=1)
        assert runtime.generate("red", code=0)[0].choice.expert == "0"


def test_a_code_without_an_expert_falls_back(partial: Path, tmp_path: Path) -> None:
    edit(partial, lambda manifest: manifest["router"].update(fallback="dense"))
    with Runtime.open(partial, provider="cpu", cache=tmp_path) as runtime:
        image = runtime.generate("red", code=1)[0]
        assert (image.choice.expert, image.choice.code, image.choice.fell_back) == ("dense", 1, True)
        assert images_of([image]) == images_of(runtime.generate("red", code="dense"))


def test_memory_bounds_what_is_resident(bundle_path: Path, cache_path: Path) -> None:
    with Runtime.open(bundle_path, provider="cpu", cache=cache_path, memory=1) as runtime:
        runtime.generate(["red", "red"], code=1)
        runtime.generate("red", code=2)
        assert runtime._models._engines.buckets == [Bucket("2", 2, 8, 8)]


@pytest.mark.parametrize("target", ["_engines", "_decoders"])
def test_what_is_not_finite_is_no_image(bundle_path: Path, cache_path: Path, target: str) -> None:
    class Broken:
        def run(self, *arguments: Any) -> np.ndarray:
            shape = (1, 3, 8 * SCALE, 8 * SCALE) if target == "_decoders" else arguments[0].shape
            return np.full(shape, np.nan, np.float32)

    with Runtime.open(bundle_path, provider="cpu", cache=cache_path) as runtime:
        opened: Callable[[Bucket], Any] = lambda _: Broken()  # noqa: E731
        getattr(runtime._models, target)._open = opened
        with pytest.raises(EngineFailure, match="not finite"):
            runtime.generate("red")


def test_a_constant_image_is_marked(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    flat = np.full((3, 16, 16), 0.3, np.float32)
    monkeypatch.setattr(runtime._models, "decode", lambda _: (flat, 0.0))
    assert runtime.generate("red")[0].blank


def test_a_swap_while_an_engine_opens_is_seen(
    copy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(copy_path, lambda manifest: manifest["experts"]["0"]["model"].pop("serve"))
    with Runtime.open(copy_path, provider="cpu", cache=tmp_path / "cache") as runtime:
        from runtime import models

        real = models.open_session
        weights = copy_path / "experts/0/unet/model.onnx.data"

        def swap(*arguments: Any, **options: Any) -> Any:
            weights.write_bytes(weights.read_bytes()[::-1])
            return real(*arguments, **options)

        monkeypatch.setattr(models, "open_session", swap)
        with pytest.raises(IntegrityError, match=r"experts/0/unet/model.onnx.data"):
            runtime.generate("red", code=0)
