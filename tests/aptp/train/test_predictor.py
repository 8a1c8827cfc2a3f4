"""The linear predictor."""

import pytest
import torch

from aptp.train.predictor import Predictor, orthogonal_codes, standard
from tests.aptp.train.spaces import WIDTH, prompts, rng, small


def test_each_group_starts_orthonormal_with_a_bias_of_zero() -> None:
    space, _ = small()
    predictor = Predictor(space, torch.zeros(WIDTH), 1.0, rng())
    assert predictor.weight.shape == (space.size, WIDTH)
    assert not predictor.bias.any()
    for columns in [columns for _, columns in space.columns()] + [slice(space.width_gates, space.size)]:
        rows = predictor.weight[columns].detach()
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), atol=1e-5, rtol=0)


def test_the_seed_decides_the_start() -> None:
    space, _ = small()
    weights = [Predictor(space, torch.zeros(WIDTH), 1.0, rng(seed)).weight for seed in (3, 3, 4)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_affine_is_the_same_map_on_embeddings_as_they_are() -> None:
    found = prompts(50) * 3 + 7
    centre, spread = standard(found)
    predictor = Predictor(small()[0], centre, spread, rng())
    with torch.no_grad():
        predictor.bias.normal_(generator=rng(1))
        weight, bias = predictor.affine()
        torch.testing.assert_close(found @ weight.T + bias, predictor(found), atol=1e-4, rtol=1e-4)


def test_standard_embeddings_are_centred_at_unit_mean_square_length() -> None:
    found = prompts(50) * 3 + 7
    centre, spread = standard(found)
    read = (found - centre) / spread
    torch.testing.assert_close(read.mean(0), torch.zeros(WIDTH), atol=1e-5, rtol=0)
    assert read.square().sum(1).mean().item() == pytest.approx(1.0, rel=1e-5)


def test_codes_start_orthonormal() -> None:
    codes = orthogonal_codes(5, 60, rng()).detach()
    torch.testing.assert_close(codes @ codes.T, torch.eye(5), atol=1e-5, rtol=0)
