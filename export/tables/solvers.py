"""The schedule tables of a bundle (docs/BUNDLE.md, "Schedules"), read off diffusers' own schedulers.

A deterministic solver is linear in its start and in the model's outputs. So its loop is run once per step
count with unit vectors in their place, in float64: what comes out are the coefficients of every state, and
each row of the table is the shortest recurrence over the last few states and outputs that explains the next
state. The loop is then run as a user would, in float32 and with large values, and the table must follow it.
What each row says of the clean latents is left to `x0_prediction`. Refused, by the name of the config field:
whatever is not linear, not deterministic or not finite.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch

from export.tables import x0_prediction
from runtime.errors import ScheduleError, UsageError, nearest

MAX_STEPS = 100
MAX_WINDOW = 4
# Relative residual under which a recurrence counts as exact; true ones come out below 1e-12, false ones above
# 1e-4.
RESIDUAL = 1e-9
# Relative error of a table in float32 against the scheduler's float32 loop. What is not linear misses by over
# 0.1.
FLOAT32_TOLERANCE = 2e-3
CHECKED_STEPS = (1, 2, 3, 10, 25, 50, 100)
AMPLITUDE = 1e3

# The scheduler class behind each solver, and what a pipeline insists on whatever its scheduler's config says.
SOLVERS: dict[str, tuple[str, dict[str, object]]] = {
    "ddim": ("DDIMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "unipc": ("UniPCMultistepScheduler", {}),
}

Array = np.ndarray[Any, np.dtype[Any]]
Scheduler = Any  # a diffusers scheduler; the library ships no types


@dataclass(frozen=True, slots=True)
class Table:
    """One solver's rows for 1, 2, … steps; `data` is float64 [sum(rows), 4 + 2·window] until written."""

    solver: str
    window: int
    rows: tuple[int, ...]
    noise_scale: tuple[float, ...]
    data: Array

    def bytes(self) -> bytes:
        """Return the file of docs/BUNDLE.md: little-endian float32, the blocks one after another."""
        return self.data.astype("<f4").tobytes()

    def block(self, steps: int) -> Array:
        """Return the rows for one step count, float64 [rows, 4 + 2·window]."""
        start = sum(self.rows[: steps - 1])
        return self.data[start : start + self.rows[steps - 1]]


class TableRow(NamedTuple):
    """One row before packing: `p` over the last states, `c` over the last outputs, both of the row's own
    window; `e` of its own state and output is the estimate.
    """

    timestep: float
    input_scale: float
    p: Array
    c: Array
    e: Array


class _Float64(torch.Tensor):
    """A tensor that stays float64 where a scheduler upcasts to float32, so that coefficients keep their
    digits.
    """

    def to(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return self

    def float(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return self


def probe(solver: str, config: Mapping[str, Any], max_steps: int = MAX_STEPS) -> Table:
    """Return the table of `solver` for the pipeline's scheduler `config`, for 1 to `max_steps` steps.

    Raises UsageError for an unknown solver and ScheduleError for one that is not a table under this config.
    """
    if solver not in SOLVERS:
        raise UsageError(f"unknown solver {solver!r}{nearest(solver, SOLVERS)}; known: {', '.join(SOLVERS)}")
    blocks: list[list[TableRow]] = []
    scales: list[float] = []
    failure = "no step count works"
    for steps in range(1, max_steps + 1):
        try:
            rows, scale = _block(solver, config, steps)
        except (ArithmeticError, ValueError, IndexError, RuntimeError) as error:
            rows, scale, failure = [], 1.0, str(error)
        blocks.append(rows)
        scales.append(float(np.float32(scale)))
    if not any(blocks):
        raise ScheduleError(solver, _culprit(solver, config), failure)
    table = _pack(solver, blocks, scales)
    for steps in CHECKED_STEPS:
        if steps <= max_steps and table.rows[steps - 1]:
            _check(table, config, steps)
    return table


def scheduler(solver: str, config: Mapping[str, Any], steps: int) -> Scheduler:
    """Return the diffusers scheduler behind `solver`, made from another's config as a diffusers user makes
    it: defaults of the other's class, which its config lists, become defaults of this one.
    """
    name, insisted = SOLVERS[solver]
    told = dict(config)
    if told.get("_class_name") == name:  # the pipeline's own, with what the pipeline corrected of it
        told.pop("_use_default_values", None)
    made = getattr(diffusers, name).from_config(told, **insisted)
    made.set_timesteps(steps)
    return made


def run(
    made: Scheduler, start: torch.Tensor, model: Callable[[torch.Tensor, int], torch.Tensor]
) -> Iterator[torch.Tensor]:
    """Yield the states of diffusers' own loop, `start` first; `model(scaled input, row)` gives the
    outputs.
    """
    state = start
    yield state
    for row, timestep in enumerate(made.timesteps):
        output = model(made.scale_model_input(state, timestep), row)
        state = made.step(output, timestep, state, return_dict=False)[0]
        yield state


def replay(block: Array, start: Array, model: Callable[[Array, int], Array]) -> Array:
    """Return the last state of a table's recurrence, in the dtype of `start`, by the rules of
    docs/BUNDLE.md.
    """
    window = (block.shape[1] - 4) // 2
    dtype = start.dtype.type
    states: list[Array] = [start]
    outputs: list[Array] = []
    for index, row in enumerate(block):
        outputs.insert(0, model(dtype(row[1]) * states[0], index))
        terms = [dtype(p) * x for p, x in zip(row[2 : 2 + window], states, strict=False) if p]
        terms += [dtype(c) * m for c, m in zip(row[2 + window : -2], outputs, strict=False) if c]
        states.insert(0, sum(terms[1:], start=terms[0]))
        del states[window:], outputs[window:]
    return states[0]


def _block(solver: str, config: Mapping[str, Any], steps: int) -> tuple[list[TableRow], float]:
    """Return all rows for one step count, and the scale of the start noise."""
    made = scheduler(solver, config, steps)
    count = len(made.timesteps)
    # The basis: the start first, then one output per row, along the channel axis of a [1, C, 1, 1] sample.
    units = torch.eye(count + 1, dtype=torch.float64).as_subclass(_Float64)[:, None, :, None, None]
    scaled = []

    def model(sample: torch.Tensor, row: int) -> torch.Tensor:
        scaled.append(_numbers(sample))
        return units[row + 1]

    states = np.array([_numbers(state) for state in run(made, units[0], model)])
    if not np.isfinite(states).all():
        raise ArithmeticError(f"its coefficients for {steps} steps are not finite")
    factors = [_factor(state, sample) for state, sample in zip(states, scaled, strict=False)]
    p, c = zip(*_recurrence(states), strict=True)
    e = x0_prediction.coefficients(made, factors)
    rows = [TableRow(*row) for row in zip(made.timesteps.tolist(), factors, p, c, e, strict=True)]
    return rows, float(made.init_noise_sigma)


def _numbers(sample: torch.Tensor) -> Array:
    return sample.as_subclass(torch.Tensor).numpy().reshape(-1)


def _factor(state: Array, scaled: Array) -> float:
    """Return the number that turns a state into the model's input."""
    largest = int(np.abs(state).argmax())
    factor = float(scaled[largest] / state[largest])
    if np.abs(scaled - factor * state).max() > RESIDUAL * np.abs(scaled).max():
        raise ArithmeticError("its scale_model_input is not a multiplication")
    return factor


def _recurrence(states: Array) -> list[tuple[Array, Array]]:
    """Return the (p, c) of every row, in the shortest window that explains them all.

    `states` is float64 [rows + 1, 1 + rows]: coefficients of the start and of each output.
    """
    for window in range(1, MAX_WINDOW + 1):
        terms = []
        for row in range(len(states) - 1):
            found = _terms(states, row, window)
            if found is None:
                break
            terms.append(found)
        else:
            return terms
    raise ArithmeticError(f"row {row} is not a recurrence over {MAX_WINDOW} states")


def _terms(states: Array, row: int, window: int) -> tuple[Array, Array] | None:
    """Return the (p, c) of one row that read the fewest states, or None.

    The window's own outputs can take any coefficient, so `p` is found on the other components alone, by least
    squares.
    """
    reach = min(window, row + 1)
    outside = slice(0, row + 2 - reach)
    target = states[row + 1]
    for reads in range(1, reach + 1):
        read = states[row - reads + 1 : row + 1][::-1]
        p = _solve(read[:, outside].T, target[outside])
        rest = target - p @ read
        if np.abs(rest[outside]).max() <= RESIDUAL * np.abs(target).max():
            c = rest[outside.stop : row + 2][::-1].copy()
            c[np.abs(c) <= np.finfo(float).eps * np.abs(target).max()] = 0.0
            return np.pad(p, (0, window - reads)), np.pad(c, (0, window - reach))
    return None


def _solve(matrix: Array, target: Array) -> Array:
    """Least squares; the one-column case, nearly all rows of most solvers, without a decomposition."""
    if matrix.shape[1] == 1:
        column = matrix[:, 0]
        return np.array([column @ target / (column @ column)])
    return np.linalg.lstsq(matrix, target, rcond=None)[0]


def _pack(solver: str, blocks: list[list[TableRow]], scales: list[float]) -> Table:
    window = max(len(row.p) for block in blocks for row in block)
    data = [
        np.concatenate(
            [
                [row.timestep, row.input_scale],
                *(np.pad(part, (0, window - len(part))) for part in (row.p, row.c)),
                row.e,
            ]
        )
        for block in blocks
        for row in block
    ]
    return Table(solver, window, tuple(map(len, blocks)), tuple(scales), np.array(data))


def _check(table: Table, config: Mapping[str, Any], steps: int) -> None:
    """Run diffusers' float32 loop twice, with large values, and hold the table against it."""
    block = table.block(steps)
    draw = np.random.default_rng(steps).standard_normal
    start = (AMPLITUDE * draw((1, 4, 8, 8))).astype(np.float32)
    outputs = (AMPLITUDE * draw((len(block), 1, 4, 8, 8))).astype(np.float32)

    def loop() -> Array:
        made = scheduler(table.solver, config, steps)
        states = run(made, torch.from_numpy(start), lambda _, row: torch.from_numpy(outputs[row]))
        *_, last = states
        return last.numpy()

    first, again = loop(), loop()
    culprit = _culprit(table.solver, config)
    if not np.array_equal(first, again):
        raise ScheduleError(table.solver, culprit, "it draws noise, so two runs differ")
    ours = replay(block.astype(np.float32), start, lambda _, row: outputs[row])
    error = float(np.abs(ours - first).max() / np.abs(first).max())
    if not error <= FLOAT32_TOLERANCE:
        raise ScheduleError(
            table.solver, culprit, f"it is not linear (relative error {error:.2g} at {steps} steps)"
        )


def _culprit(solver: str, config: Mapping[str, Any]) -> str | None:
    """Return the config field most likely to blame, given that the probe has failed."""
    made = scheduler(solver, config, 1).config
    suspects = {
        "thresholding": made.get("thresholding"),
        "clip_sample": made.get("clip_sample"),
        "algorithm_type": str(made.get("algorithm_type", "")).startswith("sde"),
        "rescale_betas_zero_snr": made.get("rescale_betas_zero_snr"),
        "prediction_type": made.get("prediction_type") not in x0_prediction.PREDICTIONS,
    }
    return next((field for field, guilty in suspects.items() if guilty), None)
