"""Failures over HTTP: each has its status, type and code."""

import math
import pickle

import pytest

from runtime.errors import (
    Closed,
    CodeUnavailable,
    DeadlineExceeded,
    EngineFailure,
    FieldError,
    IntegrityError,
    Quarantined,
    QueueFull,
    RuntimeFailure,
    UsageError,
)
from runtime.serve.problem import Problem, whole_seconds


@pytest.mark.parametrize(
    ("failure", "status", "kind", "code"),
    [
        (UsageError("x"), 400, "invalid_request_error", "invalid_value"),
        (QueueFull("x", 1.5), 429, "rate_limit_error", "queue_full"),
        (Closed("x"), 503, "server_error", "unavailable"),
        (CodeUnavailable("x"), 404, "invalid_request_error", "model_not_found"),
        (Quarantined("x", 60.0), 503, "server_error", "code_unavailable"),
        (DeadlineExceeded("x"), 504, "server_error", "deadline_exceeded"),
        (EngineFailure("x"), 500, "server_error", "engine_failure"),
        (IntegrityError("x"), 500, "server_error", "failed"),
        (RuntimeFailure("x"), 500, "server_error", "failed"),
    ],
)
def test_every_failure_has_its_reply(failure: RuntimeFailure, status: int, kind: str, code: str) -> None:
    problem = Problem.of(failure)
    assert problem.response().status_code == status
    assert problem.document == {"error": {"message": "x", "type": kind, "param": None, "code": code}}


def test_a_field_is_named() -> None:
    assert Problem.of(FieldError("seed", "x")).document["error"]["param"] == "seed"


@pytest.mark.parametrize(
    ("failure", "spelt", "param"),
    [
        (FieldError("steps", "x"), {"steps": "num_inference_steps"}, "num_inference_steps"),
        (FieldError("steps", "x"), {}, "steps"),
        (FieldError("code", "x"), {"code": "code"}, "code"),
        (FieldError("code", "x"), {"code": "model"}, "model"),
        (CodeUnavailable("x"), {"code": "model"}, "model"),
        (CodeUnavailable("x"), {}, None),  # the prompt was sent there
        (UsageError("x"), {"code": "model"}, None),
    ],
)
def test_a_field_has_the_name_that_its_client_gave_it(
    failure: RuntimeFailure, spelt: dict[str, str], param: str | None
) -> None:
    assert Problem.of(failure, spelt).document["error"]["param"] == param


def test_a_model_that_no_code_can_be_is_not_there() -> None:
    assert Problem.of(FieldError("code", "x"), {"code": "model"}).status == 404
    assert Problem.of(FieldError("code", "x"), {"code": "code"}).status == 400


@pytest.mark.parametrize("failure", [FieldError("steps", "x"), Quarantined("x", 2.0)])
def test_failures_with_more_than_a_message_can_be_pickled(failure: RuntimeFailure) -> None:
    found = pickle.loads(pickle.dumps(failure))
    assert (type(found), str(found), vars(found)) == (type(failure), str(failure), vars(failure))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, 1), (0.2, 1), (1.0, 1), (1.01, 2), (1e9, 3600), (math.inf, 3600), (math.nan, 3600)],
)
def test_waiting_is_told_in_whole_seconds(seconds: float, told: int) -> None:
    assert whole_seconds(seconds) == told
    for failure in (QueueFull("x", seconds), Quarantined("x", seconds)):
        assert Problem.of(failure).response().headers["retry-after"] == str(told)


def test_whoever_is_closed_says_when_to_come_again() -> None:
    assert int(Problem.of(Closed("x")).response().headers["retry-after"]) >= 1


def test_messages_may_quote_anything() -> None:
    assert rb"\ud800" in Problem(400, "half of a pair: \ud800").body
