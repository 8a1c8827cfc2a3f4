"""Both stages learn from a cache what they learn from pictures, and refuse the cache of another run."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from aptp.checkpoint.reader import Checkpoint
from aptp.data.cache import source
from aptp.encode.task import EncodeTask
from aptp.finetune.stage import RECIPE, finetune
from aptp.finetune.weights import ExpertLossWeights
from aptp.train import publish, stage
from aptp.train.method import RECIPES
from aptp.train.run import RouterTask
from aptp.train.stage import train
from aptp.trainer import metrics_log
from aptp.trainer.loop import RunOptions
from runtime.errors import DataError, UsageError
from tests.aptp.data.datasets import folder
from tests.aptp.encode.conftest import BATCH, Make
from tests.aptp.train.spaces import ours
from tests.checkpoints import mini_checkpoint

PLAIN = RunOptions(precision="no")
# A caption's embeddings depend on the company it is encoded in, to rounding. Adam's first steps divide by it.
LOSS, WEIGHTS = 1e-5, 1e-4


@pytest.fixture(autouse=True)
def few_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "CENTRING", 8)
    monkeypatch.setattr(publish, "PRICING", 32)
    monkeypatch.setattr(publish, "HELD_OUT", 8)


@pytest.fixture
def first(dense: Path, pictures: Path) -> RouterTask:
    recipe = replace(RECIPES["tiny"], steps=3, batch=BATCH, warmup=1, decay=1)
    return RouterTask(dense, f"folder:{pictures}", ours(warm_up=1), recipe)


def routed(task: RouterTask, out: Path, options: RunOptions = PLAIN) -> bool:
    return train(task, out, out.with_name(f"{out.name}.run"), options) is not None


def tuned(checkpoint: Checkpoint, out: Path, data: str, cache: Path | None, minutes: float = 60) -> bool:
    return finetune(
        checkpoint,
        out,
        (0, 1),
        data=data,
        recipe=replace(RECIPE, steps=3, batch=BATCH, warmup=1, decay=1),
        weights=ExpertLossWeights(),
        options=replace(PLAIN, minutes=minutes),
        folder=out.with_name(f"{out.name}.run"),
        latents=cache,
    )


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in metrics_log.read(out.with_name(f"{out.name}.run"))]


def skipped(out: Path) -> list[float]:
    return [line["skipped"] for line in metrics_log.read(out.with_name(f"{out.name}.run"))]


def close(outs: Sequence[Path], states: Sequence[dict[str, torch.Tensor]]) -> None:
    assert losses(outs[1]) == pytest.approx(losses(outs[0]), rel=LOSS)
    assert skipped(outs[1]) == skipped(outs[0])
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=WEIGHTS, atol=WEIGHTS)


def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every picture that is read be an error."""

    def read(*_: object) -> bytes:
        raise AssertionError

    monkeypatch.setattr("aptp.data.storage.read", read)


def test_stage_1(
    task: EncodeTask, first: RouterTask, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(task, tmp_path / "cache")
    outs = tmp_path / "pictures", tmp_path / "cached"
    assert routed(first, outs[0])
    no_pictures(monkeypatch)
    assert routed(replace(first, latents=tmp_path / "cache"), outs[1])
    close(outs, [Checkpoint.open(out).router().state_dict() for out in outs])
    assert len(Checkpoint.open(outs[1]).record.provenance["latents"]) == 64


def test_stage_2(
    task: EncodeTask,
    make: Make,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = mini_checkpoint(tmp_path_factory)
    make(replace(task, source=start), tmp_path / "cache")
    outs = tmp_path / "pictures", tmp_path / "cached"
    checkpoint = Checkpoint.open(start)
    assert tuned(checkpoint, outs[0], task.data, None)
    no_pictures(monkeypatch)
    while not tuned(checkpoint, outs[1], task.data, tmp_path / "cache", minutes=0):  # leg after leg
        assert not outs[1].exists()
    states = [Checkpoint.open(out).expert(code).state_dict() for out in outs for code in ("0", "1")]
    close(outs, states[::2])
    close(outs, states[1::2])


def test_one_cache_serves_both_stages(
    task: EncodeTask, first: RouterTask, make: Make, tmp_path: Path
) -> None:
    make(replace(task, text="none"), tmp_path / "cache")
    assert routed(replace(first, latents=tmp_path / "cache"), tmp_path / "routed")
    assert tuned(Checkpoint.open(tmp_path / "routed"), tmp_path / "tuned", task.data, tmp_path / "cache")


def test_a_run_from_pictures_does_not_go_on_from_a_cache(
    task: EncodeTask, first: RouterTask, make: Make, tmp_path: Path
) -> None:
    make(task, tmp_path / "cache")
    assert not routed(first, tmp_path / "out", replace(PLAIN, minutes=0))
    with pytest.raises(UsageError, match="belongs to another run: latents was None"):
        routed(replace(first, latents=tmp_path / "cache"), tmp_path / "out")


def test_caches_of_other_runs_are_refused_by_name(
    task: EncodeTask, first: RouterTask, make: Make, dense: Path, tmp_path: Path
) -> None:
    make(task, tmp_path / "cache")
    cached = replace(first, latents=tmp_path / "cache")
    folder(tmp_path / "others", 40)
    vae, text = tmp_path / "vae", tmp_path / "text"
    for copy, part, name in (
        (vae, "vae/diffusion_pytorch_model.safetensors", "encoder.conv_in.bias"),
        (text, "text_encoder/model.safetensors", "final_layer_norm.bias"),
    ):
        shutil.copytree(dense, copy)
        state = load_file(copy / part)
        (key,) = (key for key in state if key.endswith(name))
        state[key] += 1
        save_file(state, copy / part, metadata={"format": "pt"})
    for other, options, message in (
        (replace(cached, source=vae), PLAIN, "vae was"),
        (replace(cached, source=text), PLAIN, "text_encoder was"),
        (replace(cached, size=(64, 64)), PLAIN, r"size was \[32, 32\] and is now \[64, 64\]"),
        (replace(cached, data=f"folder:{tmp_path / 'others'}"), PLAIN, 'data was {"name": "folder"'),
        (cached, RunOptions(precision="bf16"), 'precision was "no" and is now "bf16"'),
    ):
        with pytest.raises(UsageError, match=rf"is a cache of something else: {message}.*aptp\.encode"):
            routed(other, tmp_path / "out", options)
    with pytest.raises(DataError, match="is no cache of encodings"):
        routed(replace(first, latents=tmp_path), tmp_path / "out")


def test_the_decoder_is_no_part_of_a_cache(
    task: EncodeTask, first: RouterTask, make: Make, dense: Path, tmp_path: Path
) -> None:
    make(task, tmp_path / "cache")
    other = shutil.copytree(dense, tmp_path / "other")
    path = other / "vae/diffusion_pytorch_model.safetensors"
    state = load_file(path)
    state["decoder.conv_out.bias"] += 1
    save_file(state, path, metadata={"format": "pt"})
    cached = replace(first, source=other, latents=tmp_path / "cache")
    assert not routed(cached, tmp_path / "out", replace(PLAIN, minutes=0))


def test_another_seed_has_an_order_of_its_own(
    task: EncodeTask, first: RouterTask, make: Make, tmp_path: Path
) -> None:
    make(task, tmp_path / "cache")
    cached = replace(first, latents=tmp_path / "cache", recipe=replace(first.recipe, seed=5, steps=1))
    assert routed(cached, tmp_path / "out")
    plan = source.finished_plan(tmp_path / "cache")
    orders = [[source.CachedSource(tmp_path / "cache", plan, s)[i].caption for i in range(8)] for s in (0, 5)]
    assert orders[0] != orders[1]
