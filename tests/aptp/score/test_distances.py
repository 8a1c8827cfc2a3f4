"""Distances between features, against naive double loops, the definitions and torchmetrics."""

import importlib.util

import numpy as np
import pytest
import torch

from aptp.score.distances import FrechetReference, KernelReference, KernelSums, cubic, frechet, gaussian
from aptp.score.intervals import groups
from runtime.errors import UsageError


def features(count, width=8, seed=0, shift=0.0):
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32) + np.float32(shift)


def naive(kernel, one, other, *, diagonal):
    """The mean of the kernel over pairs, one pair at a time."""
    values = [
        kernel(x.astype(np.float64), y.astype(np.float64))
        for i, x in enumerate(one)
        for j, y in enumerate(other)
        if diagonal or i != j
    ]
    return sum(values) / len(values)


def cube(x, y):
    return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3


def bell(x, y):
    return np.exp(-sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / (2 * 10**2))


def whole(found, reference):
    return KernelSums(found, np.zeros(len(found), np.int64), reference)


def test_kid_is_the_unbiased_double_loop():
    one, other = features(13), features(17, seed=1, shift=0.3)
    wanted = naive(cube, one, one, diagonal=False) + naive(cube, other, other, diagonal=False)
    wanted -= 2 * naive(cube, one, other, diagonal=True)
    reference = KernelReference(other, cubic)
    assert reference.unbiased(whole(one, reference)) == pytest.approx(wanted, rel=1e-10)


def test_cmmd_is_the_biased_double_loop():
    one, other = features(13), features(17, seed=1, shift=0.3)
    wanted = naive(bell, one, one, diagonal=True) + naive(bell, other, other, diagonal=True)
    wanted -= 2 * naive(bell, one, other, diagonal=True)
    reference = KernelReference(other, gaussian)
    assert reference.biased(whole(one, reference)) == pytest.approx(wanted, rel=1e-9)
    assert reference.biased(whole(other, reference)) == pytest.approx(0, abs=1e-12)


def test_blocks_change_nothing(monkeypatch):
    one, other = features(13), features(17, seed=1)
    reference = KernelReference(other, cubic)
    wanted = reference.unbiased(whole(one, reference))
    monkeypatch.setattr("aptp.score.distances.AT_ONCE", 5)
    reference = KernelReference(other, cubic)
    assert reference.unbiased(whole(one, reference)) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(("kernel", "name"), [(cubic, "unbiased"), (gaussian, "biased")])
def test_leaving_a_group_out_is_leaving_its_pictures_out(kernel, name):
    one, reference = features(43), KernelReference(features(17, seed=1), kernel)
    labels = groups(len(one))
    statistic, sums = getattr(reference, name), KernelSums(one, labels, reference)
    for group in range(10):
        wanted = statistic(whole(one[labels != group], reference))
        assert statistic(sums, group) == pytest.approx(wanted, rel=1e-10, abs=1e-14)
    assert statistic(sums) == pytest.approx(statistic(whole(one, reference)), rel=1e-10)


@pytest.mark.parametrize("counts", [(40, 50), (6, 50), (40, 5), (6, 5)])
def test_frechet_is_the_definition_however_many_pictures_there_are(counts):
    """Also where a covariance has not full rank, and the smaller product is taken."""
    one, other = features(counts[0]), features(counts[1], seed=1, shift=0.5)
    first, second = (np.cov(each.astype(np.float64), rowvar=False) for each in (one, other))
    values = np.linalg.eigvals(first @ second).real.clip(0)
    apart = one.mean(0, dtype=np.float64) - other.mean(0, dtype=np.float64)
    wanted = apart @ apart + np.trace(first) + np.trace(second) - 2 * np.sqrt(values).sum()
    assert frechet(one, other) == pytest.approx(wanted, rel=1e-5)


def test_rows_that_were_projected_once_give_the_distance_of_any_of_them():
    one, reference = features(40), FrechetReference(features(50, seed=1))
    projected, some = reference.project(one), np.arange(40) % 3 != 0
    wanted = reference.distance(one[some], reference.project(one[some]))
    assert reference.distance(one[some], projected[some]) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("kernel", [cubic, gaussian])
def test_one_picture_is_too_few_for_a_statistic_without_bias(kernel):
    reference = KernelReference(features(1), kernel)
    with pytest.raises(UsageError, match="a distance between 5 and 1 pictures: give two or more of each"):
        reference.unbiased(whole(features(5), reference))


@pytest.mark.filterwarnings("ignore:Metric .* will save all extracted features:UserWarning")
@pytest.mark.skipif(importlib.util.find_spec("torchmetrics") is None, reason="torchmetrics is in extra `dev`")
def test_torchmetrics_agrees():
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    class Rows(torch.nn.Module):
        """Pictures [B, 1, 1, D] are features already."""

        num_features = 8

        def forward(self, x):
            return x[:, 0, 0]

    one, other = features(60), features(50, seed=1, shift=0.5)
    pictures = [torch.from_numpy(each)[:, None, None] for each in (other, one)]
    fid = FrechetInceptionDistance(Rows(), normalize=True)
    fid.used_custom_model = True
    kid = KernelInceptionDistance(Rows(), subset_size=50, subsets=1, normalize=True)
    for metric in (fid, kid):
        metric.update(pictures[0], real=True)
        metric.update(pictures[1][:50], real=False)
    reference = KernelReference(other, cubic)
    assert frechet(one[:50], other) == pytest.approx(float(fid.compute()), rel=1e-4)
    assert reference.unbiased(whole(one[:50], reference)) == pytest.approx(float(kid.compute()[0]), rel=1e-4)
