"""The log: one JSON object, or one line of text, for each thing that happened, on standard error.

Whatever Python code tells in this process goes this one way: the server's own lines, warnings of the runtime
and of what is below it, and exceptions that nobody caught. Nobody waits for a reader of the log.

Prompts are not in it. What clients chose, such as paths, is escaped, so that it stays within its line.
"""

import json
import logging
import os
import queue
import select
import sys
import threading
import time
from io import RawIOBase
from types import TracebackType
from typing import Any

from runtime.machine import threads

FORMATS = ("json", "text")
LOGGER = logging.getLogger("aptp.serve")
MOST = 10_000  # lines that wait to be written
STANDARD_ERROR = 2


def configure(form: str) -> None:
    """Write what this package logs, and warnings of all others, in one of `FORMATS`. Raises `Unavailable`."""
    # A file of its own: Python's would be locked at exit by a thread that waits for a reader.
    handler = Backlog(open(os.dup(STANDARD_ERROR), "wb", buffering=0))  # noqa: SIM115
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    LOGGER.setLevel(logging.INFO)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda told: _uncaught(told.exc_type, told.exc_value, told.exc_traceback)
    sys.unraisablehook = lambda told: _uncaught(told.exc_type, told.exc_value, told.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    LOGGER.critical("an exception that nobody caught", exc_info=(kind, error or kind(), trace))


class Backlog(logging.Handler):
    """Lines that a thread writes: a log that is read slowly, or not at all, must not hold up the server.

    At most `MOST` lines wait. Of those beyond, and of those that cannot be written, only the number is told,
    once there is room again.
    """

    def __init__(self, file: RawIOBase) -> None:
        super().__init__()
        self._file, self._torn = file, False
        self._dropped, self._counting = 0, threading.RLock()
        # Simple, for that one may be given a line while it is given another: by a collected object's end.
        self._lines: queue.SimpleQueue[str | threading.Event] = queue.SimpleQueue()
        threads.start(threading.Thread(target=self._write, name="aptp-log", daemon=True))

    def emit(self, record: logging.LogRecord) -> None:
        """Let a line wait, or drop it."""
        try:
            line = self.format(record) + "\n"
        except Exception:  # noqa: BLE001  # a mistake in a line is no failure of the work that logs it
            line = ""
        if line and self._lines.qsize() < MOST:
            self._lines.put(line)
        else:
            self._drop()

    def flush(self) -> None:
        """Wait until everything so far is written, but no longer than two seconds."""
        written = threading.Event()
        self._lines.put(written)
        written.wait(2)

    def _drop(self) -> None:
        with self._counting:
            self._dropped += 1

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            try:
                self._put((self._gap() + line).encode(errors="backslashreplace"))
            except (OSError, ValueError):  # nobody is there to read it, and none to be told so
                self._drop()

    def _put(self, text: bytes) -> None:
        """Write all of it, however little the file takes at once."""
        left = memoryview(b"\n" + text if self._torn else text)
        while left:
            written = self._file.write(left)
            if written is None:  # another process made the file one that does not wait
                select.select([], [self._file], [])
            else:
                left = left[written:]
                self._torn = bool(left)

    def _gap(self) -> str:
        with self._counting:
            dropped, self._dropped = self._dropped, 0
        facts = {"name": LOGGER.name, "levelno": logging.WARNING, "levelname": "WARNING"}
        lost = logging.makeLogRecord({**facts, "msg": f"{dropped} lines of the log were dropped"})
        return self.format(lost) + "\n" if dropped else ""


class Lines(logging.Formatter):
    """The facts that both formats tell of a record: time, level, event, and the `facts` it was logged
    with.
    """

    def plain(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the record as plain values."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        values = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        return values


class JsonLines(Lines):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.plain(record))


class TextLines(Lines):
    """`time level event key=value …`, tracebacks below it."""

    def format(self, record: logging.LogRecord) -> str:
        values = self.plain(record)
        traceback = values.pop("traceback", None)
        head = [values.pop("time"), values.pop("level").upper(), _one_line(values.pop("event"))]
        line = " ".join([*head, *(f"{key}={json.dumps(value)}" for key, value in values.items())])
        return line if traceback is None else f"{line}\n{traceback}"


def _one_line(text: str) -> str:
    return json.dumps(text)[1:-1].replace('\\"', '"')
