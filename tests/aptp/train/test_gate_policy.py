"""The gates that a prompt runs under, and where gradients go."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from aptp.train.budget import Budget
from aptp.train.gate_policy import CodeChoice, GatePolicy
from aptp.train.losses import budget_loss, deviation_loss, gain_loss
from aptp.train.method import TRANSPORTS, Method
from runtime.errors import TrainingError
from tests.aptp.train.spaces import ours, policy, prompts, rng, small, spread_codes, theirs
from tests.aptp.trainer.toys import drawn

PREDICTOR = ("predictor.weight", "predictor.bias")


def reached(policy: GatePolicy, loss: Tensor) -> set[str]:
    """The parameters that `loss` would move."""
    found = torch.autograd.grad(loss, list(policy.parameters()), allow_unused=True, retain_graph=True)
    named = zip(dict(policy.named_parameters()), found, strict=True)
    return {name for name, gradient in named if gradient is not None and gradient.any()}


def chosen(method: Method, step: int = 10**6, seed: int = 0) -> tuple[GatePolicy, CodeChoice]:
    made = spread_codes(policy(method))
    return made, made(prompts(16), step < method.warm_up, drawn(16, seed))


@pytest.mark.parametrize("method", [ours(warm_up=5), theirs()], ids=["ours", "theirs"])
def test_in_the_warm_up_the_task_and_the_budget_teach_the_predictor(method: Method) -> None:
    made, choice = chosen(method, step=0)
    assert choice.assigned is None
    assert choice.rival is None
    weights = torch.randn(choice.gates.shape, generator=rng())
    assert reached(made, (choice.gates * weights).sum()) == set(PREDICTOR)
    assert reached(made, (choice.built @ weights.T).sum()) == set(PREDICTOR)
    # Every parameter takes part all the same, as processes that share gradients need.
    assert all(g is not None for g in torch.autograd.grad(choice.gates.sum(), list(made.parameters())))


@pytest.mark.parametrize("method", [ours(), theirs()], ids=["ours", "theirs"])
def test_afterwards_they_teach_the_codes(method: Method) -> None:
    made, choice = chosen(method)
    weights = torch.randn(choice.gates.shape, generator=rng())
    assert reached(made, (choice.gates * weights).sum()) == {"codes"}
    assert reached(made, (choice.built**2 @ weights.T).sum()) == {"codes"}


@pytest.mark.parametrize("method", [ours(), theirs()], ids=["ours", "theirs"])
def test_the_contrastive_loss_teaches_the_predictor_alone(method: Method) -> None:
    made, choice = chosen(method)
    weights = torch.randn(choice.vectors.shape, generator=rng())
    assert reached(made, (choice.vectors * weights).sum()) == set(PREDICTOR)


def test_the_task_teaches_the_predictor_where_it_is_asked_to() -> None:
    made, choice = chosen(ours())
    assert choice.rival is not None
    assert choice.assigned is not None
    assert reached(made, choice.rival.lead.square().sum()) == set(PREDICTOR)
    assert not choice.rival.gates.requires_grad
    codes = made.relaxation(made.codes).hard
    rivals = [(codes == gates).all(1).nonzero().item() for gates in choice.rival.gates]
    assert all(rival != code for rival, code in zip(rivals, choice.assigned.tolist(), strict=True))
    assert len(set(rivals)) > 1
    assert chosen(ours(task_gradient=False))[1].rival is None
    assert chosen(ours(codes=1))[1].rival is None


def test_the_unet_runs_under_the_hard_gates_of_the_assigned_code() -> None:
    made, choice = chosen(ours())
    assert choice.assigned is not None
    assert torch.equal(choice.gates, made.relaxation(made.codes).hard[choice.assigned])
    assert choice.assigned.bincount().tolist() == [4, 4, 4, 4]
    _, soft = chosen(theirs())
    assert ((soft.gates > 0) & (soft.gates < 1)).any()


def test_the_budget_is_over_codes_where_shares_are_kept_and_over_samples_where_not() -> None:
    assert len(chosen(ours())[1].built) == 4
    _, choice = chosen(ours(balanced=False))
    assert torch.equal(choice.built, choice.gates)


def test_noise_is_drawn_anew_each_step_and_only_where_asked() -> None:
    for method, same in ((ours(), True), (theirs(), False)):
        first, second, again = (chosen(method, seed=seed)[1].gates for seed in (0, 1, 0))
        assert torch.equal(first, again)
        assert torch.equal(first.sum(0), second.sum(0)) is same


def test_sinkhorn_or_exact() -> None:
    _, choice = chosen(ours(transport="sinkhorn", iterations=1))
    assert choice.assigned is not None
    assert choice.assigned.bincount(minlength=4).max() > 4


def test_without_transport_a_prompt_goes_where_it_fits_best() -> None:
    made, choice = chosen(ours(transport="none"))
    fits = choice.vectors @ made.similarity.codes(made.relaxation(made.codes)).T
    assert choice.assigned is not None
    assert torch.equal(choice.assigned, fits.argmax(1))


@pytest.mark.parametrize("method", [ours(transport=name) for name in TRANSPORTS], ids=TRANSPORTS)
def test_scores_that_are_not_numbers(method: Method) -> None:
    made = policy(method)
    with torch.no_grad():
        made.predictor.weight.fill_(torch.nan)
    with pytest.raises(TrainingError, match="not numbers"):
        made(prompts(8), False, drawn(8))


def harm(gates: Tensor) -> Tensor:
    """A toy's loss [B]: gates are missed, some more than others."""
    need = torch.rand(gates.shape[1], generator=rng(5))
    return 0.01 * ((1 - gates) * need).square().sum(1)


def learned(method: Method, steps: int) -> tuple[GatePolicy, Budget]:
    """Half of the prompts miss gates eleven times as much as the other half."""
    _, cost = small()
    made, budget = policy(method), Budget(cost, method.budget)
    optimizer = torch.optim.AdamW(made.parameters(), 0.02, weight_decay=0.0)
    for step in range(steps):
        embedding = prompts(32, seed=step)
        weight = 0.1 + (embedding[:, 0] > 0).float()
        choice = made(embedding, step < method.warm_up, drawn(32, step=step))
        own, ratios = weight * harm(choice.gates), budget.ratios(choice.built)
        total = own.mean() + 2 * budget_loss(ratios, budget.aim) + deviation_loss(ratios, method.spread)
        if choice.rival:
            total = total + gain_loss(choice.rival.lead, own - weight * harm(choice.rival.gates))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return made, budget


def test_the_budget_and_the_spread_converge_and_those_who_need_it_get_the_better_codes() -> None:
    made, budget = learned(replace(ours(), budget=0.7), 300)
    with torch.no_grad():
        codes = made.relaxation(made.codes).hard
        costs = budget.ratios(codes)
        assert costs.mean().item() == pytest.approx(0.7, rel=0.05)
        assert costs.std().item() == pytest.approx(0.1, abs=0.03)
        embedding = prompts(400, seed=10**6)
        choice = made(embedding, False, drawn(400))
        assert choice.assigned is not None
        needy = embedding[:, 0] > 0
        missed = harm(codes)[choice.assigned]
    assert missed[needy].mean() < 0.9 * missed[~needy].mean()
