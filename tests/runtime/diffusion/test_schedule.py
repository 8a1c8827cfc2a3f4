import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Schedule
from runtime.cli.size import Size
from runtime.diffusion.schedule import Row, Solver, SolverSteps, Trajectory
from runtime.errors import ManifestError, UsageError
from runtime.request.params import ResolvedParams
from tests.bundles import SOLVERS, STEPS

SHAPE = (2, 3, 3)


def total(coefficients: np.ndarray, terms: list[np.ndarray]) -> np.ndarray:
    """Left to right, what is zero skipped."""
    products = [c * term for c, term in zip(coefficients, terms, strict=False) if c != 0]
    return sum(products[1:], start=products[0]) if products else np.zeros_like(terms[0])


def plain(
    table: np.ndarray, window: int, noise_scale: float, noise: np.ndarray, model
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The page's recurrence, one float32 operation after another, every state and output kept.

    Gives the last state, and what every row says of the clean latents.
    """
    states, outputs, clean = [np.float32(noise_scale) * noise], [], []
    for row in table:
        outputs.append(model(row[1] * states[-1], row[0]))
        clean.append(total(row[-2:], [states[-1], outputs[-1]]))
        recent = [(history[::-1] + [noise] * window)[:window] for history in (states, outputs)]
        states.append(total(row[2:-2], recent[0] + recent[1]))
    return states[-1], clean


def model(sample: np.ndarray, timestep: float) -> np.ndarray:
    return np.sin(sample + np.float32(timestep)).astype(np.float32)


def solver(rows: np.ndarray, counts: list[int], window: int) -> Solver:
    schedule = Schedule("schedules/x.bin", window, tuple(counts), (1.5,) * len(counts))
    return Solver("x", schedule, rows.astype("<f4").tobytes())


def taking(steps: int) -> ResolvedParams:
    """A request's parameters, of which a solver reads the steps."""
    return ResolvedParams(solver="x", steps=steps, guidance=1.0, size=Size(8, 8))


def walk(trajectory: Trajectory) -> tuple[np.ndarray, list[np.ndarray]]:
    """The last state, and the estimate after every row."""
    estimates: list[np.ndarray] = []
    sample = np.empty(trajectory.latents.shape, np.float32)
    while not trajectory.done:
        trajectory.write_input(sample)
        trajectory.advance(model(sample, trajectory.row.timestep))
        estimates.append(trajectory.estimate())
    return trajectory.latents, estimates


@settings(max_examples=60, deadline=None)
@given(window=st.integers(1, 4), steps=st.integers(1, 9), seed=st.integers(0, 1000))
def test_a_trajectory_is_the_recurrence_to_the_bit(window: int, steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(steps, 4 + 2 * window)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.3] = 0
    for index in range(min(window, steps)):  # nothing before the first row
        rows[index, 2 + index + 1 : 2 + window] = rows[index, 2 + window + index + 1 : -2] = 0
    noise = rng.normal(size=SHAPE).astype(np.float32)
    course = solver(rows, [0] * (steps - 1) + [steps], window).steps(taking(steps))
    last, clean = plain(rows, window, 1.5, noise, model)
    found, estimates = walk(Trajectory(course, noise))
    assert found.tobytes() == last.tobytes()
    assert [one.tobytes() for one in estimates] == [one.tobytes() for one in clean]


@pytest.mark.parametrize("name", SOLVERS)
def test_every_step_count_of_a_bundle(bundle: Bundle, name: str) -> None:
    loaded = Solver.load(bundle, name)
    for steps in range(1, STEPS + 1):
        course = loaded.steps(taking(steps))
        assert len(course.rows) == steps
        assert course.rows[0].timestep == 999.5
        assert all(len(row.outputs) <= SOLVERS[name] for row in course.rows)


def test_guidance_is_rounded_operation_by_operation() -> None:
    rng = np.random.default_rng(0)
    noise, conditional, negative = (rng.normal(size=SHAPE).astype(np.float32) for _ in range(3))
    course = SolverSteps((Row(0.0, 1.0, ((0, 0.7),), ((0, -0.3),), (1.0, 0.5)),), 1.0, 1)
    trajectory = Trajectory(course, noise)
    trajectory.advance(conditional, negative, 7.5)
    guided = negative + np.float32(7.5) * (conditional - negative)
    expected = np.float32(0.7) * noise + np.float32(-0.3) * guided
    assert trajectory.latents.tobytes() == expected.tobytes()
    assert trajectory.estimate().tobytes() == (noise + np.float32(0.5) * guided).tobytes()
    assert trajectory.done


def test_the_callers_arrays_are_left_alone() -> None:
    noise = np.ones(SHAPE, np.float32)
    trajectory = Trajectory(
        SolverSteps((Row(0.0, 1.0, ((0, 0.5),), ((0, 0.5),), (0.0, 1.0)),), 2.0, 1), noise
    )
    output = np.full(SHAPE, 3, np.float32)
    trajectory.advance(output)
    output.fill(np.nan)
    assert (trajectory.latents == 2.5).all()
    assert (noise == 1).all()


@pytest.mark.parametrize("steps", [0, -1, 2, 4, 10**9])
def test_step_counts_that_are_not_offered(steps: int) -> None:
    loaded = solver(np.ones((1 + 3, 6)), [1, 0, 3], 1)
    with pytest.raises(UsageError, match=rf"steps {steps}: solver 'x' offers 1, 3"):
        loaded.steps(taking(steps))


def test_runs_of_step_counts_are_named_short() -> None:
    with pytest.raises(UsageError, match="offers 1 to 3, 5;"):
        solver(np.ones((3 + 5 + 3, 6)), [1, 2, 3, 0, 5], 1).steps(taking(4))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_table_must_be_finite(value: float) -> None:
    rows = np.ones((1, 6))
    rows[0, 2] = value
    with pytest.raises(ManifestError, match="not finite"):
        solver(rows, [1], 1)


@pytest.mark.parametrize("column", [3, 5])
def test_a_table_must_not_read_before_the_first_row(column: int) -> None:
    rows = np.zeros((1, 8))
    rows[0, column] = 1
    with pytest.raises(ManifestError, match="before the first row"):
        solver(rows, [1], 2).steps(taking(1))


def test_a_row_of_zeros_gives_zeros() -> None:
    trajectory = Trajectory(solver(np.zeros((1, 6)), [1], 1).steps(taking(1)), np.ones(SHAPE, np.float32))
    last, (clean,) = walk(trajectory)
    assert not last.any()
    assert not clean.any()
