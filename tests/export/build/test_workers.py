"""Parts in processes: results, errors, crashes, and the budgets they run within."""

import os
import signal
import time

import pytest

from export.build import workers
from export.build.workers import WorkerTask
from runtime.errors import CrashError, ParityError, PartError


def succeed(argument, report):
    report("half", 0.5)
    return argument * 2


def fail(argument, report):
    raise ValueError(f"no {argument}")


def fail_typed(argument, report):
    raise ParityError("onnx", 2.0, 1.0)


def die(argument, report):
    report("crashing", 0.5)
    os.kill(os.getpid(), argument)


def overlap(argument, report):
    """When it ran, from start to end."""
    start = time.monotonic()
    time.sleep(0.2)  # what is measured, not a way to wait
    return start, time.monotonic()


def run(tasks, **options):
    seen = []
    options = {"jobs": 2, "threads": 1, "memory": 100, **options}
    outcomes = workers.run(tasks, progress=lambda *stage: seen.append(stage), **options)
    return {outcome.name: outcome for outcome in outcomes}, seen


def test_results_and_stages_arrive():
    outcomes, seen = run([WorkerTask("a", succeed, 2, 1), WorkerTask("b", succeed, 3, 1)])
    assert (outcomes["a"].result, outcomes["b"].result) == (4, 6)
    assert ("a", "half", 0.5) in seen


def test_errors_of_ours_arrive_as_they_are_and_others_as_text():
    outcomes, _ = run([WorkerTask("typed", fail_typed, None, 1), WorkerTask("other", fail, "luck", 1)])
    typed, other = outcomes["typed"].error, outcomes["other"].error
    assert isinstance(typed, ParityError)
    assert (typed.rung, typed.error, typed.tolerance) == ("onnx", 2.0, 1.0)
    assert type(other) is PartError
    assert "ValueError at test_workers.py" in str(other)
    assert "no luck" in str(other)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_costs_one_part_and_names_its_signal(number):
    outcomes, _ = run([WorkerTask("crash", die, number, 1), WorkerTask("other", succeed, 1, 1)])
    assert isinstance(outcomes["crash"].error, CrashError)
    assert number.name in str(outcomes["crash"].error)
    assert outcomes["crash"].stage == "crashing"
    assert outcomes["other"].result == 2


@pytest.mark.parametrize("limit", [{"memory": 10}, {"jobs": 1}])
def test_what_does_not_fit_waits(limit):
    outcomes, _ = run([WorkerTask("a", overlap, None, 8), WorkerTask("b", overlap, None, 8)], **limit)
    (_, first_end), (second_start, _) = sorted(outcome.result for outcome in outcomes.values())
    assert first_end <= second_start


def test_a_part_larger_than_the_budget_runs_alone():
    outcomes, _ = run([WorkerTask("large", succeed, 1, 1000)], memory=10)
    assert outcomes["large"].result == 2
