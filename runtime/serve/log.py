"""The log: one JSON object, or one line of text, for each thing that happened, on standard error.

Prompts are not in it. What clients chose, such as paths, is escaped, so that it stays within its line.
"""

import json
import logging
import queue
import sys
import threading
import time
from typing import Any, TextIO

FORMATS = ("json", "text")
LOGGER = logging.getLogger("aptp.serve")
MOST = 10_000  # lines that wait to be written

_OTHERS = ("uvicorn", "asyncio")  # whose warnings are told as well


def configure(form: str) -> None:
    """Write what this package logs, and warnings of what is below it, in one of `FORMATS`."""
    handler = Backlog(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    for name in (LOGGER.name, *_OTHERS):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING if name in _OTHERS else logging.INFO)


class Backlog(logging.Handler):
    """Lines that a thread writes: a log that is read slowly, or not at all, must not hold up the server.

    At most `MOST` lines wait. Of those beyond only the number is told, once there is room again.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream, self._dropped = stream, 0
        self._lines: queue.Queue[str | threading.Event] = queue.Queue(MOST)
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Let a line wait, or drop it."""
        try:
            self._lines.put_nowait(self.format(record) + "\n")
        except queue.Full:
            self._dropped += 1

    def flush(self) -> None:
        """Wait until everything so far is written, but no longer than a second."""
        written = threading.Event()
        try:
            self._lines.put(written, timeout=1)
        except queue.Full:
            return
        written.wait(1)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            try:
                self._stream.write(self._gap() + line)
                self._stream.flush()
            except (OSError, ValueError):  # nobody is there to read it, and none to be told so
                self._dropped += 1

    def _gap(self) -> str:
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
