"""Threads that the system does not give, and waits that no lock can make."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from runtime.errors import Unavailable
from runtime.machine import threads

NONE_LEFT = "can't start new thread"


def scarce(self: threading.Thread) -> None:
    raise RuntimeError(NONE_LEFT)


def test_a_thread_that_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", scarce)
    with pytest.raises(Unavailable, match=r"no more threads; raise the limit of processes .*pids\.max"):
        threads.start(threading.Thread())


def test_work_in_a_thread_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    variable = contextvars.ContextVar("variable", default=0)

    async def main() -> None:
        variable.set(3)
        assert await threads.in_thread(lambda given: (given, variable.get()), 7) == (7, 3)
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", scarce)
            with pytest.raises(Unavailable, match="no more threads"):
                await threads.in_thread(print)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("seconds", "waited"),
    [(None, None), (0.5, 0.5), (-1.0, 0.0), (1e10, threading.TIMEOUT_MAX), (1e300, threading.TIMEOUT_MAX)],
)
def test_waits_are_what_a_lock_can_make(seconds: float | None, waited: float | None) -> None:
    assert threads.clamped(seconds) == waited
    if waited is not None:
        threading.Event().wait(0.0 if waited > 1 else waited)
