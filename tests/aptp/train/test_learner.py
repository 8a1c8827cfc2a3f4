"""One step of stage 1 on a pipeline of the smallest geometry."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aptp.data.batches import Batch, batches
from aptp.data.scenes.source import Scenes
from aptp.pipeline import read_pipeline
from aptp.space.discover import discover
from aptp.train.gate_policy import GatePolicy
from aptp.train.learner import CodeLearner
from aptp.train.losses import gain_loss
from aptp.train.method import Method, RouterLossWeights
from aptp.train.pricing import costs
from tests.aptp.train.spaces import ours, spread_codes, theirs
from tests.aptp.trainer.toys import drawn

TERMS = {"diffusion", "output", "blocks", "budget", "contrast", "deviation", "largest"}
LATE = 10**6


@pytest.fixture(scope="module")
def batch() -> Batch:
    found = next(batches(Scenes(), 4))
    return replace(found, images=found.images[:, :, ::4, ::4].contiguous())


def learner(
    dense: Path, method: Method, *, pruned: bool = True, recompute: bool = False, at_once: int | None = None
) -> CodeLearner:
    pipeline = read_pipeline(dense, torch.float32)
    if recompute:
        pipeline.unet.enable_gradient_checkpointing()
    space = discover(pipeline.unet)
    policy = GatePolicy(space, method, torch.zeros(pipeline.text_encoder.config.hidden_size), 1.0, 0)
    _, budget = costs(pipeline, space, (32, 32), method)
    return CodeLearner(pipeline, spread_codes(policy) if pruned else policy, budget, at_once=at_once)


def gradients(made: CodeLearner, terms: dict[str, Tensor]) -> dict[str, Tensor]:
    names, parameters = zip(*made.trained().items(), strict=True)
    found = torch.autograd.grad(terms["loss"], parameters, allow_unused=True)
    return {name: gradient for name, gradient in zip(names, found, strict=True) if gradient is not None}


@pytest.mark.parametrize("method", [ours(warm_up=5), theirs()], ids=["ours", "theirs"])
@pytest.mark.parametrize("step", [0, LATE])
def test_the_loss_is_the_weighted_sum_of_its_terms(
    dense: Path, batch: Batch, method: Method, step: int
) -> None:
    found = learner(dense, method)(batch, step, drawn(4, step=step))
    late = {"largest_share"} if step else set()
    gain = {"gain"} if step and method.task_gradient else set()
    assert set(found) == TERMS | gain | late | {"loss", "cheapest", "mean", "dearest"}
    weighted = sum(getattr(method.weights, name) * found[name] for name in TERMS | gain)
    torch.testing.assert_close(found["loss"], weighted)
    assert found["cheapest"] <= found["mean"] <= found["dearest"]


def test_only_the_policy_is_trained(dense: Path, batch: Batch) -> None:
    made = learner(dense, ours())
    assert set(made.trained()) == {"policy.predictor.weight", "policy.predictor.bias", "policy.codes"}
    made(batch, LATE, drawn(4))["loss"].backward()
    assert all(p.grad is None for p in made.supernet.parameters())
    assert all(p.grad is not None and p.grad.any() for p in made.trained().values())


def test_without_a_task_gradient_only_the_contrastive_loss_moves_the_predictor(
    dense: Path, batch: Batch
) -> None:
    silent = RouterLossWeights(contrast=0.0)
    for task_gradient in (True, False):
        made = learner(dense, ours(task_gradient=task_gradient, weights=silent))
        found = gradients(made, made(batch, LATE, drawn(4)))
        assert found["policy.codes"].any()
        assert found["policy.predictor.weight"].any().item() is task_gradient


def test_open_gates_are_the_teacher(dense: Path, batch: Batch) -> None:
    found = learner(dense, ours(), pruned=False)(batch, LATE, drawn(4))
    assert found["output"].item() == found["blocks"].item() == 0
    assert found["mean"].item() == 1
    pruned = learner(dense, ours())(batch, LATE, drawn(4))
    assert pruned["output"] > 0
    assert pruned["blocks"] > 0


def test_the_same_step_is_the_same_whenever_it_is_taken(dense: Path, batch: Batch) -> None:
    made = learner(dense, theirs())
    first, again, other = (made(batch, LATE, drawn(4, step=step))["loss"].item() for step in (7, 7, 8))
    assert first == again != other


def test_the_gain_is_measured_on_the_same_noise(
    dense: Path, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def spy(lead: Tensor, gain: Tensor) -> Tensor:
        seen.append(gain)
        return gain_loss(lead, gain)

    monkeypatch.setattr("aptp.train.losses.gain_loss", spy)
    learner(dense, ours(), pruned=False)(batch, LATE, drawn(4))
    assert torch.equal(seen[0], torch.zeros(4))  # codes that keep everything differ in nothing
    learner(dense, ours())(batch, LATE, drawn(4))
    assert (seen[1] > 0).any()
    assert (seen[1] < 0).any()


def test_gradient_checkpointing_changes_nothing(dense: Path, batch: Batch) -> None:
    found = []
    for recompute in (False, True):
        made = learner(dense, ours(), recompute=recompute)
        found.append(gradients(made, made(batch, LATE, drawn(4))))
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name])


@pytest.mark.parametrize("method", [ours(warm_up=5), theirs()], ids=["ours", "theirs"])
@pytest.mark.parametrize("step", [0, LATE])
def test_slices_learn_what_the_whole_batch_teaches(
    dense: Path, batch: Batch, method: Method, step: int
) -> None:
    """Routes, transport and contrast are the batch's; the UNet alone takes a few rows at a time."""
    whole = learner(dense, method)
    terms = whole(batch, step, drawn(4))
    wanted = gradients(whole, terms)
    for at_once in (1, 3):
        made = learner(dense, method, at_once=at_once, recompute=at_once == 3)
        rows: list[int] = []
        made.supernet.register_forward_pre_hook(lambda module, args, rows=rows: rows.append(len(args[0])))
        routed: list[int] = []
        made.policy.register_forward_pre_hook(lambda module, args, routed=routed: routed.append(len(args[0])))
        found = made(batch, step, drawn(4))
        assert (max(rows), routed) == (at_once, [4])
        for name, value in terms.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
        for name, gradient in gradients(made, found).items():
            scale = float(wanted[name].abs().max())
            torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-5 * scale)


def test_dropped_captions_are_dropped_for_the_unet_and_not_for_the_router(
    dense: Path, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = learner(dense, ours(dropped=0.999))
    contexts: list[Any] = []
    made.supernet.register_forward_pre_hook(lambda module, args: contexts.append(args[2]))
    routed: list[Tensor] = []
    made.policy.register_forward_pre_hook(lambda module, args: routed.append(args[0]))
    made(batch, LATE, drawn(4))
    assert (contexts[0] == contexts[0][:1]).all()
    assert not torch.equal(routed[0][0], routed[0][1])


def test_under_autocast_routing_stays_in_float32(dense: Path, batch: Batch) -> None:
    made = learner(dense, ours())
    routed: list[Tensor] = []
    made.policy.register_forward_pre_hook(lambda module, args: routed.append(args[0]))
    made(batch, LATE, drawn(4))
    with torch.autocast("cpu", torch.bfloat16):
        found = made(batch, LATE, drawn(4))
    assert torch.equal(*routed)
    assert found["loss"].dtype == torch.float32
