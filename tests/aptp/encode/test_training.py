"""Both stages learn from a cache what they learn from pictures, and refuse the cache of another run."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from aptp.checkpoint.reader import Checkpoint
from aptp.data.batches import batches
from aptp.data.cache.source import CachedSource, finished_plan
from aptp.data.captions import Window
from aptp.data.sample import NamedSource, Sample
from aptp.data.sources import open_source
from aptp.encode.task import EncodeTask, Opened
from aptp.finetune import samples
from aptp.finetune.learner import ExpertLearner
from aptp.finetune.run import ExpertTask
from aptp.finetune.stage import RECIPE, finetune
from aptp.finetune.weights import ExpertLossWeights
from aptp.pipeline import classic_attention, read_pipeline
from aptp.train import publish, stage
from aptp.train.method import RECIPES
from aptp.train.run import RouterTask
from aptp.train.stage import train
from aptp.trainer import metrics_log
from aptp.trainer.feed import Feed, open_feed
from aptp.trainer.loop import RunOptions
from aptp.trainer.rng import draws
from runtime.errors import UsageError
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
    cache = tmp_path / "cache"
    make(task, cache)
    outs = tmp_path / "routed", tmp_path / "cached"
    assert routed(first, outs[0])
    no_pictures(monkeypatch)
    assert routed(replace(first, latents=cache), outs[1])
    close(outs, [Checkpoint.open(out).router().state_dict() for out in outs])
    assert len(Checkpoint.open(outs[1]).record.provenance["latents"]) == 64


def test_stage_2(
    task: EncodeTask,
    make: Make,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A whole run on one pass, from pictures that show how they were cropped and mirrored."""

    def by_number(captions: Sequence[str]) -> torch.Tensor:
        return torch.tensor([int(caption.split()[-1]) % 2 for caption in captions])

    monkeypatch.setattr(samples, "classifier", lambda *_: by_number)
    folder(tmp_path / "pictures", 24)
    for path in (tmp_path / "pictures").rglob("*.jpg"):
        Image.linear_gradient("L").resize((70, 50)).rotate(30).save(path)
    checkpoint = Checkpoint.open(mini_checkpoint(tmp_path_factory))
    data, cache = f"folder:{tmp_path / 'pictures'}", tmp_path / "cache"
    make(replace(task, source=checkpoint.path, data=data, samples=None), cache)
    recipe = replace(RECIPE, steps=2, batch=BATCH, warmup=1, decay=1)
    outs = tmp_path / "tuned", tmp_path / "cached"
    for out, latents in zip(outs, (None, cache), strict=True):
        tuning = ExpertTask(checkpoint, (0, 1), data, recipe, ExpertLossWeights(), latents=latents)
        assert finetune(tuning, out, out.with_name(f"{out.name}.run"), PLAIN)
    assert losses(outs[1]) == pytest.approx(losses(outs[0]), rel=LOSS)


def test_stage_2_learns_from_a_cached_batch_what_it_learns_from_its_pictures(
    task: EncodeTask, make: Make, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    checkpoint = Checkpoint.open(mini_checkpoint(tmp_path_factory))
    task, cache = replace(task, source=checkpoint.path), tmp_path / "cache"
    make(task, cache)
    pipeline = read_pipeline(checkpoint.path, torch.float32)
    experts = {code: checkpoint.expert(str(code)) for code in (0, 1)}
    classic_attention(pipeline.unet, pipeline.vae, *experts.values())
    assert task.data
    pictures = open_source(task.data, size=(32, 32), fits=Window(pipeline.tokenizer))
    terms, gradients = [], []
    for place in (None, cache):
        feed = open_feed(pipeline, pictures, size=(32, 32), precision="no", seed=0, cache=place)
        learner = ExpertLearner(pipeline, experts, ExpertLossWeights(), feed.inputs, at_once=3)
        learner.zero_grad()
        terms.append(learner(next(batches(feed.source, 8)), 0, draws(0, 0, range(8), 8)))
        terms[-1]["loss"].backward()
        gradients.append({name: parameter.grad for name, parameter in learner.trained().items()})
    for name, value in terms[0].items():
        torch.testing.assert_close(terms[1][name], value, rtol=LOSS, atol=0)
    for name, gradient in gradients[0].items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(gradients[1][name], gradient, rtol=WEIGHTS, atol=WEIGHTS * scale)


def test_some_samples_of_a_cache_come_once_a_pass_in_an_order_shuffled_anew(
    task: EncodeTask, make: Make, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    make(task, cache)
    source = CachedSource(cache, finished_plan(cache), 0)
    positions = torch.tensor([9, 2, 4, 7, 0])
    some = source.only(positions)
    assert (source.count, some.count) == (18, 5)
    wanted = {source[int(position)].caption: source[int(position)] for position in positions}
    passes = [[some[5 * turn + i] for i in range(5)] for turn in range(4)]
    for shown in passes:
        assert {sample.caption for sample in shown} == wanted.keys()
        for sample in shown:
            assert sample.encodings
            assert torch.equal(sample.encodings.moments, _moments(wanted[sample.caption]))
    assert [sample.caption for sample in passes[0]] == [source[i].caption for i in positions.tolist()]
    assert len({tuple(sample.caption for sample in shown) for shown in passes}) > 1
    bare = source.captions()
    assert [bare[i].caption for i in range(40)] == [source[i].caption for i in range(40)]
    assert bare[0].encodings is None
    assert source[0].encodings is not None


def _moments(sample: Sample) -> torch.Tensor:
    assert sample.encodings
    return sample.encodings.moments


def test_a_run_from_pictures_does_not_go_on_from_a_cache(
    task: EncodeTask, first: RouterTask, make: Make, tmp_path: Path
) -> None:
    make(task, tmp_path / "cache")
    assert not routed(first, tmp_path / "out", replace(PLAIN, minutes=0))
    with pytest.raises(UsageError, match="belongs to another run: latents was None"):
        routed(replace(first, latents=tmp_path / "cache"), tmp_path / "out")


def test_caches_of_other_runs_are_refused_by_name(task: EncodeTask, make: Make, tmp_path: Path) -> None:
    made, cache = Opened.open(task), tmp_path / "cache"
    make(task, cache)
    folder(tmp_path / "others", 39)
    others = open_source(f"folder:{tmp_path / 'others'}", size=(32, 32))

    def changed(name: str) -> DiffusionPipeline:
        pipeline = copy.copy(made.pipeline)
        part, _, weight = name.partition(".")
        setattr(pipeline, part, copy.deepcopy(getattr(pipeline, part)))
        with torch.no_grad():
            getattr(pipeline, part).get_parameter(weight).add_(1)
        return pipeline

    def opened(
        pipeline: DiffusionPipeline = made.pipeline,
        source: NamedSource = made.source,
        size: tuple[int, int] = (32, 32),
        precision: str = "no",
    ) -> Feed:
        return open_feed(pipeline, source, size=size, precision=precision, seed=0, cache=cache)

    opened()
    opened(changed("vae.decoder.conv_out.bias"))  # no part of it
    for other, message in (
        (lambda: opened(changed("vae.encoder.conv_in.bias")), "vae was"),
        (lambda: opened(changed("text_encoder.final_layer_norm.bias")), "text_encoder was"),
        (lambda: opened(size=(64, 64)), r"size was \[32, 32\] and is now \[64, 64\]"),
        (lambda: opened(source=others), 'data was {"name": "folder"'),
        (lambda: opened(precision="bf16"), 'precision was "no" and is now "bf16"'),
    ):
        with pytest.raises(UsageError, match=rf"is a cache of something else: {message}.*aptp\.encode"):
            other()
