"""Worker processes that make parts: one process per part, within a budget of memory; they end with the build.

They come from a fork server that has torch and diffusers loaded, so a process costs milliseconds, and one
that crashes or runs out of memory costs its part alone. Refuses nothing: a part larger than the budget runs
alone.
"""

import multiprocessing
import os
import select
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from runtime.errors import AptpError, CrashError, PartError

# What every process needs; loaded once in the server, shared by all.
_PRELOAD = ["export.build.parts", "export.parity.image"]
# What multiprocessing gives as the exit code when its fork server was killed.
_LOST = 255

T = TypeVar("T")
Report = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class WorkerTask(Generic[T]):
    """A call in a process of its own: `work(argument, report)`, at a cost of `memory` bytes."""

    name: str
    work: Callable[[Any, Report], T]
    argument: Any
    memory: int


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """The outcome of a task: a result, or an error and the stage it came in."""

    name: str
    stage: str
    result: T | None = None
    error: Exception | None = None


@dataclass(slots=True)
class _Running:
    task: WorkerTask[Any]
    process: BaseProcess
    pipe: Connection
    stage: str = "start"
    result: Any = None
    error: Exception | None = None


def warm() -> None:
    """Start loading torch in the fork server while the caller does something else; once is enough."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOAD)
    forkserver.ensure_running()


def run(
    tasks: Sequence[WorkerTask[T]],
    *,
    jobs: int,
    threads: int,
    memory: int,
    progress: Callable[[str, str, float], None],
) -> Generator[Outcome[T]]:
    """Run all tasks, at most `jobs` at once and within `memory` bytes, and yield outcomes as they come.

    `progress(name, stage, share)` follows each. `threads` is what each process may compute with.
    """
    warm()
    waiting, running = list(tasks), list[_Running]()
    try:
        while waiting or running:
            while (task := _next(waiting, running, jobs, memory)) is not None:
                waiting.remove(task)
                running.append(_start(task, threads))
            wait([ready for one in running for ready in (one.pipe, one.process.sentinel)])
            for one in list(running):
                _listen(one, progress)
                if not one.process.is_alive():
                    running.remove(one)
                    yield _outcome(one, progress)
    finally:
        for one in running:
            one.process.kill()
            one.process.join()


def _next(
    waiting: list[WorkerTask[T]], running: list[_Running], jobs: int, memory: int
) -> WorkerTask[T] | None:
    free = memory - sum(one.task.memory for one in running)
    if len(running) >= jobs:
        return None
    return next((task for task in waiting if task.memory <= free or not running), None)


def _start(task: WorkerTask[Any], threads: int) -> _Running:
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, task, threads), name=task.name)
    process.start()
    theirs.close()
    return _Running(task, process, ours)


def _child(pipe: Connection, task: WorkerTask[Any], threads: int) -> None:
    threading.Thread(target=_die_with_build, args=(pipe,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(threads)
    try:
        result = task.work(task.argument, lambda stage, share: pipe.send(("stage", (stage, share))))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the part's outcome
        pipe.send(("error", _portable(error)))
    else:
        pipe.send(("result", result))


def _die_with_build(pipe: Connection) -> None:
    """Wait for the build to close its end, which its death does too, and end this process.

    The system's own way, a signal at the parent's death, would not do: the parent is the fork server, and
    that lives as long as any of its processes.
    """
    closing = select.poll()
    closing.register(pipe.fileno(), 0)  # no event but the error that nobody reads any more
    closing.poll()
    os.kill(os.getpid(), signal.SIGKILL)


def _portable(error: Exception) -> Exception:
    """Return the error as it may cross to another process: ours as they are, others as text with
    their place.
    """
    if isinstance(error, OSError | AptpError):
        return error
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"
    return PartError(f"{type(error).__name__} at {where}: {error}")


def _listen(one: _Running, progress: Callable[[str, str, float], None]) -> None:
    try:
        while one.pipe.poll():
            kind, value = one.pipe.recv()
            if kind == "stage":
                one.stage = value[0]
                progress(one.task.name, *value)
            elif kind == "error":
                one.error = value
            else:
                one.result = value
    except (EOFError, OSError):  # closed, or cut off in the middle of a message
        one.process.join()


def _outcome(one: _Running, progress: Callable[[str, str, float], None]) -> Outcome[Any]:
    _listen(one, progress)
    one.process.join()
    one.pipe.close()
    code = one.process.exitcode
    if one.error is None and code != 0:
        one.error = CrashError(_ending(code))
    return Outcome(one.task.name, one.stage, one.result, one.error)


def _ending(code: int | None) -> str:
    if code == _LOST:
        return "its process was lost with the server that started it; run the same command again"
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = "; if memory ran out, lower --jobs or raise --memory" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{hint}"
