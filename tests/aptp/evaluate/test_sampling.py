"""Pictures that depend on their caption, seed and number, and on nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from aptp.evaluate.models_under_test import Subjects
from aptp.evaluate.sampling import SamplingOptions, sample, start_noise

CAPTIONS = ["a red circle", "two blue stars", "the word moon in pink letters"]
QUICK = SamplingOptions(steps=2)


@pytest.fixture(scope="module")
def parts(checkpoint):
    return Subjects(checkpoint, QUICK).parts.with_unet(checkpoint.dense())


def test_pictures_of_the_size_of_scenes(parts):
    told = []
    drawn = sample(parts, CAPTIONS, replace(QUICK, batch=2), progress=told.append)
    assert (drawn.shape, drawn.dtype) == ((3, 64, 64, 3), np.uint8)
    assert told == [2, 1]
    assert sample(parts, [], QUICK).shape == (0, 64, 64, 3)


def test_batches_and_neighbours_change_nothing(parts):
    together = sample(parts, CAPTIONS, QUICK).astype(int)
    alone = sample(parts, CAPTIONS, replace(QUICK, batch=1))
    assert abs(together - alone).max() <= 1
    last = sample(parts, CAPTIONS[2:], QUICK, numbers=[2])
    assert abs(together[2:] - last).max() <= 1


def test_seed_number_caption_and_guidance_matter(parts):
    (usual,) = sample(parts, CAPTIONS[:1], QUICK)
    for captions, settings, numbers in (
        (CAPTIONS[:1], replace(QUICK, seed=1), [0]),
        (CAPTIONS[:1], QUICK, [1]),
        (CAPTIONS[:1], replace(QUICK, guidance=0.0), [0]),
        (CAPTIONS[1:2], QUICK, [0]),
    ):
        (other,) = sample(parts, captions, settings, numbers=numbers)
        assert (usual != other).any(), (captions, settings, numbers)


def test_sampling_leaves_no_gradients_and_the_modules_as_they_were(parts):
    before = {name: tensor.clone() for name, tensor in parts.unet.state_dict().items()}
    sample(parts, CAPTIONS[:1], QUICK)
    assert all(torch.equal(before[name], tensor) for name, tensor in parts.unet.state_dict().items())
    assert all(parameter.grad is None for parameter in parts.unet.parameters())


def test_what_is_not_a_number_becomes_black(parts, checkpoint):
    broken = checkpoint.dense()
    with torch.no_grad():
        broken.conv_out.bias.fill_(float("nan"))
    assert not sample(parts.with_unet(broken), CAPTIONS[:1], QUICK).any()


def test_start_noise_is_normal_and_every_number_s_own():
    noise = start_noise((4, 16, 16), range(50), seed=3)
    assert float(noise.mean()) == pytest.approx(0, abs=0.02)
    assert float(noise.std()) == pytest.approx(1, abs=0.02)
    assert torch.equal(start_noise((4, 16, 16), [7], seed=3)[0], noise[7])
    assert not torch.equal(start_noise((4, 16, 16), [7], seed=4)[0], noise[7])
    assert torch.unique(noise[:, 0, 0, 0]).numel() == 50
