"""The Fréchet distance against its closed forms and against the matrix square root of the definition."""

import numpy as np
import pytest

from aptp.score.distances import frechet
from runtime.errors import UsageError


def with_moments(mean, covariance, count=500, seed=0):
    """Features that have exactly these moments."""
    drawn = np.random.default_rng(seed).standard_normal((count, len(mean)))
    drawn -= drawn.mean(0)
    drawn = drawn @ np.linalg.inv(np.linalg.cholesky(np.cov(drawn, rowvar=False))).T  # identity covariance
    return drawn @ np.linalg.cholesky(covariance).T + mean


def random_covariance(size, seed):
    root = np.random.default_rng(seed).standard_normal((size, 2 * size))
    return root @ root.T / size


def test_equal_sets_are_at_no_distance():
    features = with_moments(np.arange(4.0), random_covariance(4, 0))
    assert frechet(features, features) == pytest.approx(0, abs=1e-9)
    assert frechet(features, features[::-1]) == pytest.approx(0, abs=1e-9)


def test_shifted_sets_are_at_the_squared_shift():
    features = with_moments(np.zeros(3), random_covariance(3, 1))
    assert frechet(features + [1, 2, 2], features) == pytest.approx(9)


def test_of_commuting_covariances_it_is_the_squared_difference_of_deviations():
    one = with_moments(np.zeros(3), np.diag([1.0, 4.0, 9.0]))
    other = with_moments(np.zeros(3), np.diag([16.0, 4.0, 1.0]), seed=1)
    assert frechet(one, other) == pytest.approx(3**2 + 0 + 2**2)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_definition(seed):
    """With the square root taken the way the formula is written, of a product that is not symmetric."""
    first, second = random_covariance(6, seed), random_covariance(6, 100 + seed)
    values, vectors = np.linalg.eig(first @ second)
    root = (vectors * np.sqrt(values.astype(complex))) @ np.linalg.inv(vectors)
    wanted = 6 + np.trace(first + second - 2 * root).real
    found = frechet(with_moments(np.ones(6), first), with_moments(np.zeros(6), second, seed=9))
    assert found == pytest.approx(wanted, rel=1e-8)


def test_dead_features_do_no_harm():
    features = np.random.default_rng(0).standard_normal((50, 5))
    features[:, 2] = 0.25
    assert frechet(features, features + [0, 0, 1, 0, 0]) == pytest.approx(1)


def test_one_picture_has_no_covariance():
    with pytest.raises(UsageError, match="between 1 and 9 pictures"):
        frechet(np.zeros((1, 3)), np.zeros((9, 3)))
