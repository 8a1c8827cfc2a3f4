"""The log of a builder: kept for the error message, and off the standard output.

Polygraphy's calls end in one short exception; the reason was logged before. Its log is global, so what is
changed here is put back.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage().strip()
        # Polygraphy marks severities; its own last words are those of the exception.
        if record.levelno < logging.CRITICAL:
            self.said.append(text.removeprefix("[E]").strip())


@contextmanager
def kept() -> Iterator[list[str]]:
    """Yield the errors that TensorRT and Polygraphy log inside the block, as they come."""
    from polygraphy.logger import G_LOGGER

    before = G_LOGGER.use_python_logging_system
    G_LOGGER.use_python_logging_system = True
    logger, handler = logging.getLogger("Polygraphy"), _Kept()
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        with redirect_stdout(sys.stderr):
            yield handler.said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
        G_LOGGER.use_python_logging_system = before
