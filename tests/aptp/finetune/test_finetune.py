"""Stage 2: experts learn on their own prompts, the rest of the checkpoint stays, runs resume exactly."""

import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from aptp.checkpoint.reader import Checkpoint
from aptp.data.batches import batches
from aptp.data.scenes.source import Scenes
from aptp.encode.making import Making
from aptp.encode.task import EncodeTask, Opened
from aptp.evaluate.models_under_test import Subjects
from aptp.evaluate.routing import routes
from aptp.evaluate.sampling import SamplingOptions
from aptp.finetune.learner import ExpertLearner
from aptp.finetune.run import ExpertTask
from aptp.finetune.samples import classifier
from aptp.finetune.stage import RECIPE, finetune
from aptp.finetune.weights import ExpertLossWeights
from aptp.new.create import create
from aptp.pipeline import read_pipeline
from aptp.trainer import memory, metrics_log, validation
from aptp.trainer.loop import RunOptions
from aptp.trainer.rng import draws
from runtime.errors import RuntimeFailure, SpaceError, UsageError
from tests.aptp.data import datasets
from tests.aptp.trainer.toys import drawn
from tests.checkpoints import mini_checkpoint
from tests.encoders import give_encoder

SHORT = replace(RECIPE, steps=3, batch=4, warmup=1, decay=1, rate=1e-3)
PLAIN = RunOptions(precision="no")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    create(folder, preset="tiny", budgets=(0.5, 0.8))
    return Checkpoint.open(folder)


def tuned(source, tmp_path, codes=(0, 1), recipe=SHORT, options=PLAIN, name="out", data=None, **rest):
    of_task = {key: rest.pop(key) for key in ("train_size", "latents") if key in rest}
    task = ExpertTask(source, codes, data, recipe, ExpertLossWeights(), **of_task)
    return finetune(task, tmp_path / name, tmp_path / f"{name}.run", options, **rest)


def learner(source, codes=(0, 1), **memory):
    experts = {code: source.expert(str(code)) for code in codes}
    pipeline = read_pipeline(source.path, torch.float32)
    return ExpertLearner(pipeline, experts, ExpertLossWeights(), **memory)


def weights_of(checkpoint, name):
    return checkpoint.expert(name).state_dict()


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def result(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("result")
    assert tuned(source, folder)
    return Checkpoint.open(folder / "out"), folder


def test_all_experts_change_and_nothing_else(source, result):
    made, _ = result
    made.verify()
    assert not same(weights_of(source, "0"), weights_of(made, "0"))
    assert not same(weights_of(source, "1"), weights_of(made, "1"))
    for component in ("unet", "vae", "text_encoder", "tokenizer", "router.safetensors"):
        assert made.digest(component) == source.digest(component)
    assert made.architectures == source.architectures
    assert made.record.trained
    assert made.record.provenance["from"]["digest"] == source.digest()


def test_experts_are_stored_as_the_dense_one_is(source, result):
    made, _ = result
    for folder in ("experts/0", "unet"):
        stored = load_file(made.path / folder / "diffusion_pytorch_model.safetensors")
        assert {tensor.dtype for tensor in stored.values()} == {torch.float16}


def test_one_expert_alone_becomes_what_it_becomes_beside_others(source, result, tmp_path):
    assert tuned(source, tmp_path, codes=(1,))
    (together, _), alone = result, Checkpoint.open(tmp_path / "out")
    assert same(weights_of(source, "0"), weights_of(alone, "0"))
    assert same(weights_of(together, "1"), weights_of(alone, "1"))


def test_sessions_of_one_step_that_are_looked_at_equal_one_session(source, result, tmp_path, monkeypatch):
    monkeypatch.setattr(validation, "ROWS", 8)
    made, folder = result
    looking = replace(PLAIN, minutes=0, validate_every=2, draw_every=3)
    while not tuned(source, tmp_path, options=looking):
        assert not (tmp_path / "out").exists()
    again, run = Checkpoint.open(tmp_path / "out"), tmp_path / "out.run"
    assert all(same(weights_of(made, code), weights_of(again, code)) for code in ("0", "1"))
    losses = [[line["loss"] for line in metrics_log.read(each)] for each in (folder / "out.run", run)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3
    measured = [line for line in metrics_log.read(run) if "validation.loss" in line]
    assert [line["step"] for line in measured] == [1, 2]
    assert measured[0].keys() >= {"validation.loss.0", "validation.loss.1"}
    with Image.open(run / "pictures/step-0000003.png") as sheet:
        assert sheet.size == (4 * 64, 2 * 64)
        assert sheet.getextrema() != ((0, 0),) * 3


def test_legs_in_slices_from_a_cache_that_are_validated_equal_an_unbroken_run(source, tmp_path, monkeypatch):
    monkeypatch.setattr(validation, "ROWS", 4)
    cache, short = tmp_path / "cache", replace(SHORT, steps=2, batch=2)
    task = EncodeTask(source.path, None, 12, precision="no", text="float16")
    Making(Opened.open(task), cache, lambda what, done, total: None).run()
    cached = {"recipe": short, "latents": cache, "at_once": 1}
    assert tuned(source, tmp_path, name="unbroken", **cached)
    validated = replace(PLAIN, minutes=0, validate_every=2)
    while not tuned(source, tmp_path, name="legs", options=validated, **cached):
        assert not (tmp_path / "legs").exists()
    made, again = (Checkpoint.open(tmp_path / name) for name in ("unbroken", "legs"))
    for code in ("0", "1"):
        assert same(weights_of(made, code), weights_of(again, code))
        assert not same(weights_of(source, code), weights_of(again, code))
    records = [metrics_log.read(tmp_path / f"{name}.run") for name in ("unbroken", "legs")]
    assert len(records[0]) == 2
    assert [line["loss"] for line in records[0]] == [line["loss"] for line in records[1]]
    assert [line["step"] for line in records[1] if "validation.loss.1" in line] == [1]
    assert len(again.record.provenance["latents"]) == 64


def test_each_expert_learns_from_its_own_rows_only(source):
    whole, batch = learner(source), next(batches(Scenes(), 8))
    others = batch.images.clone()
    others[1::2] = 0
    losses, gradients = [], []
    for images in (batch.images, others):
        losses.append(whole(replace(batch, images=images), 0, drawn(8)))
        losses[-1]["loss"].backward()
        gradients.append({name: parameter.grad for name, parameter in whole.trained().items()})
        whole.zero_grad()
    assert losses[0]["loss.0"] == losses[1]["loss.0"]
    assert losses[0]["loss.1"] != losses[1]["loss.1"]
    assert losses[0]["loss"] == losses[0]["loss.0"] + losses[0]["loss.1"]
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]) == name.startswith("experts.0."), name


def test_slices_learn_what_the_whole_batch_teaches(source):
    batch, wanted = next(batches(Scenes(), 8)), None
    for at_once in (None, 1, 3):
        made, rows = learner(source, at_once=at_once), []
        for unet in (made.teacher, *made.experts.values()):
            unet.register_forward_pre_hook(lambda module, args, rows=rows: rows.append(len(args[0])))
        found = made(batch, 0, drawn(8))
        found["loss"].backward()
        gradients = {name: parameter.grad for name, parameter in made.trained().items()}
        if at_once is None:
            terms, wanted = found, gradients
            continue
        assert max(rows) == at_once
        assert found.keys() == terms.keys()
        for name, value in terms.items():
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7)
        for name, gradient in wanted.items():
            scale = float(gradient.abs().max())
            torch.testing.assert_close(gradients[name], gradient, rtol=1e-3, atol=1e-4 * scale)


def test_a_process_without_a_row_of_an_expert_gives_it_a_gradient_of_zero(source):
    one = learner(source)
    batch = next(batches(Scenes(), 1))
    terms = one(batch, 0, draws(0, 0, range(2, 3), 4))
    assert terms["loss.1"] == 0
    assert terms["loss"] > 0
    terms["loss"].backward()
    # Zero, not missing: the other processes wait for it.
    assert all(p.grad is not None and not p.grad.any() for p in one.experts["1"].parameters())


def test_captions_are_routed_by_the_checkpoints_own_encoder(source, tmp_path):
    captions = [Scenes()[i].caption for i in range(64)]
    folder = shutil.copytree(source.path, tmp_path / "own")
    own = Checkpoint.open(give_encoder(folder, captions))
    classify = classifier(
        own, read_pipeline(own.path, torch.float32), torch.device("cpu"), own.prompt_encoder()
    )
    codes = classify(captions).tolist()
    assert codes == routes(own.router(), own.prompt_encoder(), captions)
    assert codes == Subjects(own, SamplingOptions()).codes(captions)
    assert set(codes) == {0, 1}


def test_an_expert_that_keeps_everything_starts_at_its_teacher(tmp_path):
    create(tmp_path / "full", preset="tiny", budgets=(1.0,))
    full = learner(Checkpoint.open(tmp_path / "full"), (0,))
    full._weights = ExpertLossWeights(diffusion=0.0)
    with torch.no_grad():
        loss = full(next(batches(Scenes(), 4)), 0, drawn(4))["loss"]
    assert loss.item() == pytest.approx(0, abs=1e-9)


def test_an_occupied_target_is_refused_before_hours_are_spent(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        tuned(source, tmp_path)


def test_another_checkpoint_is_not_resumed_into(source, tmp_path):
    assert not tuned(source, tmp_path, options=replace(PLAIN, minutes=0))
    create(tmp_path / "other", preset="tiny", budgets=(0.5, 0.8), seed=1)
    with pytest.raises(UsageError, match="checkpoint was"):
        tuned(Checkpoint.open(tmp_path / "other"), tmp_path)


def test_trained_at_another_size_than_is_served(source, tmp_path):
    pictures = tmp_path / "pictures"
    datasets.folder(pictures, 8)
    once, data = replace(SHORT, steps=1), f"folder:{pictures}"
    assert tuned(source, tmp_path, codes=(0,), recipe=once, data=data, train_size=(32, 48))
    made = Checkpoint.open(tmp_path / "out")
    assert made.record.size == (64, 64)
    assert made.record.provenance["train_size"] == [32, 48]


def test_sizes_that_cannot_be_trained_at(source, tmp_path):
    for size, error in (((66, 64), UsageError), ((68, 64), SpaceError)):
        with pytest.raises(error, match="must be multiples of 4"):
            tuned(source, tmp_path, train_size=size)
    with pytest.raises(UsageError, match="scenes are pictures of 64x64"):
        tuned(source, tmp_path, train_size=(32, 32))


@pytest.mark.parametrize(
    ("room", "precision", "message"),
    [(100, "no", "this training needs"), (2**60, "fp16", "fp16 needs a GPU")],
)
def test_what_cannot_run_is_refused_before_captions_are_routed(
    source, tmp_path, monkeypatch, room, precision, message
):
    monkeypatch.setattr(memory, "whole", lambda: room)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(RuntimeFailure, match=message):
        tuned(source, tmp_path, options=replace(PLAIN, precision=precision))
    assert not (tmp_path / "out.run").exists()


def test_data_has_to_be_named_for_another_kind_of_pipeline(tmp_path, tmp_path_factory):
    mini = Checkpoint.open(mini_checkpoint(tmp_path_factory))
    with pytest.raises(UsageError, match="--data is missing: .* is not of the default's kind"):
        tuned(mini, tmp_path)
    assert not (tmp_path / "out.run").exists()


def test_unknown_data_is_refused_by_name(source, tmp_path):
    with pytest.raises(UsageError, match=r"no data named 'scene' \(did you mean 'scenes'"):
        tuned(source, tmp_path, data="scene")
