"""Failures over HTTP: each has its status, type and code."""

import math

import pytest

from runtime.errors import (
    Closed,
    CodeUnavailable,
    DeadlineExceeded,
    EngineFailure,
    IntegrityError,
    QueueFull,
    RuntimeFailure,
    UsageError,
)
from runtime.serve.problem import FieldError, Problem, whole_seconds


@pytest.mark.parametrize(
    ("failure", "status", "kind", "code"),
    [
        (UsageError("x"), 400, "invalid_request_error", "invalid_value"),
        (QueueFull("x", 1.5), 429, "rate_limit_error", "queue_full"),
        (Closed("x"), 503, "server_error", "unavailable"),
        (CodeUnavailable("x"), 503, "server_error", "code_unavailable"),
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
    ("seconds", "told"),
    [(0.0, 1), (0.2, 1), (1.0, 1), (1.01, 2), (1e9, 3600), (math.inf, 3600), (math.nan, 3600)],
)
def test_waiting_is_told_in_whole_seconds(seconds: float, told: int) -> None:
    assert whole_seconds(seconds) == told
    assert Problem.of(QueueFull("x", seconds)).response().headers["retry-after"] == str(told)


def test_whoever_is_closed_says_when_to_come_again() -> None:
    assert int(Problem.of(Closed("x")).response().headers["retry-after"]) >= 1


def test_messages_may_quote_anything() -> None:
    assert rb"\ud800" in Problem(400, "half of a pair: \ud800").body
