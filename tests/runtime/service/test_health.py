"""Quarantine: failures in a row, and nothing else, end in it."""

from runtime.service.health import FAILURES, SECONDS, Health

EXPERT = ("models", "0")


def fail(health: Health, times: int) -> None:
    for _ in range(times):
        health.failed(EXPERT, now=0.0)


def test_failures_in_a_row_are_enough() -> None:
    health = Health()
    fail(health, FAILURES - 1)
    assert not health.quarantined(EXPERT, now=0.0)
    fail(health, 1)
    assert health.quarantined(EXPERT, now=0.0)
    assert health.quarantined(EXPERT, now=SECONDS - 1)
    assert not health.quarantined(EXPERT, now=SECONDS)


def test_a_success_ends_a_row_of_failures() -> None:
    health = Health()
    for _ in range(3):
        fail(health, FAILURES - 1)
        health.worked(EXPERT)
    assert not health.quarantined(EXPERT, now=0.0)


def test_a_success_after_quarantine_starts_anew() -> None:
    health = Health()
    fail(health, FAILURES)
    health.worked(EXPERT)
    fail(health, FAILURES - 1)
    assert not health.quarantined(EXPERT, now=0.0)
