"""Solvers as tables: loading them, and walking a trajectory along one (docs/BUNDLE.md, "Schedules").

There is no solver here. Arithmetic is float32, left to right, every product and sum rounded on its own, by
ufuncs that write into buffers made once: the same bits in every language, and no allocation per step.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Schedule
from runtime.errors import FieldError, ManifestError
from runtime.request.params import ResolvedParams

Float32 = npt.NDArray[np.float32]


class Row(NamedTuple):
    """One UNet call and the step after it. Terms are (steps back, coefficient), without zeros.

    `estimate`: what of its own state and output are the clean latents, as far as can be told then.
    """

    timestep: float
    input_scale: float
    states: tuple[tuple[int, float], ...]
    outputs: tuple[tuple[int, float], ...]
    estimate: tuple[float, float]


class SolverSteps(NamedTuple):
    """The rows of one solver at one step count, and what the start noise is multiplied by."""

    rows: tuple[Row, ...]
    noise_scale: float
    window: int


class Solver:
    """One solver's table, from which the rows for any offered step count are read."""

    def __init__(self, name: str, schedule: Schedule, data: bytes) -> None:
        self.name, self.schedule = name, schedule
        width = 4 + 2 * schedule.window
        self._table = np.frombuffer(data, dtype="<f4").reshape(-1, width)
        if not np.isfinite(self._table).all():
            raise ManifestError(f"{schedule.table}: holds a value that is not finite")
        self._read_already: dict[int, SolverSteps] = {}

    @classmethod
    def load(cls, bundle: Bundle, name: str) -> "Solver":
        """Read the table of the solver `name`. Raises `ManifestError`, `IntegrityError`."""
        schedule = bundle.manifest.schedules[name]
        return cls(name, schedule, bundle.read(schedule.table))

    def steps(self, params: ResolvedParams) -> SolverSteps:
        """Return the rows for a request. Raises `FieldError` where the solver does not offer its steps."""
        if params.steps not in self._read_already:
            self._read_already[params.steps] = self._read(params.steps)
        return self._read_already[params.steps]

    def _read(self, steps: int) -> SolverSteps:
        rows, window = self.schedule.rows, self.schedule.window
        if not 1 <= steps <= len(rows) or not rows[steps - 1]:
            offered = _ranges([n for n, count in enumerate(rows, start=1) if count])
            raise FieldError(
                "steps", f"steps {steps}: solver {self.name!r} offers {offered}; choose one of these"
            )
        start = sum(rows[: steps - 1])
        block = self._table[start : start + rows[steps - 1]].tolist()
        found = tuple(_row(values, window) for values in block)
        for index, row in enumerate(found):
            if any(back > index for back, _ in row.states + row.outputs):
                raise ManifestError(
                    f"{self.schedule.table}: row {index} for {steps} steps reads before the first row"
                )
        return SolverSteps(found, self.schedule.noise_scale[steps - 1], window)


def _row(values: Sequence[float], window: int) -> Row:
    timestep, input_scale, *coefficients, of_state, of_output = values
    terms = [(index % window, value) for index, value in enumerate(coefficients) if value != 0]
    split = sum(1 for value in coefficients[:window] if value != 0)
    return Row(timestep, input_scale, tuple(terms[:split]), tuple(terms[split:]), (of_state, of_output))


def _ranges(numbers: Sequence[int]) -> str:
    """`1 to 50, 60` for runs of consecutive numbers."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join(" to ".join(map(str, run)) for run in runs) or "no step count"


class Trajectory:
    """One image's latents on their way along a solver's steps. `latents` is the current state, [C, H, W].

    States and outputs of the last steps live in rings as long as the window asks, and are never copied.
    """

    def __init__(self, steps: SolverSteps, noise: Float32) -> None:
        self.steps, self.position = steps, 0
        # One state more than the window: the next one is summed up while all of the window is still read.
        self._states = np.empty((steps.window + 1, *noise.shape), np.float32)
        self._outputs = np.empty((steps.window, *noise.shape), np.float32)
        self._term = np.empty(noise.shape, np.float32)
        self.latents: Float32 = self._states[0]
        np.multiply(noise, np.float32(steps.noise_scale), out=self.latents)

    @property
    def row(self) -> Row:
        """The row whose UNet call comes next."""
        return self.steps.rows[self.position]

    @property
    def done(self) -> bool:
        """Whether every row has been walked."""
        return self.position == len(self.steps.rows)

    def write_input(self, out: Float32) -> None:
        """Write the UNet's next input, [C, H, W]."""
        np.multiply(self.latents, self.row.input_scale, out=out)

    def advance(self, output: Float32, negative: Float32 | None = None, guidance: float = 1.0) -> None:
        """Walk the next row with the UNet's output for the prompt, guided away from the negative one's."""
        position, window = self.position, self.steps.window
        model = self._outputs[position % window]
        if negative is None:
            np.copyto(model, output)
        else:
            np.subtract(output, negative, out=model)
            np.multiply(model, guidance, out=model)
            np.add(negative, model, out=model)
        row, total = self.steps.rows[position], self._states[(position + 1) % (window + 1)]
        terms = [(self._states[(position - back) % (window + 1)], value) for back, value in row.states]
        terms += [(self._outputs[(position - back) % window], value) for back, value in row.outputs]
        self._sum(terms, total)
        self.latents, self.position = total, position + 1

    def estimate(self) -> Float32:
        """Return the last prediction of the clean latents, a new array [C, H, W]. A row has been walked."""
        position, window = self.position - 1, self.steps.window
        assert position >= 0, "an estimate needs a UNet's output"
        own = self._states[position % (window + 1)], self._outputs[position % window]
        coefficients = self.steps.rows[position].estimate
        total = np.empty_like(self._term)
        self._sum([term for term in zip(own, coefficients, strict=True) if term[1] != 0], total)
        return total

    def _sum(self, terms: Sequence[tuple[Float32, float]], total: Float32) -> None:
        if not terms:
            total.fill(0.0)
            return
        array, value = terms[0]
        np.multiply(array, value, out=total)
        for array, value in terms[1:]:
            np.multiply(array, value, out=self._term)
            np.add(total, self._term, out=total)
