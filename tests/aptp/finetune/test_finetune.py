"""Stage 2: experts learn on their own prompts, the rest of the checkpoint stays, runs resume exactly."""

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from aptp.checkpoint.reader import Checkpoint
from aptp.data.batches import batches
from aptp.data.scenes.source import Scenes
from aptp.evaluate.models_under_test import Subjects
from aptp.evaluate.routing import routes
from aptp.evaluate.sampling import SamplingOptions
from aptp.finetune.learner import ExpertLearner
from aptp.finetune.stage import RECIPE, finetune
from aptp.finetune.weights import ExpertLossWeights
from aptp.new.create import create
from aptp.pipeline import read_pipeline
from aptp.trainer import metrics_log
from aptp.trainer.loop import RunOptions
from runtime.errors import UsageError
from tests.aptp.trainer.toys import drawn
from tests.encoders import give_encoder

SHORT = replace(RECIPE, steps=3, batch=8, warmup=1, decay=1, rate=1e-3)
PLAIN = RunOptions(precision="no")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    create(folder, preset="tiny", budgets=(0.5, 0.8))
    return Checkpoint.open(folder)


def tuned(source, tmp_path, codes=(0, 1), recipe=SHORT, options=PLAIN, name="out"):
    return finetune(
        source,
        tmp_path / name,
        codes,
        data="scenes",
        recipe=recipe,
        weights=ExpertLossWeights(),
        options=options,
        folder=tmp_path / f"{name}.run",
    )


def learner(source, codes=(0, 1)):
    experts = {code: source.expert(str(code)) for code in codes}
    pipeline = read_pipeline(source.path, torch.float32)
    return ExpertLearner(pipeline, source.router(), experts, ExpertLossWeights())


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


def test_one_expert_alone(source, tmp_path):
    assert tuned(source, tmp_path, codes=(1,))
    made = Checkpoint.open(tmp_path / "out")
    assert same(weights_of(source, "0"), weights_of(made, "0"))
    assert not same(weights_of(source, "1"), weights_of(made, "1"))


def test_sessions_of_one_step_equal_one_session(source, result, tmp_path):
    made, folder = result
    while not tuned(source, tmp_path, options=replace(PLAIN, minutes=0)):
        assert not (tmp_path / "out").exists()
    again = Checkpoint.open(tmp_path / "out")
    assert same(weights_of(made, "0"), weights_of(again, "0"))
    losses = [
        [line["loss"] for line in metrics_log.read(run)] for run in (folder / "out.run", tmp_path / "out.run")
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3


def test_each_expert_learns_from_its_own_prompts_only(source):
    whole, batch = learner(source), next(batches(Scenes(), 16))
    encoded = whole.inputs.text(batch)
    codes = whole.router.route(encoded.hidden, encoded.mask).tolist()
    assert set(codes) == {0, 1}
    kept = [i for i, code in enumerate(codes) if code == 0]
    own = replace(
        batch,
        captions=tuple(batch.captions[i] for i in kept),
        images=batch.images[kept],
        metadata=tuple(batch.metadata[i] for i in kept),
    )
    whole(own, 0, drawn(len(kept)))["loss"].backward()
    # Zero, not missing, as processes that share gradients need.
    assert all(p.grad is not None and not p.grad.any() for p in whole.experts["1"].parameters())
    assert any(p.grad is not None and p.grad.any() for p in whole.experts["0"].parameters())


def test_prompts_are_routed_by_the_checkpoints_own_encoder(source, tmp_path):
    batch = next(batches(Scenes(), 16))
    folder = shutil.copytree(source.path, tmp_path / "own")
    own = Checkpoint.open(give_encoder(folder, batch.captions))
    whole = ExpertLearner(
        read_pipeline(own.path, torch.float32),
        own.router(),
        {0: own.expert("0")},
        ExpertLossWeights(),
        own.prompt_encoder(),
    )
    _, codes = whole._read(batch, drawn(16))
    assert codes.tolist() == routes(own.router(), own.prompt_encoder(), batch.captions)
    assert codes.tolist() == Subjects(own, SamplingOptions()).codes(batch.captions)
    assert set(codes.tolist()) == {0, 1}


def test_a_batch_without_a_prompt_for_the_expert_teaches_nothing_and_breaks_nothing(source):
    one, batch = learner(source, (1,)), next(batches(Scenes(), 16))
    encoded = one.inputs.text(batch)
    foreign = [i for i, c in enumerate(one.router.route(encoded.hidden, encoded.mask)) if c == 0][:2]
    none = replace(
        batch,
        captions=tuple(batch.captions[i] for i in foreign),
        images=batch.images[foreign],
        metadata=tuple(batch.metadata[i] for i in foreign),
    )
    loss = one(none, 0, drawn(len(foreign)))["loss"]
    loss.backward()
    assert loss.item() == 0
    assert not any(p.grad is not None and p.grad.any() for p in one.parameters())


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


def test_unknown_data_is_refused_by_name(source, tmp_path):
    with pytest.raises(UsageError, match=r"no data named 'scene' \(did you mean 'scenes'"):
        finetune(
            source,
            tmp_path / "out",
            (0,),
            data="scene",
            recipe=SHORT,
            weights=ExpertLossWeights(),
            options=PLAIN,
            folder=tmp_path / "run",
        )
