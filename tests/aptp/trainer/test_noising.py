"""The forward process against its formulas, written out."""

import pytest
import torch
from diffusers import DDIMScheduler

from aptp.presets import SCHEDULER
from aptp.trainer.noising import Noising
from runtime.errors import CheckpointError
from tests.aptp.trainer.toys import drawn

ZERO_SNR = {"rescale_betas_zero_snr": True}


def config(kind="v_prediction", **more):
    return {**SCHEDULER, "prediction_type": kind, **more}


def process(kind="v_prediction", **more):
    return Noising(DDIMScheduler.from_config(config(kind, **more)))


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon"])
def test_sample_and_target_are_those_of_the_process(rng, kind):
    latents, noise = torch.randn(2, 5, 4, 8, 8, generator=rng)
    timesteps = torch.tensor([0, 10, 400, 998, 999])
    noised = process(kind).at(latents, noise, timesteps)
    alpha = DDIMScheduler.from_config(config(kind)).alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    torch.testing.assert_close(noised.sample, alpha.sqrt() * latents + (1 - alpha).sqrt() * noise)
    velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    torch.testing.assert_close(noised.target, velocity if kind == "v_prediction" else noise)


def test_weights_are_min_snr_and_stay_positive_at_zero_snr():
    noising = process(**ZERO_SNR)
    timesteps = torch.arange(1000)
    noised = noising.at(torch.zeros(1000, 1, 1, 1), torch.zeros(1000, 1, 1, 1), timesteps)
    alpha = DDIMScheduler.from_config(config(**ZERO_SNR)).alphas_cumprod
    snr = alpha / (1 - alpha)
    expected = torch.minimum(snr + 1, torch.tensor(5.0)) / (snr + 1)
    torch.testing.assert_close(noised.weights, expected)
    assert noised.weights[-1] == 1
    assert (noised.weights > 0).all()


def test_weights_of_epsilon_are_finite_at_zero_snr():
    noised = process("epsilon", **ZERO_SNR).at(
        torch.zeros(1000, 1, 1, 1), torch.ones(1000, 1, 1, 1), torch.arange(1000)
    )
    alpha = DDIMScheduler.from_config(config("epsilon", **ZERO_SNR)).alphas_cumprod
    snr = (alpha / (1 - alpha))[:-1]
    torch.testing.assert_close(noised.weights[:-1], snr.clamp(max=5) / snr)
    assert noised.weights[-1] == 1
    assert noised.loss(torch.zeros(1000, 1, 1, 1)).isfinite().all()


def test_the_loss_weighs_each_sample(rng):
    noised = process().draw(torch.randn(6, 4, 8, 8, generator=rng), drawn(6))
    output = torch.randn(6, 4, 8, 8, generator=rng)
    terms = [
        weight * ((o - t) ** 2).mean()
        for weight, o, t in zip(noised.weights, output, noised.target, strict=True)
    ]
    torch.testing.assert_close(noised.loss(output), torch.stack(terms))


def test_timesteps_are_uniform_and_stratified():
    noising, latents = process(), torch.zeros(10, 1, 1, 1)
    found = torch.stack([noising.draw(latents, drawn(10, step=step)).timesteps for step in range(200)])
    assert torch.equal((found.sort(dim=1).values // 100), torch.arange(10).expand(200, 10))
    assert found.float().mean() == pytest.approx(499.5, abs=10)
    assert found[:, 0].float().std() > 200, "the order within a batch is random"


def test_other_predictions_are_refused_by_name():
    with pytest.raises(CheckpointError, match="'sample'"):
        process("sample")
