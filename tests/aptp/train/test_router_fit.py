"""The served result: the same whenever it is read, balanced, and routed alike by every form of the router."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from aptp.convert.conversion import ROW_0, gated_router
from aptp.convert.layout import Structure
from aptp.convert.published import Published
from aptp.model.gates import GatedUNet
from aptp.model.router import Router
from aptp.model.sliced import gates_of, slice_unet
from aptp.space.discover import discover
from aptp.train.gate_policy import GatePolicy
from aptp.train.method import Method
from aptp.train.router_fit import Deployment, deploy, served_routes, usage
from tests.aptp.train.spaces import ours, policy, prompts, rng, small, spread_codes, theirs
from tests.aptp.trainer.toys import drawn
from tests.geometries import make_inputs, make_unet

SEEN = 4096


def trained(method: Method) -> GatePolicy:
    """A policy as training might leave it: pruned codes, a predictor with a preference."""
    made = spread_codes(policy(method))
    with torch.no_grad():
        made.predictor.bias.normal_(generator=rng(2))
    return made


def deployed(method: Method, seed: int = 0) -> Deployment:
    return deploy(trained(method), small()[1], prompts(SEEN), rng(seed))


def test_noise_free_codes_are_the_same_whenever_they_are_read() -> None:
    first, second = (deployed(ours(), seed) for seed in (0, 1))
    assert first.architectures == second.architectures
    assert torch.equal(first.prices, second.prices)


def test_the_published_codes_are_a_sample() -> None:
    first, second, again = (deployed(theirs(), seed).architectures for seed in (0, 1, 0))
    assert first == again
    assert first != second
    quiet = [deployed(theirs(noisy_codes=False), seed).architectures for seed in (0, 1)]
    assert quiet[0] == quiet[1]


def test_codes_are_what_training_ran_under() -> None:
    found = deployed(ours(fitted=False))
    hard = found.policy.relaxation(found.policy.codes).hard
    for row, architecture in zip(hard, found.architectures, strict=True):
        np.testing.assert_array_equal(row.detach().numpy() == 1, architecture.keep)


def test_the_served_router_is_the_method_s_own_rule_where_that_is_linear() -> None:
    found = deployed(ours())
    router = found.router(prompts(SEEN))
    unseen = prompts(3000, seed=9)
    assert usage(found, router, small()[1], unseen).agreement == 1
    assert router.codes.shape == (4, small()[0].size)


@pytest.mark.parametrize("noise", [True, False])
def test_the_served_router_is_the_published_rule(noise: bool) -> None:
    found = deployed(theirs(noise=noise))
    router = found.router(prompts(SEEN))
    assert router.kind == "gated"
    measured = usage(found, router, small()[1], prompts(3000, seed=9))
    assert measured.agreement > 0.995  # all but near-ties, which go to the lower code
    assert max(measured.use) < 1


def test_the_published_noise_is_that_of_converted_experts() -> None:
    """Both commands serve the same rule: seed 0 anew for every group, and by rank for the depth gates."""
    found = deployed(theirs())
    space, relaxation = found.policy.space, found.policy.relaxation
    made = found.router(prompts(SEEN))
    structure = Structure((tuple(group.gates for group in space.widths),), (True,) * len(space.depths))
    gates = relaxation(found.policy.codes).soft.detach()
    order = tuple(relaxation.order.tolist())
    told = Published(structure, *found.policy.predictor.affine(), gates, order, 0.4, 3.0, ())
    converted = gated_router(told, space, ROW_0)
    assert torch.equal(made.noise, converted.noise)
    sizes = [*structure.groups, structure.depths]
    starts = [0, *np.cumsum(sizes)[:-1].tolist()]
    assert len({float(made.noise[start]) for start in starts}) == 1
    converted.codes.data.copy_(made.codes)
    unseen = prompts(3000, seed=9)
    assert torch.equal(served_routes(made, unseen), served_routes(converted, unseen))


def test_the_served_router_repeats_a_mixture_of_rules_as_a_line_can() -> None:
    found = deployed(theirs(hard=True))
    router = found.router(prompts(SEEN))
    own = found.routes(prompts(3000, seed=9))
    share = usage(found, router, small()[1], prompts(3000, seed=9)).agreement
    assert share > own.bincount().max().item() / 3000  # better than always the favourite
    assert share > 0.6


def test_balance_and_budget_hold_for_prompts_that_come_alone() -> None:
    unseen = prompts(4096, seed=9)
    for method, level in ((ours(), 0.6), (ours(budget=0.7, codes=3), 0.7)):
        found = deployed(method)
        measured = usage(found, found.router(prompts(SEEN)), small()[1], unseen)
        assert np.abs(np.array(measured.use) - 1 / method.codes).max() < 0.04
        assert measured.budget == pytest.approx(level, rel=0.02)
        assert sum(measured.use) == pytest.approx(1)
    free = deployed(ours(balanced=False))
    assert max(usage(free, free.router(unseen), small()[1], unseen).use) > 0.4


def test_routes_do_not_depend_on_batch_or_order() -> None:
    found = deployed(ours())
    router, unseen = found.router(prompts(SEEN)), prompts(257, seed=9)
    whole = served_routes(router, unseen)
    order = torch.randperm(257, generator=rng(1))
    assert torch.equal(served_routes(router, unseen[order]), whole[order])
    for size in (1, 2, 64):
        assert torch.equal(torch.cat([served_routes(router, part) for part in unseen.split(size)]), whole)


def test_the_router_survives_storage() -> None:
    router = deployed(ours()).router(prompts(SEEN))
    again = Router(router.predictor.in_features, router.predictor.out_features, 4)
    again.load_state_dict(router.state_dict())
    unseen = prompts(300, seed=9)
    assert torch.equal(served_routes(again, unseen), served_routes(router, unseen))


@pytest.mark.parametrize("align", [1, 4])
def test_mask_equals_slice_for_learned_codes(align: int) -> None:
    found = deployed(ours(align=align))
    unet, masked = make_unet("sd2"), make_unet("sd2")
    supernet = GatedUNet(masked, discover(masked))
    inputs = make_inputs(unet)
    for architecture in found.architectures:
        with torch.no_grad():
            mask = supernet(**inputs, gates=gates_of(architecture, 2, torch.float64))
            sliced = slice_unet(unet, architecture)(**inputs).sample
        assert (mask - sliced).abs().max() <= 1e-12 * sliced.std()


@pytest.mark.parametrize("fitted", [True, False])
def test_aligned_codes_keep_multiples(fitted: bool) -> None:
    found = deployed(ours(align=4, fitted=fitted))
    for architecture in found.architectures:
        for group, columns in found.policy.space.columns():
            kept = int(architecture.keep[columns].sum())
            if group.kind in ("resnet", "feed_forward"):
                assert kept == group.gates or kept * group.chunk % 4 == 0


def test_two_codes_alike_share_their_prompts_by_the_lower() -> None:
    made = trained(ours(fitted=False))
    with torch.no_grad():
        made.codes[1] = made.codes[0]
    found = deploy(made, small()[1], prompts(SEEN), rng())
    measured = usage(found, found.router(prompts(SEEN)), small()[1], prompts(500, seed=9))
    assert measured.use[1] == 0
    assert sum(measured.use) == pytest.approx(1)


FLAGS = [item.name for item in fields(Method) if isinstance(getattr(ours(), item.name), bool)]


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("base", [ours(warm_up=1), theirs(warm_up=1)], ids=["ours", "theirs"])
def test_every_correction_can_be_made_or_undone_alone(base: Method, flag: str) -> None:
    method = replace(base, **{flag: not getattr(base, flag)})
    made = trained(method)
    for step in (0, 1):
        choice = made(prompts(8), step < method.warm_up, drawn(8))
        assert choice.gates.shape == (8, small()[0].size)
        assert torch.isfinite(choice.gates).all()
    found = deploy(made, small()[1], prompts(512), rng())
    measured = usage(found, found.router(prompts(512)), small()[1], prompts(512, seed=9))
    assert sum(measured.use) == pytest.approx(1)
    if method.linear_routing:
        assert measured.agreement == 1
