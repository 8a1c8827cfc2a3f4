"""Distortions are slight, a matter of the generator, and leave some pictures alone."""

import torch

from aptp.evaluate.judge.distortion import distort


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_slight_and_within_range():
    pictures = torch.rand(200, 3, 32, 32, generator=generator()).round() * 1.6 - 0.8
    smooth = torch.full_like(pictures, 0.5)
    changed = distort(smooth, generator())
    assert (changed - smooth).abs().mean() < 0.08
    assert distort(pictures.sign(), generator()).abs().max() <= 1
    same = (changed == smooth).flatten(1).all(1).float().mean()
    assert 0.15 < same < 0.35


def test_blur_keeps_edges_where_they_are():
    picture = torch.full((50, 3, 8, 8), -0.5)
    picture[..., 4:] = 0.5
    rows = distort(picture, generator()).mean((0, 1, 2))
    assert rows[2] < rows[3] < 0 < rows[4] < rows[5]


def test_the_same_generator_distorts_alike():
    pictures = torch.zeros(8, 3, 64, 64)
    assert torch.equal(distort(pictures, generator(1)), distort(pictures, generator(1)))
    assert not torch.equal(distort(pictures, generator(1)), distort(pictures, generator(2)))
