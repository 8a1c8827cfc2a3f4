"""Training: deterministic, told of, and downhill."""

import pytest
import torch

from aptp.data.scenes.compose import Layout
from aptp.data.scenes.scene import Background
from aptp.evaluate.judge.network import JudgeNetwork
from aptp.evaluate.judge.targets import targets
from aptp.evaluate.judge.training import losses, train

PLAIN = Background("grey", "plain")


def weights(network):
    return torch.cat([tensor.flatten().float() for tensor in network.state_dict().values()])


def test_a_seed_makes_one_judge_and_losses_fall():
    told = []
    one = train(8, batch=8, progress=lambda step, parts: told.append((step, sum(parts.values()))))
    assert [step for step, _ in told] == list(range(1, 9))
    assert told[-1][1] < 0.7 * told[0][1]
    assert not one.training
    assert torch.equal(weights(one), weights(train(8, batch=8)))
    assert not torch.equal(weights(train(1, batch=2)), weights(train(1, batch=2, seed=1)))


@pytest.mark.parametrize("layout", [Layout(PLAIN), Layout(PLAIN, word="fire", colour="red")])
def test_pictures_without_things_or_words_have_finite_losses_and_gradients(layout):
    network = JudgeNetwork()
    parts = losses(network(torch.zeros(2, 3, 64, 64)), targets([layout, layout]))
    assert all(bool(part.isfinite()) for part in parts.values())
    assert float(parts["thing shape"].detach()) == 0
    torch.autograd.backward(torch.stack(list(parts.values())).sum())
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)
