"""Threads within what the system allows: a container may give no more of them, and no wait is endless."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar, overload

from runtime.errors import Unavailable

T = TypeVar("T")

_NONE_LEFT = (
    "the system gives this process no more threads; raise the limit of processes "
    "(RLIMIT_NPROC, or pids.max of its container), and try again"
)


def start(thread: threading.Thread) -> None:
    """Start a thread. Raises `Unavailable` where the system gives none."""
    try:
        thread.start()
    except RuntimeError as error:
        raise Unavailable(_NONE_LEFT) from error


async def in_thread(work: Callable[..., T], *arguments: object) -> T:
    """Do blocking work in a thread of the running loop. Raises `Unavailable` where the system gives none."""
    context = contextvars.copy_context()
    try:
        done = asyncio.get_running_loop().run_in_executor(None, partial(context.run, work, *arguments))
    except RuntimeError as error:
        raise Unavailable(_NONE_LEFT) from error
    return await done


@overload
def clamped(seconds: float) -> float: ...
@overload
def clamped(seconds: None) -> None: ...
def clamped(seconds: float | None) -> float | None:
    """Return the wait nearest to `seconds` that a lock can make (None: without end): more is an error."""
    return None if seconds is None else min(max(0.0, seconds), threading.TIMEOUT_MAX)
