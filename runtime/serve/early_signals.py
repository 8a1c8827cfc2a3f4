"""Signals that come before the server's loop runs: while Python still imports, there is nothing to be ended.

The system drops signals that process 1 of a container does not handle, so they are handled from the first.
"""

import os
import signal
from types import FrameType


def attend() -> None:
    """End the process on SIGTERM or SIGINT, with the exit code 0 of every end; leave SIGHUP without effect.

    For the main thread of a program. The server's loop takes the signals over (`lifecycle`).
    """
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, _end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the bundle was not read so far: it need not be read again


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(0)
