"""Commands of the product, run as a user runs them, with the time and the memory that each takes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from runtime.errors import RuntimeFailure


@dataclass(frozen=True, slots=True)
class Ran:
    """The cost of a command: `seconds`, and `peak`, the bytes in memory of its largest process."""

    seconds: float
    peak: int


def ran(module: str, *arguments: object) -> Ran:
    """Run `python -m module` to its end, its output where ours goes. Raises RuntimeFailure where it fails."""
    command = _command(module, arguments)
    print(" ".join(["python", *command[1:]]), file=sys.stderr, flush=True)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeFailure(f"python -m {module} ended with {process.returncode}; its error is above")
    return Ran(time.perf_counter() - start, usage.ru_maxrss * 1024)


def killed(when: Callable[[], bool], module: str, *arguments: object, patience: float = 3600.0) -> None:
    """Run `python -m module`, and kill it with all its children as soon as `when`.

    Raises RuntimeFailure where it ended before that, or was not so far after `patience` seconds.
    """
    command, end = _command(module, arguments), time.monotonic() + patience
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while not (there := when()) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        ended = process.poll() is not None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if ended or not there:
        raise RuntimeFailure(f"python -m {module} was to be killed on its way, and was not on it")


def _command(module: str, arguments: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]
