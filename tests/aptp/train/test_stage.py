"""Stage 1 from a dense folder to a checkpoint that stage 2 and the export can read."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aptp.checkpoint.reader import Checkpoint
from aptp.data.sources import open_source
from aptp.evaluate.routing import routes
from aptp.model.prompt_encoder import read_prompt_encoder
from aptp.pipeline import build_pipeline, draws_scenes, read_pipeline
from aptp.presets import PRESETS as PIPELINES
from aptp.space.discover import discover
from aptp.space.groups import Kind, WidthGroup
from aptp.space.measured_cost import TableCost, table_cost
from aptp.space.profile_file import write
from aptp.train import publish, run, stage
from aptp.train.method import RECIPES
from aptp.train.router_fit import Usage
from aptp.train.run import RouterTask, Run
from aptp.train.stage import train
from aptp.trainer import metrics_log
from aptp.trainer.loop import RunOptions
from runtime.errors import SpaceError, TableError, UsageError
from tests.aptp.data.datasets import folder
from tests.aptp.train.spaces import ours, theirs
from tests.encoders import WIDTH, write_encoder
from tests.profiles import SETTING, profile

SHORT = replace(RECIPES["tiny"], steps=4, batch=4, warmup=1, decay=1)
PLAIN = RunOptions(precision="no")
SCENES = (64, 64)
TASK = RouterTask(Path(), "scenes", ours(warm_up=1), SHORT, guidance=3.0, train_size=SCENES)


@pytest.fixture(autouse=True)
def few_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "CENTRING", 32)
    monkeypatch.setattr(publish, "PRICING", 256)
    monkeypatch.setattr(publish, "HELD_OUT", 64)


def result(task: RouterTask, folder: Path, options: RunOptions = PLAIN, name: str = "out") -> Usage | None:
    return train(task, folder / name, folder / f"{name}.run", options)


def same(one: Checkpoint, other: Checkpoint) -> bool:
    states = [made.router().state_dict() for made in (one, other)]
    return one.architectures == other.architectures and all(
        torch.equal(states[0][name], states[1][name]) for name in states[0]
    )


def test_what_it_leaves(dense: Path, tmp_path: Path) -> None:
    found = result(replace(TASK, source=dense), tmp_path)
    assert found is not None
    made = Checkpoint.open(tmp_path / "out")
    made.verify()
    cost = made.cost()
    for k, (code, architecture) in enumerate(zip(made.record.codes, made.architectures, strict=True)):
        assert code.budget == pytest.approx(cost.of(architecture) / cost.dense)
        assert code.budget == found.costs[k]
        assert made.expert(str(k)).dtype == torch.float32  # as asked; stored as the dense one is
    assert sum(found.costs) / 4 == pytest.approx(0.6, rel=0.01)
    assert found.agreement == 1
    assert made.record.size == (32, 32)
    assert made.record.trained
    assert made.record.guidance == 3
    provenance = made.record.provenance
    assert provenance["budget"] == {"in": "MACs"}
    assert provenance["train_size"] == [64, 64]
    assert provenance["method"]["hard"] is True
    assert provenance["recipe"]["steps"] == 4
    assert provenance["held_out"]["budget"] == found.budget
    assert str(tmp_path) not in json.dumps(provenance)


def test_an_encoder_of_its_own_for_routing(dense: Path, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "mpnet")
    found = result(replace(TASK, source=dense, prompt_encoder=encoder), tmp_path)
    assert found is not None
    made = Checkpoint.open(tmp_path / "out")
    made.verify()
    assert made.record.prompt_encoder == "prompt_encoder"
    assert made.routed_frame == {"length": 24, "bos": 0, "eos": 2, "pad": 1}
    own, router = made.prompt_encoder(), made.router()
    assert own is not None
    assert own.digest() == read_prompt_encoder(encoder).digest()
    assert router.predictor.in_features == WIDTH
    unseen = [open_source("scenes", seed=0, split="test")[i].caption for i in range(64)]
    use = np.bincount(routes(router, own, unseen), minlength=4) / 64
    assert found.use == pytest.approx(use)
    assert found.agreement == 1


def test_a_run_does_not_go_on_with_another_encoder(dense: Path, tmp_path: Path) -> None:
    task = replace(TASK, source=dense, prompt_encoder=write_encoder(tmp_path / "one"))
    assert result(task, tmp_path, replace(PLAIN, minutes=0)) is None
    with pytest.raises(UsageError, match="belongs to another run"):
        result(replace(task, prompt_encoder=write_encoder(tmp_path / "two", seed=1)), tmp_path)
    with pytest.raises(UsageError, match="belongs to another run"):
        result(replace(task, prompt_encoder=None), tmp_path)


def seconds(dense: Path, path: Path) -> TableCost:
    """A profile at `path` of a machine whose resnets take twice what transformers take, and its costs."""
    space = discover(read_pipeline(dense, torch.float32).unet)
    setting = replace(SETTING, latent=(16, 16), tokens=77)

    def spent(group: WidthGroup, kept: int) -> float:
        return (2.0 if group.kind is Kind.RESNET else 1.0) * kept / group.gates

    found = profile(space, spent, {"conv_in": 1e-6}, setting)
    write(path, found)
    return table_cost(found, space, 16, 16, 77)


def test_a_budget_in_seconds(dense: Path, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    cost = seconds(dense, path)
    found = result(replace(TASK, source=dense, cost=path), tmp_path)
    assert found is not None
    made = Checkpoint.open(tmp_path / "out")
    shares = [cost.of(architecture) / cost.dense for architecture in made.architectures]
    assert found.costs == pytest.approx(shares)
    assert [code.budget for code in made.record.codes] == pytest.approx(shares)
    assert sum(shares) / 4 == pytest.approx(0.6, rel=0.01)
    # In MACs these codes cost something else.
    macs = made.cost()
    assert abs(sum(macs.of(one) / macs.dense for one in made.architectures) / 4 - 0.6) > 0.01
    budget = made.record.provenance["budget"]
    assert (budget["in"], budget["engine"], budget["latent"]) == ("seconds", "cpu (made up)", [16, 16])
    assert len(budget["profile"]) == 64


def test_a_run_in_macs_does_not_go_on_in_seconds(dense: Path, tmp_path: Path) -> None:
    task = replace(TASK, source=dense)
    assert result(task, tmp_path, replace(PLAIN, minutes=0)) is None
    path = tmp_path / "profile.json"
    seconds(dense, path)
    with pytest.raises(UsageError, match="belongs to another run"):
        result(replace(task, cost=path), tmp_path)


def test_a_method_with_a_count_of_its_own_has_no_use_for_seconds(dense: Path, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    seconds(dense, path)
    with pytest.raises(UsageError, match="add --set true_macs=true"):
        result(replace(TASK, source=dense, method=theirs(), cost=path), tmp_path)


def test_a_profile_at_another_size_is_refused(dense: Path, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    seconds(dense, path)
    with pytest.raises(TableError, match="holds for 16x16 latents and 77 tokens, not for 32x32"):
        result(replace(TASK, source=dense, size=(64, 64), cost=path), tmp_path)


def test_the_published_method_runs_through(dense: Path, tmp_path: Path) -> None:
    task = replace(TASK, source=dense, method=theirs(warm_up=2), size=(64, 64))
    found = result(task, tmp_path)
    assert found is not None
    assert 0 < found.agreement <= 1
    made = Checkpoint.open(tmp_path / "out")
    made.verify()
    assert made.record.size == (64, 64)


def test_sessions_of_one_step_equal_one_session(dense: Path, tmp_path: Path) -> None:
    task = replace(TASK, source=dense, method=theirs(warm_up=2))
    result(task, tmp_path, name="whole")
    sessions = 1
    while result(task, tmp_path, replace(PLAIN, minutes=0), "parts") is None:
        assert not (tmp_path / "parts").exists()
        sessions += 1
    assert sessions == 4
    assert same(*(Checkpoint.open(tmp_path / name) for name in ("whole", "parts")))
    lines = [metrics_log.read(tmp_path / f"{name}.run") for name in ("whole", "parts")]
    assert [line["loss"] for line in lines[0]] == [line["loss"] for line in lines[1]]


def test_another_run_s_state_is_refused(dense: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    folder(pictures, 40)
    task = replace(TASK, source=dense)
    assert result(task, tmp_path, replace(PLAIN, minutes=0)) is None
    others = (
        replace(task, method=ours(align=2)),
        replace(task, size=SCENES),
        replace(task, data=f"folder:{pictures}", train_size=(32, 32)),
    )
    for other in others:
        with pytest.raises(UsageError, match="belongs to another run: (method|size|data) was"):
            result(other, tmp_path)


def test_a_checkpoint_is_a_source_too_and_keeps_its_name(dense: Path, tmp_path: Path) -> None:
    result(replace(TASK, source=dense), tmp_path, name="first")
    once = replace(SHORT, steps=1)
    result(replace(TASK, source=tmp_path / "first", recipe=once), tmp_path, name="second")
    assert Checkpoint.open(tmp_path / "second").record.name == "mini"


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [((33, 32), UsageError, "multiples of 2 pixels"), ((34, 32), SpaceError, "multiples of 2")],
)
def test_sizes_that_cannot_be(
    dense: Path, tmp_path: Path, size: Sequence[int], error: type[Exception], message: str
) -> None:
    for task in (replace(TASK, size=tuple(size)), replace(TASK, train_size=tuple(size))):
        with pytest.raises(error, match=message):
            result(replace(task, source=dense), tmp_path)


def test_data_that_nobody_named_are_scenes_for_the_default_s_kind_alone(dense: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"--data is missing: .*mini is not of the default's kind.*folder:DIR"
    ):
        result(replace(TASK, source=dense, data=None), tmp_path)
    assert not (tmp_path / "out.run").exists()
    tiny = build_pipeline(PIPELINES["tiny"], 0, torch.float16)
    assert draws_scenes(tiny.unet.config)


def test_scenes_have_one_size(dense: Path, tmp_path: Path) -> None:
    task = replace(TASK, source=dense, train_size=None)
    with pytest.raises(UsageError, match="scenes are pictures of 64x64 pixels, and 32x32 are asked for"):
        result(task, tmp_path)
    assert not (tmp_path / "out.run").exists()


def test_trained_at_one_size_and_served_at_another(dense: Path) -> None:
    """The published method counts its budget where it trains, ours where images are drawn."""
    task = replace(TASK, source=dense, size=(128, 128))
    opened = [Run.open(replace(task, method=method)) for method in (ours(), theirs(true_macs=True), theirs())]
    served, trained = (opened[0].cost, Run.open(replace(task, size=SCENES)).cost)
    assert served.dense > 3.9 * trained.dense
    assert [each.cost.dense for each in opened] == [served.dense] * 3
    assert [each.budget.cost.dense for each in opened[:2]] == [served.dense, trained.dense]
    assert opened[2].budget.cost.dense < served.dense / 2
    assert {each.seen[0].image.shape for each in opened} == {(64, 64, 3)}


def test_an_occupied_target_is_refused_before_hours_are_spent(dense: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes").touch()
    with pytest.raises(UsageError, match="not empty"):
        result(replace(TASK, source=dense), tmp_path)
    assert not (tmp_path / "out.run").exists()


def test_pipelines_with_two_text_encoders_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = type("StableDiffusionXLPipeline", (), {})()
    monkeypatch.setattr(run, "read_pipeline", lambda *_: two)
    with pytest.raises(UsageError, match="one text encoder"):
        result(replace(TASK, source=tmp_path), tmp_path)
