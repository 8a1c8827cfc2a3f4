"""Optimizers by name: 8-bit moments are an eighth of the size, and resume to the bit."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from aptp.trainer import state
from aptp.trainer.learner import Learner
from aptp.trainer.loop import RunOptions, Training
from aptp.trainer.optimizers import moments, optimizer_of
from aptp.trainer.recipe import OPTIMIZERS
from runtime.cli import extras
from runtime.errors import EnvironmentMismatch, UsageError
from tests.aptp.trainer.toys import RECIPE, Noise

PLAIN = RunOptions(precision="no")
ABSENT = "bitsandbytes is not installed: it is in the extra adam8bit, which dev leaves out (a wheel of 43 MB)"
needs_it = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason=ABSENT)
ALL = [pytest.param(name, marks=needs_it if name == "adamw8bit" else ()) for name in OPTIMIZERS]


class Wide(Learner):
    """Has a tensor that is large enough for 8 bits, and a small one that is not."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(12, 512), nn.Linear(512, 1)

    def forward(self, batch, step, draws):
        flat = batch.images.flatten(1) + 0.1 * draws.normal(12)
        return {"loss": (self.last(self.first(flat).relu())[:, 0] - flat.mean(1)).square().mean()}


def start(folder, name, options=PLAIN):
    recipe = replace(RECIPE, optimizer=name, rate=1e-3)
    return Training(Wide(), Noise(), recipe, folder, options)


def content(training, folder):
    groups = state.load(folder, training._identity).groups
    return {f"{group}/{name}": tensor for group, named in groups.items() for name, tensor in named.items()}


@pytest.mark.parametrize("name", ALL)
def test_a_run_in_legs_of_one_step_equals_an_unbroken_one(name, tmp_path):
    unbroken = start(tmp_path / "unbroken", name)
    assert unbroken.run("toy")
    legs = start(tmp_path / "legs", name, replace(PLAIN, minutes=0))
    while not legs.run("toy"):
        legs = start(tmp_path / "legs", name, replace(PLAIN, minutes=0))
    one, other = (
        content(training, tmp_path / kind) for training, kind in ((unbroken, "unbroken"), (legs, "legs"))
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) and one[key].dtype == other[key].dtype for key in one)


@needs_it
def test_moments_in_8_bits_are_a_quarter_of_those_in_32():
    parameter = nn.Parameter(torch.zeros(1024, 1024))
    sizes = {}
    for name in OPTIMIZERS:
        optimizer = optimizer_of(replace(RECIPE, optimizer=name), [parameter])
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        sizes[name] = (
            sum(t.numel() * t.element_size() for t in moments(optimizer).values()) / parameter.numel()
        )
    assert sizes["adamw"] == pytest.approx(8, rel=0.001)
    assert sizes["adamw8bit"] == pytest.approx(2 + 8 / 256, rel=0.002)


@needs_it
def test_both_learn_nearly_the_same(tmp_path):
    weights = []
    for name in OPTIMIZERS:
        training = start(tmp_path / name, name)
        training.run("toy")
        weights.append(torch.cat([p.detach().flatten() for p in training._parameters.values()]))
    start_of = torch.cat([p.detach().flatten() for p in Wide().parameters()])
    moved = [each - start_of for each in weights]
    assert torch.nn.functional.cosine_similarity(*moved, dim=0) > 0.99


def test_a_missing_library_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    refusal = r"--optimizer adamw8bit needs bitsandbytes; install with `pip install 'aptp\[adam8bit\]'`"
    with pytest.raises(EnvironmentMismatch, match=refusal):
        optimizer_of(replace(RECIPE, optimizer="adamw8bit"), [nn.Parameter(torch.zeros(1))])


@needs_it
def test_a_run_with_another_optimizer_is_not_resumed_into(tmp_path):
    start(tmp_path, "adamw", replace(PLAIN, minutes=0)).run("toy")
    with pytest.raises(UsageError, match="optimizer was 'adamw' and is now 'adamw8bit'"):
        start(tmp_path, "adamw8bit")
