"""Quarantine: failures in a row, and only those."""

import pytest

from runtime.service.health import FAILURES, SECONDS, Health

EXPERT = "models", "0"


def failed(health: Health, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        health.failed(EXPERT, now)


def test_failures_in_a_row() -> None:
    health = Health()
    failed(health, FAILURES - 1)
    assert not health.quarantined(EXPERT, 0.0)
    failed(health, 1)
    assert health.quarantined(EXPERT, SECONDS - 1)
    assert not health.quarantined(EXPERT, SECONDS)


@pytest.mark.parametrize("before", [1, FAILURES - 1, FAILURES])
def test_a_success_ends_a_row(before: int) -> None:
    health = Health()
    failed(health, before)
    health.worked(EXPERT)
    assert not health.quarantined(EXPERT, 0.0)
    failed(health, FAILURES - 1)
    assert not health.quarantined(EXPERT, 0.0)
