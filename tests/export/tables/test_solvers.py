"""Tables against diffusers' own loop, and the refusal of what is no table."""

from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from aptp.components.scheduler import config_in_pipeline
from export.tables import solvers
from runtime.errors import ScheduleError, UsageError

# diffusers hands torch tensors to numpy in a way that numpy 2 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CONFIG: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
STEPS = (1, 2, 10, 25, 50, 100)
SHAPE = (2, 4, 6, 5)
# Float32 rounding, amplified by the solver; the largest measured was 3e-5 (UniPC, epsilon, 100 steps).
FLOAT32 = 2e-4


@cache
def table(solver: str, prediction: str) -> solvers.Table:
    return solvers.probe(solver, {**CONFIG, "prediction_type": prediction})


def model(timesteps: Any) -> Any:
    """A nonlinear stand-in for a UNet that feels its input, its timestep and its place in the loop."""
    return lambda x, row: np.tanh(0.7 * x + 0.001 * float(timesteps[row])) + 0.1 * np.sin(3 * x)


def diffusers_loop(solver: str, prediction: str, steps: int, start: np.ndarray) -> np.ndarray:
    made = solvers.scheduler(solver, {**CONFIG, "prediction_type": prediction}, steps)
    fake = model(made.timesteps)
    state = torch.from_numpy(start * start.dtype.type(made.init_noise_sigma))
    if start.dtype == np.float64:
        state = state.as_subclass(solvers._Float64)

    def call(x: torch.Tensor, row: int) -> torch.Tensor:
        return torch.from_numpy(fake(x.as_subclass(torch.Tensor).numpy(), row)).as_subclass(type(x))

    *_, last = solvers.run(made, state, call)
    return last.as_subclass(torch.Tensor).numpy()


def table_loop(solver: str, prediction: str, steps: int, start: np.ndarray) -> np.ndarray:
    found = table(solver, prediction)
    block = found.block(steps)
    made = solvers.scheduler(solver, {**CONFIG, "prediction_type": prediction}, steps)
    dtype = start.dtype.type
    # In float64 the scale is diffusers' own; the table rounds it to float32.
    scale = float(made.init_noise_sigma) if dtype is np.float64 else found.noise_scale[steps - 1]
    return solvers.replay(block.astype(dtype), dtype(scale) * start, model(block[:, 0]))


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("solver", solvers.SOLVERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 2e-8), (np.float32, FLOAT32)])
def test_a_table_follows_diffusers(solver, prediction, steps, dtype, tolerance):
    start = np.random.default_rng(steps).standard_normal(SHAPE).astype(dtype)
    wanted = diffusers_loop(solver, prediction, steps, start)
    found = table_loop(solver, prediction, steps, start)
    assert found.dtype == dtype
    assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("solver", solvers.SOLVERS)
def test_every_step_count_is_offered_in_the_window_that_is_known(solver):
    found = table(solver, "v_prediction")
    windows = {"ddim": 1, "euler": 1, "dpmpp_2m": 2, "unipc": 3, "pndm": 4}
    assert found.window == windows[solver]
    extra = 1 if solver == "pndm" else 0
    assert found.rows == tuple(steps + (extra if steps > 1 else 0) for steps in range(1, 101))
    assert len(found.bytes()) == 4 * (4 + 2 * found.window) * sum(found.rows)


def test_history_before_the_first_row_is_never_read():
    for solver in solvers.SOLVERS:
        found = table(solver, "epsilon")
        for steps in STEPS:
            for row, values in enumerate(found.block(steps)[: found.window]):
                p, c = np.split(values[2:-2], 2)
                assert not p[row + 1 :].any()
                assert not c[row + 1 :].any()


def test_timesteps_may_be_fractional():
    block = table("euler", "epsilon").block(7)
    assert (block[:, 0] % 1).any()
    assert block[:, 0].astype(np.float32).tolist() == solvers.scheduler("euler", CONFIG, 7).timesteps.tolist()


REFUSED = [
    ("ddim", {"clip_sample": True}, "clip_sample"),
    ("ddim", {"thresholding": True}, "thresholding"),
    ("dpmpp_2m", {"thresholding": True}, "thresholding"),
    ("unipc", {"thresholding": True}, "thresholding"),
    ("dpmpp_2m", {"algorithm_type": "sde-dpmsolver++"}, "algorithm_type"),
    (
        "ddim",
        {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "epsilon"},
        "rescale_betas_zero_snr",
    ),
    ("unipc", {"prediction_type": "flow_prediction"}, "prediction_type"),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("solver", "change", "field"), REFUSED)
def test_what_is_no_table_is_refused_by_the_name_of_its_field(solver, change, field):
    with pytest.raises(ScheduleError, match=f"{solver} .*{field}") as caught:
        solvers.probe(solver, {**CONFIG, **change}, max_steps=12)
    assert caught.value.field == field
    assert caught.value.exit_code == 3


def test_zero_snr_with_v_prediction_is_a_table():
    config = {
        **CONFIG,
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "prediction_type": "v_prediction",
    }
    found = solvers.probe("ddim", config, max_steps=10)
    assert found.rows == tuple(range(1, 11))
    assert found.block(10)[0, -2:].tolist() == [0, -1]  # nothing of the image is in pure noise


def test_step_counts_beyond_the_training_steps_have_no_rows():
    config = {**CONFIG, "num_train_timesteps": 20, "steps_offset": 0}
    rows = solvers.probe("ddim", config, max_steps=30).rows
    assert rows[:20] == tuple(range(1, 21))
    assert rows[20:] == (0,) * 10


def test_an_unknown_solver_names_the_nearest():
    with pytest.raises(UsageError, match="'dpmpp_2m'"):
        solvers.probe("dpmpp_2", CONFIG)


@pytest.mark.parametrize("solver", solvers.SOLVERS)
@pytest.mark.parametrize("own", ["PNDMScheduler", "EulerDiscreteScheduler"])
def test_a_config_of_2022_gives_the_timesteps_of_diffusers(solver: str, own: str) -> None:
    told = {"_class_name": own, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    told |= {"steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True}
    pipelines = getattr(diffusers, own).from_config(told)
    kind, insisted = solvers.SOLVERS[solver]
    users = getattr(diffusers, kind).from_config(pipelines.config, **insisted)
    users.set_timesteps(5)
    found = solvers.scheduler(solver, config_in_pipeline(told, Path("here")), 5)
    assert found.timesteps.tolist() == users.timesteps.tolist()
