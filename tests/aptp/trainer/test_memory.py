"""A training's memory is counted before it begins, and refused where it cannot fit."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from aptp.trainer import memory
from aptp.trainer.learner import Learner
from aptp.trainer.loop import RunOptions, Training
from aptp.trainer.memory import check_memory, footprint
from aptp.trainer.optimizers import moments, optimizer_of
from aptp.trainer.recipe import OPTIMIZERS
from runtime.errors import EnvironmentMismatch
from tests.aptp.trainer.test_optimizers import ABSENT
from tests.aptp.trainer.toys import RECIPE, Brightness, Noise

CPU = torch.device("cpu")


class Parts(Learner):
    """Has a large and a small trained tensor, a frozen one and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.large, self.small = nn.Parameter(torch.zeros(100, 100)), nn.Parameter(torch.zeros(5))
        self.frozen = nn.Parameter(torch.zeros(7, dtype=torch.float16), requires_grad=False)
        self.register_buffer("table", torch.zeros(3))

    def forward(self, batch, step, draws):
        raise AssertionError


def test_every_part_is_counted():
    found = footprint(Parts(), RECIPE)
    assert (found.frozen, found.weights, found.gradients, found.average) == (26, 40020, 40020, 40020)
    assert found.moments == 80040
    assert found.total == 200126
    assert found.state == 160080
    assert footprint(Parts(), replace(RECIPE, average=0.0)).average == 0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_moments_are_counted_as_the_optimizer_holds_them(name):
    if name == "adamw8bit" and find_spec("bitsandbytes") is None:
        pytest.skip(ABSENT)
    parts, recipe = Parts(), replace(RECIPE, optimizer=name)
    optimizer = optimizer_of(recipe, parts.trained().values())
    for parameter in parts.trained().values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    tables = ("step", "qmap1", "qmap2")  # a kilobyte that all tensors share, and a count
    held = [t for path, t in moments(optimizer).items() if not path.endswith(tables)]
    assert footprint(parts, recipe).moments == sum(t.numel() * t.element_size() for t in held)


def test_what_cannot_fit_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "whole", lambda: 100)
    with pytest.raises(EnvironmentMismatch, match=r"needs 0\.0 GiB before activations .*: take a machine"):
        Training(Brightness(), Noise(), RECIPE, tmp_path, RunOptions(precision="no"))


def test_what_helps_is_advised(monkeypatch):
    monkeypatch.setattr(memory, "whole", lambda: 100)
    several, eight = Parts(), replace(RECIPE, optimizer="adamw8bit")
    several.clipped = lambda: [[several.large], [several.small]]
    for learner, recipe, advice in (
        (Parts(), RECIPE, "GiB: take --optimizer adamw8bit, or take a machine with more memory"),
        (Parts(), eight, "GiB: take a machine with more memory"),
        (several, eight, r"GiB: train fewer experts at once \(--codes\), or take a machine with more memory"),
    ):
        with pytest.raises(EnvironmentMismatch, match=f"{advice}$"):
            check_memory(learner, recipe, CPU)


def test_what_the_allocator_of_a_gpu_keeps_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (memory.GIB, 9 * memory.GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2 * memory.GIB)
    assert check_memory(Parts(), RECIPE, torch.device("cuda")).endswith("of 3.0 GiB")


def test_a_run_says_what_it_needs_and_what_there_is(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(memory, "whole", lambda: 3 * memory.GIB)
    assert check_memory(Parts(), RECIPE, CPU) == (
        "memory: 0.0 GiB before activations "
        "(0.0 frozen, 0.0 weights, 0.0 gradients, 0.0 moments, 0.0 average), of 3.0 GiB"
    )
    Training(Brightness(), Noise(), RECIPE, tmp_path, RunOptions(precision="no")).run("toy")
    assert "of 3.0 GiB" in " ".join(capsys.readouterr().err.split())
