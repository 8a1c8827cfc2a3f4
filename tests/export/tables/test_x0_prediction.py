"""Predicted clean latents against those that diffusers' own schedulers give."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from export.tables import solvers, x0_prediction
from tests.export.tables.test_solvers import CONFIG

# diffusers hands torch tensors to numpy in a way that numpy 2 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PREDICTIONS = ["epsilon", "v_prediction", "sample"]
SHAPE = (1, 4, 3, 5)


def predicted(solver: str, config: dict[str, Any], steps: int, states: Any, outputs: Any) -> list[np.ndarray]:
    """Return what a scheduler says of every row, whatever the rows before it were."""
    made = solvers.scheduler(solver, config, steps)
    found = []
    for timestep, state, output in zip(made.timesteps, states, outputs, strict=True):
        made.scale_model_input(state, timestep)
        found.append(made.step(output, timestep, state).pred_original_sample.numpy())
    return found


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(
    ("solver", "changes"), [("ddim", {}), ("euler", {}), ("euler", {"use_karras_sigmas": True})]
)
@pytest.mark.parametrize("steps", [1, 7, 25])
def test_an_estimate_is_that_of_diffusers(solver, changes, prediction, steps):
    config = {**CONFIG, "prediction_type": prediction, **changes}
    draw = np.random.default_rng(steps).standard_normal
    states, outputs = (draw((steps, *SHAPE)).astype(np.float32) for _ in range(2))
    wanted = predicted(solver, config, steps, torch.from_numpy(states), torch.from_numpy(outputs))
    block = solvers.probe(solver, config, max_steps=steps).block(steps)
    for row, state, output, expected in zip(block, states, outputs, wanted, strict=True):
        found = row[-2] * state + row[-1] * output
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("solver", "prediction"),
    # diffusers' PNDM takes no outputs that are the clean latents
    [case for case in product(["dpmpp_2m", "unipc", "pndm"], PREDICTIONS) if case != ("pndm", "sample")],
)
def test_a_perfect_model_is_believed_by_every_solver(solver, prediction):
    """Outputs that know the clean latents give these whatever the noise."""
    made = solvers.scheduler(solver, {**CONFIG, "prediction_type": prediction}, 9)
    bar = made.alphas_cumprod[made.timesteps.round().long()].double().numpy()
    signal, noise = np.sqrt(bar), np.sqrt(1 - bar)
    clean, drawn = 0.3, -1.7
    output = {
        "epsilon": np.full(len(bar), drawn),
        "v_prediction": signal * drawn - noise * clean,
        "sample": np.full(len(bar), clean),
    }[prediction]
    of_state, of_output = x0_prediction.coefficients(made, [1.0] * len(bar)).T
    found = of_state * (signal * clean + noise * drawn) + of_output * output
    assert found == pytest.approx(np.full(len(bar), clean), rel=1e-4)


def test_without_a_signal_there_is_nothing_to_predict_from():
    config = {**CONFIG, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    made = solvers.scheduler("ddim", {**config, "prediction_type": "epsilon"}, 5)
    with pytest.raises(ArithmeticError, match="no signal"):
        x0_prediction.coefficients(made, [1.0] * 5)
