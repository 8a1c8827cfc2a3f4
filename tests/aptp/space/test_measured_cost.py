"""A cost model made of measurements counts what was measured, rises with every gate and has gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aptp.space.architecture import Architecture, full, harden
from aptp.space.groups import Kind
from aptp.space.measured_cost import TableCost, curve, rising, table_cost
from aptp.space.profile import Profile
from runtime.errors import TableError
from tests.aptp.train.spaces import small
from tests.profiles import LATENT, TOKENS, counted, part, profile

SPACE, MACS = small()


def model(found: Profile) -> TableCost:
    return table_cost(found, SPACE, *LATENT, TOKENS)


@pytest.mark.parametrize("seed", range(3))
def test_a_machine_that_takes_a_nanosecond_per_mac_costs_its_macs(seed: int) -> None:
    architecture = harden(SPACE, np.random.default_rng(seed).random(SPACE.size))
    cost = model(counted(MACS))
    assert cost.of(architecture) == pytest.approx(1e-9 * MACS.of(architecture))
    assert cost.dense == pytest.approx(1e-9 * MACS.dense)
    assert cost.base == pytest.approx(1e-9 * MACS.base)


def test_rows_cost_what_their_architectures_cost() -> None:
    cost = model(profile(SPACE, lambda group, kept: 1 + kept**0.5))
    codes = [harden(SPACE, np.random.default_rng(seed).random(SPACE.size)) for seed in range(3)]
    gates = torch.tensor(np.stack([code.keep for code in codes]), dtype=torch.float32)
    assert cost(gates).tolist() == pytest.approx([cost.of(code) for code in codes])


def test_the_gradient_of_a_kept_gate_is_what_dropping_it_saves() -> None:
    cost = model(profile(SPACE, lambda group, kept: 1 + kept**1.5))
    architecture = harden(SPACE, np.random.default_rng(1).random(SPACE.size))
    gates = torch.tensor(architecture.keep, dtype=torch.float64).unsqueeze(0).requires_grad_()
    cost(gates).sum().backward()
    assert gates.grad is not None
    seen = 0
    for (_, columns), owner in zip(SPACE.columns(), SPACE.owner, strict=True):
        kept = np.flatnonzero(architecture.keep[columns])
        if len(kept) < 2 or (owner is not None and not architecture.keep[SPACE.width_gates + owner]):
            continue
        less = architecture.keep.copy()
        less[columns.start + kept[0]] = False
        saved = cost.of(architecture) - cost.of(Architecture(SPACE, less))
        assert gates.grad[0, columns.start + kept[0]].item() == pytest.approx(saved)
        seen += 1
    assert seen > 3


def test_the_gradient_of_a_depth_gate_is_what_skipping_saves() -> None:
    cost = model(profile(SPACE))
    gates = torch.ones(1, SPACE.size, dtype=torch.float64, requires_grad=True)
    cost(gates).sum().backward()
    assert gates.grad is not None
    for _, column in SPACE.depth_columns():
        skipped = np.ones(SPACE.size, dtype=np.bool_)
        skipped[column] = False
        saved = cost.dense - cost.of(Architecture(SPACE, skipped))
        assert gates.grad[0, column].item() == pytest.approx(saved)
        assert saved > 0


def test_a_skipped_resnet_costs_what_is_left_of_it() -> None:
    gate, column = next(
        (gate, column) for gate, column in SPACE.depth_columns() if ".resnets." in gate.module
    )
    found = profile(SPACE)
    left = [
        replace(one, samples={0: (0.25,), **one.samples}) if gate.module in one.modules else one
        for one in found.parts
    ]
    keep = np.ones(SPACE.size, dtype=np.bool_)
    keep[column] = False
    skipped = Architecture(SPACE, keep)
    more = model(replace(found, parts=tuple(left))).of(skipped) - model(found).of(skipped)
    assert more == pytest.approx(0.25)


def test_between_measured_widths_runs_a_straight_line() -> None:
    assert curve({1: 1.0, 4: 2.5, 8: 10.5}, 8).tolist() == pytest.approx(
        [0.5, 1, 1.5, 2, 2.5, 4.5, 6.5, 8.5, 10.5]
    )


def test_a_group_of_one_gate_has_no_slope() -> None:
    assert curve({1: 2.0}, 1).tolist() == [2, 2]


def test_half_a_gate_in_all_still_has_a_gradient() -> None:
    cost = model(profile(SPACE))
    gates = torch.full((1, SPACE.size), 0.5 / 8, dtype=torch.float64).requires_grad_()
    cost(gates).sum().backward()
    assert gates.grad is not None
    assert (gates.grad[:, : SPACE.width_gates] > 0).all()


@settings(deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=12))
def test_what_rises_is_kept_and_what_falls_is_averaged(values: list[float]) -> None:
    found = rising(values)
    assert all(later >= sooner - 1e-9 for sooner, later in zip(found, found[1:], strict=False))
    assert sum(found) == pytest.approx(sum(values))
    assert rising(sorted(values)) == pytest.approx(sorted(values))


def test_only_the_gates_that_disagree_are_averaged() -> None:
    assert rising([1, 3, 2, 4, 4, 1]) == pytest.approx([1, 2.5, 2.5, 3, 3, 3])


@pytest.mark.parametrize(("height", "width", "tokens"), [(16, 8, 5), (8, 16, 5), (8, 8, 77)])
def test_another_size_or_text_length_is_refused(height: int, width: int, tokens: int) -> None:
    with pytest.raises(TableError, match=r"holds for 8x8 latents and 5 tokens, not for .* measure again"):
        table_cost(profile(SPACE), SPACE, height, width, tokens)


def test_another_unet_is_refused_by_the_module_it_lacks() -> None:
    found = profile(SPACE)
    missing = found.parts[0].modules[0]
    with pytest.raises(TableError, match=f"another UNet: it has no {missing}"):
        model(replace(found, parts=found.parts[1:]))


def test_another_unet_is_refused_by_its_widths() -> None:
    found = profile(SPACE)
    first = part(found.parts[0].modules, {1: 1.0, 4: 2.0}, Kind.RESNET, 7)
    with pytest.raises(TableError, match=r"measured as resnet, 4 gates of 7; here it is resnet, 8 of 2"):
        model(replace(found, parts=(first, *found.parts[1:])))


def test_the_dense_architecture_costs_dense() -> None:
    cost = model(profile(SPACE))
    assert cost.of(full(SPACE)) == cost.dense
