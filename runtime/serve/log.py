"""The log: one JSON object, or one line of text, for each thing that happened, on standard error.

Prompts are not in it. What clients chose, such as paths, is escaped, so that it stays within its line.
"""

import json
import logging
import sys
import time
from typing import Any

FORMATS = ("json", "text")
LOGGER = logging.getLogger("aptp.serve")

_OTHERS = ("uvicorn", "asyncio")  # whose warnings are told as well


def configure(form: str) -> None:
    """Write what this package logs, and warnings of what is below it, in one of `FORMATS`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    for name in (LOGGER.name, *_OTHERS):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING if name in _OTHERS else logging.INFO)


class Lines(logging.Formatter):
    """What both formats tell of a record: time, level, event, and the `facts` it was logged with."""

    def plain(self, record: logging.LogRecord) -> dict[str, Any]:
        """The record as plain values."""
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
