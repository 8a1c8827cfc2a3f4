"""The log's thread: what it writes, and that a reader who stops stops nobody else."""

import io
import json
import logging
import os
import subprocess
import sys
import threading

import pytest

from runtime.errors import Unavailable
from runtime.serve import log
from runtime.serve.log import Backlog, TextLines
from tests.runtime.serve.fake_runtime import WAIT


class Stuck(io.BytesIO):
    """A reader that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = threading.Event(), threading.Event()

    def write(self, text: object) -> int:
        self.reached.set()
        assert self.go_on.wait(WAIT)
        return super().write(text)  # type: ignore[arg-type]


class Torn(io.BytesIO):
    """Takes five bytes at a time, and after the first of them fails once."""

    calls = 0

    def write(self, text: object) -> int:
        self.calls += 1
        if self.calls == 2:
            raise OSError("no space left on device")
        return super().write(bytes(text)[:5])  # type: ignore[call-overload]


def backlog(file: object) -> Backlog:
    handler = Backlog(file)  # type: ignore[arg-type]
    handler.setFormatter(TextLines())
    return handler


def record(text: str, *args: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text, "args": args, "levelname": "INFO"})


def told(file: io.BytesIO) -> list[str]:
    lines = file.getvalue().decode().splitlines()
    return [line.partition(" INFO ")[2] or line.partition(" WARNING ")[2] or line for line in lines]


def test_lines_are_written_in_order() -> None:
    file = io.BytesIO()
    handler = backlog(file)
    for text in ("first", "second"):
        handler.emit(record(text))
    handler.flush()
    assert told(file) == ["first", "second"]


def test_what_a_stuck_reader_misses_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MOST", 2)
    file = Stuck()
    handler = backlog(file)
    handler.emit(record("written"))
    assert file.reached.wait(WAIT)
    for text in ("waits", "waits", "dropped", "dropped"):
        logging_it = threading.Thread(target=handler.emit, args=[record(text)])
        logging_it.start()
        logging_it.join(WAIT)
        assert not logging_it.is_alive()
    file.go_on.set()
    handler.flush()
    assert told(file) == ["written", "2 lines of the log were dropped", "waits", "waits"]


def test_a_line_that_is_cut_off_is_counted_and_ends_there() -> None:
    file = Torn()
    handler = backlog(file)
    for text in ("lost", "kept"):
        handler.emit(record(text))
    handler.flush()
    lines = told(file)
    assert len(lines[0]) == 5
    assert lines[1:] == ["1 lines of the log were dropped", "kept"]


def test_a_mistake_in_a_line_is_counted_and_nobodys_failure() -> None:
    file = io.BytesIO()
    handler = backlog(file)
    handler.emit(record("%d of them", "no number"))
    handler.emit(record("kept"))
    handler.flush()
    assert told(file) == ["1 lines of the log were dropped", "kept"]


def test_a_reader_that_is_gone_is_no_failure() -> None:
    file = io.BytesIO()
    file.close()
    handler = backlog(file)
    handler.emit(record("to nobody"))
    handler.flush()


def test_a_pipe_that_does_not_wait_is_waited_for() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    lines = 2_000  # more than the pipe holds
    with open(read, "rb") as reader, open(write, "wb", buffering=0) as writer:
        handler = backlog(writer)
        for number in range(lines):
            handler.emit(record(f"line {number} {'x' * 90}"))
        found = [reader.readline().split()[3] for _ in range(lines)]
    assert found == [b"%d" % number for number in range(lines)]


def test_a_log_without_a_thread_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def scarce(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", scarce)
    with pytest.raises(Unavailable, match="no more threads"):
        backlog(io.BytesIO())


# Everything in a process that may say something says it, and then the process ends.
PROGRAM = """
import logging, sys, threading, warnings
from runtime.serve import log
log.configure("json")
log.LOGGER.info("ours", extra={"facts": {"id": "1"}})
logging.getLogger("runtime").warning("the runtime's %s", "own")
logging.getLogger("uvicorn.error").warning("uvicorn's")
logging.getLogger("somebody").info("not told")
warnings.warn("a warning")
thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start()
thread.join()

class Unraisable:
    def __del__(self):
        raise ValueError("in vain")

Unraisable()
raise RuntimeError("the last word")
"""


def test_whatever_is_told_is_a_line_of_the_log() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines[:3]] == ["ours", "the runtime's own", "uvicorn's"]
    assert "UserWarning: a warning" in lines[3]["event"]
    traces = [line["traceback"].splitlines()[-1] for line in lines[4:]]
    assert traces == [
        "ZeroDivisionError: division by zero",
        "ValueError: in vain",
        "RuntimeError: the last word",
    ]
    assert (done.returncode, done.stdout) == (1, "")
