"""Precisions of a session; float16 with scaled losses runs here on a processor, which users may not."""

from dataclasses import replace

import pytest
import torch

from aptp.trainer import loop, metrics_log
from aptp.trainer import precision as module
from aptp.trainer.loop import RunOptions, Training
from aptp.trainer.precision import LossScaler, check_precision, warning
from runtime.errors import UsageError
from tests.aptp.trainer.toys import RECIPE, Brightness, Noise

HALF = RunOptions(precision="fp16")


class Overflowing(Brightness):
    """Its loss has gradients beyond float16 in the first steps, until the scale is small enough."""

    def forward(self, batch, step, draws):
        terms = super().forward(batch, step, draws)
        extra = Huge.apply(self.linear.bias) if self.loss_scale > 2.0**14 else 0
        return {"loss": terms["loss"] + extra}


class Huge(torch.autograd.Function):
    """Zero, with an infinite gradient."""

    @staticmethod
    def forward(ctx, bias):
        return bias.sum() * 0

    @staticmethod
    def backward(ctx, upstream):
        return torch.full((1,), torch.inf)


@pytest.fixture
def anywhere(monkeypatch):
    monkeypatch.setattr(loop, "check_precision", lambda precision, device: None)


def test_float16_needs_a_gpu(tmp_path):
    if torch.accelerator.is_available():
        pytest.skip("there is one")
    with pytest.raises(UsageError, match="--mixed-precision fp16 needs a GPU"):
        Training(Brightness(), Noise(), RECIPE, tmp_path, HALF)
    check_precision("bf16", torch.device("cpu"))
    check_precision("fp16", torch.device("cuda"))


@pytest.mark.parametrize(
    ("precision", "device", "has_it", "is_told"),
    [
        ("bf16", "cpu", False, True),
        ("bf16", "cpu", True, False),
        ("bf16", "cuda", False, False),
        ("no", "cpu", False, False),
    ],
)
def test_slow_bfloat16_is_told(monkeypatch, precision, device, has_it, is_told):
    monkeypatch.setattr(module, "_has_bfloat16", lambda: has_it)
    told = warning(precision, torch.device(device))
    assert bool(told and "give --mixed-precision no" in told) == is_told


def test_a_training_says_its_warning(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(loop, "warning", lambda precision, device: f"{precision} is slow here")
    assert Training(Brightness(), Noise(), RECIPE, tmp_path, RunOptions(precision="bf16")).run("toy")
    assert "bf16 is slow here" in capsys.readouterr().err


def test_scaled_losses_teach_the_same(anywhere, tmp_path):
    found = {}
    for precision in ("no", "fp16"):
        learner = Brightness()
        options = RunOptions(precision=precision)
        assert Training(learner, Noise(), RECIPE, tmp_path / precision, options).run("toy")
        found[precision] = learner.linear.weight.detach()
        assert learner.loss_scale == (1.0 if precision == "no" else 2.0**16)
    torch.testing.assert_close(found["fp16"], found["no"], rtol=0.02, atol=0.02)


def test_sessions_of_one_step_equal_one_session(anywhere, tmp_path):
    whole, parts = Overflowing(), None
    assert Training(whole, Noise(), RECIPE, tmp_path / "whole", HALF).run("toy")
    finished = False
    while not finished:
        parts = Overflowing()
        finished = Training(parts, Noise(), RECIPE, tmp_path / "parts", replace(HALF, minutes=0)).run("toy")
    assert torch.equal(whole.linear.weight, parts.linear.weight)
    lines = [metrics_log.read(tmp_path / name) for name in ("whole", "parts")]
    assert [line["loss"] for line in lines[0]] == [line["loss"] for line in lines[1]]


def test_a_step_that_overflows_is_left_out(anywhere, tmp_path):
    learner = Overflowing()
    before = learner.linear.weight.detach().clone()
    training = Training(learner, Noise(), replace(RECIPE, steps=2), tmp_path, HALF)
    assert training.run("toy")
    assert torch.equal(learner.linear.weight, before)
    assert [line["gradient"] for line in metrics_log.read(tmp_path)] == [0, 0]
    assert training._scaler.scale == 2.0**14


def test_other_precisions_scale_nothing():
    scaler = LossScaler("bf16", torch.device("cpu"))
    loss = torch.ones(())
    assert scaler.scaled(loss) is loss
    assert (scaler.scale, scaler.state()) == (1.0, {})
