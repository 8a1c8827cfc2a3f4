"""The log's thread: what it writes, and that a reader who stops stops nobody else."""

import io
import logging
import threading

import pytest

from runtime.serve import log
from runtime.serve.log import Backlog, TextLines
from tests.runtime.serve.fake_runtime import WAIT


class Stuck(io.StringIO):
    """A reader that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        assert self.go_on.wait(WAIT)
        return super().write(text)


def backlog(stream: io.StringIO) -> Backlog:
    handler = Backlog(stream)
    handler.setFormatter(TextLines())
    return handler


def record(text: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text, "levelname": "INFO"})


def test_lines_are_written_in_order() -> None:
    stream = io.StringIO()
    handler = backlog(stream)
    for text in ("first", "second"):
        handler.emit(record(text))
    handler.flush()
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["first", "second"]


def test_what_a_stuck_reader_misses_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MOST", 2)
    stream = Stuck()
    handler = backlog(stream)
    handler.emit(record("written"))
    assert stream.reached.wait(WAIT)
    for text in ("waits", "waits", "dropped", "dropped"):
        logging_it = threading.Thread(target=handler.emit, args=[record(text)])
        logging_it.start()
        logging_it.join(1)
        assert not logging_it.is_alive()
    stream.go_on.set()
    handler.flush()
    told = [
        line.partition(" INFO ")[2] or line.partition(" WARNING ")[2]
        for line in stream.getvalue().splitlines()
    ]
    assert told == ["written", "2 lines of the log were dropped", "waits", "waits"]


def test_a_reader_that_is_gone_is_no_failure() -> None:
    stream = io.StringIO()
    stream.close()
    handler = backlog(stream)
    handler.emit(record("to nobody"))
    handler.flush()
